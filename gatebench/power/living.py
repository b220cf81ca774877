"""Real gates of arms of a known cost, from their practice to their verdict, each in a results file of its own.

Knows the gate's own way of going (gatebench.gating). Must not know how it judges, nor print.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from gatebench import gating
from gatebench.arms import Arm
from gatebench.gate import MARGINS, judge
from gatebench.model import Judgement, Run
from gatebench.power import neighbour
from gatebench.power.recording import Ground, Wanted, ending, ground, surroundings
from gatebench.power.variants import BASE, SHARES, TWIN
from gatebench.session import opened, parties
from gatebench.store import Writer, read

HEAD = "arm"  # key of a header's surroundings: which variant head is


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """A gate that was run, and what it said."""

    path: Path
    judgement: Judgement


def described(variant: str) -> str:
    """Say in words what a variant is."""
    if variant in SHARES:
        return f"busy work of {100 * SHARES[variant]:.0f} % of a request's CPU"
    return "the base's twin" if variant == TWIN else "a sleep in 2 % of the requests"


def live(
    wanted: Wanted,
    *,
    variant: str,
    times: int,
    budget_s: float,
    told: Callable[[str], None],
    kept: Callable[[Run], None],
    judged: Callable[[Lived], None],
) -> None:
    """Run so many gates of the base against a variant, one after the other; each file stays, however it ends."""
    with ground(replace(wanted, variants=(variant,)), told) as on:
        for turn in range(times):
            again = replace(wanted, seed=wanted.seed + turn)
            judged(_one(again, on, variant=variant, budget_s=budget_s, told=told, kept=kept))


def _one(
    wanted: Wanted,
    on: Ground,
    *,
    variant: str,
    budget_s: float,
    told: Callable[[str], None],
    kept: Callable[[Run], None],
) -> Lived:
    head = on.arms[variant]
    asked = gating.Wanted(
        base=Arm(stack=on.arms[BASE], words="the app as it is"),
        head=Arm(stack=head, words=described(variant)),
        scenarios=(wanted.scenario,),
        leading=next(iter(MARGINS)),
        margins=MARGINS,
        budget_s=budget_s,
        confirm=True,
        blocks=wanted.rounds,
    )
    laid = replace(gating.planned(on.tree, asked), seed=wanted.seed)
    with contextlib.ExitStack() as stack:
        who = stack.enter_context(parties(wanted.root, wanted.wish, told))
        header, conductor = stack.enter_context(opened(on.tree, laid, who, told=told))
        stack.enter_context(neighbour.beside(header.placement.server if wanted.noise else (), wanted.seed))
        header = gating.laid_down(conductor, asked, header, warned=told)
        header = replace(
            header,
            surroundings={**header.surroundings, **surroundings(wanted, on.cost), HEAD: variant},
        )
        writer = stack.enter_context(Writer.new(wanted.out / f"live-{header.name}.jsonl", header))
        with ending(writer):
            for run in gating.gated(conductor, header, lambda _: None):
                writer.add(run)
                kept(run)
        # Judged from the file: what anybody else would find in it.
        return Lived(path=writer.path, judgement=judge(read(writer.path)))
