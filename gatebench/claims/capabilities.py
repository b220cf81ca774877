"""Rows that a yes or no settles: protocols that were spoken, frameworks that ran, bridges that were crossed.

Knows what was spoken and which cells have valid trials. Must not know runs or pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gatebench.claims.evidence import Evidence, Spoken, base, in_parts, joined
from gatebench.model import Cell, Claim, Interface, Verdict

PUBLISHED = {"yes": True, "some servers": True, "no": False}  # "hard" is neither, and is not judged
SETTINGS = "in the settings that were measured"
WORDS = ("refuted", "undecided", "not judged", "confirmed")  # a row has the first that one of its sides has


def spoken(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Hold what each side was heard to speak against the published yes or no.

    A side is a yes where any server does it. What was not seen proves neither: a server may have it in a setting that
    was not measured, and what an interface does not have a library may have beside it.
    """
    heard = [
        each
        for each in evidence.spoken
        if each.capability.protocol in claim.protocols
        and in_parts(claim, each.part)
        and (not claim.names or each.stack.split("+")[0] in claim.names)
    ]
    wsgi, asgi = ([each for each in heard if each.interface == side] for side in ("wsgi", "asgi"))
    if not heard:
        return
    words = [_agrees(said, side) for said, side in ((claim.wsgi, wsgi), (claim.asgi, asgi))]
    word = next(word for word in WORDS if word in words)
    notes = [
        f"{name} was published as {said}{_unseen(claim, side) if agreed == 'undecided' else ''}"
        for name, said, side, agreed in (("WSGI", claim.wsgi, wsgi, words[0]), ("ASGI", claim.asgi, asgi, words[1]))
        if agreed in ("refuted", "undecided")
    ]
    if any(SETTINGS in note for note in notes):
        notes.append("what is not switched on is not seen, so that this proves nothing")
    if "not judged" in words:
        notes.append(f'"{claim.wsgi}" is no yes or no: what it costs is told by the rows of 10,000 connections')
    yield Verdict(
        claim=claim,
        word=word,
        why="; ".join([*notes, "found by speaking to each server"]),
        wsgi=_side(claim, "wsgi", wsgi),
        asgi=_side(claim, "asgi", asgi),
    )


def runs(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Say whether a framework ran: it has a valid trial."""
    [app] = claim.names
    cells = [each for each in _measured(claim, evidence) if each.stack.startswith(f"{app}+")]
    if not cells:
        return
    good = [each for each in cells if each.valid]
    word = "runs" if good else "does not run"
    places = {(each.stack, each.scenario): f"{each.scenario} on {each.stack.partition('+')[2]}" for each in good}
    why = f"valid trials of {joined(places.values())}" if good else cells[0].reasons
    valid = f"{sum(each.valid for each in cells)} of {sum(each.trials for each in cells)} trials valid"
    shown = {cells[0].interface: valid}
    yield Verdict(claim=claim, word=word, why=why, wsgi=shown.get("wsgi", ""), asgi=shown.get("asgi", ""))


def bridges(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Say which bridges carried a WSGI app on an ASGI server; that none was seen to do so proves no "no"."""
    cells = [each for each in _measured(claim, evidence) if each.interface == "wsgi"]
    tried = {name: [each for each in cells if f"bridge={name}" in each.stack] for name in claim.names}
    if not any(tried.values()):
        return
    crossed = {name: [each for each in found if each.valid] for name, found in tried.items()}
    good = [name for name, found in crossed.items() if found]
    why = [f"{name} carried {joined(base(each.stack) for each in crossed[name])}" for name in good]
    why += [f"{name}: {_why_not(found)}" for name, found in tried.items() if name not in good]
    yield Verdict(
        claim=claim,
        word="confirmed" if good else "undecided",
        why="; ".join(why),
        wsgi="by an extension" if good else "not seen",
        asgi=joined(good),
    )


def _measured(claim: Claim, evidence: Evidence) -> list[Cell]:
    """Give one cell a stack and scenario, whatever the metric."""
    found = {(each.stack, each.scenario, each.load): each for each in evidence.cells if in_parts(claim, each.part)}
    return list(found.values())


def _why_not(cells: Sequence[Cell]) -> str:
    return cells[0].reasons if cells else "not tried in this session"


def _agrees(said: str | None, heard: Sequence[Spoken]) -> str:
    """Compare a side with what was published of it: only a yes is proof, of itself and against a no."""
    published = PUBLISHED.get(said or "")
    if published is None:
        return "not judged"
    if all(each.capability.answer != "yes" for each in heard):
        return "undecided"
    return "confirmed" if published else "refuted"


def _unseen(claim: Claim, heard: Sequence[Spoken]) -> str:
    """Say of whom a capability was not seen, and that other settings were not asked."""
    stacks = sorted(each.stack for each in heard if each.capability.answer == "no")
    asked = [_who(claim, stack) for stack in stacks]
    return f": not seen with {joined(asked)}, {SETTINGS}" if asked else ": nobody could be asked"


def _side(claim: Claim, interface: Interface, heard: Sequence[Spoken]) -> str:
    """Say how a side has a capability, by which servers, and which do without."""
    by_stack: dict[str, set[str]] = {}
    for each in sorted(heard, key=lambda each: each.stack):
        by_stack.setdefault(_who(claim, each.stack), set()).add(each.capability.answer)
    yes = [who for who, answers in by_stack.items() if "yes" in answers]
    no = [who for who, answers in by_stack.items() if "no" in answers and "yes" not in answers]
    if not yes:
        return f"not seen with {joined(no)}" if no else "nobody could be asked"
    how = "by the interface" if interface in claim.defined else "by an extension"
    return f"{how}: {joined(yes)}" + (f"; not {joined(no)}" if no else "")


def _who(claim: Claim, stack: str) -> str:
    """Name who is asked: the server, or the app where the row is about apps."""
    app, _, server = base(stack).partition("+")
    return app if claim.names else server
