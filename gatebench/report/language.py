"""The page's language: our sentences to those of a catalogue.

Two ways in: a sentence that the page itself says, with blanks and what fills them; and one that another room made, or
that a results file recorded, which is recognised by what stands around its blanks. Knows catalogues. Must not know
pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from babel.messages.pofile import read_po

from gatebench.errors import UsageError

MADE = "sentence"  # the context of what other rooms say
ENGLISH = "en"
CATALOGUES = {"zh-Hant": "zh_Hant.po"}
LANGUAGES = (ENGLISH, *CATALOGUES)
_BLANK = re.compile(r"\{(\w+)\}")
_NAME = re.compile(r"\S*|[-\d.,\u2013]+ (?:%|[mnµ]?s|(?:[KMG]i)?B)")  # a stack, a version, a figure: same in all
JOINTS = ("; ", ": ", ", ")  # what clauses are joined by, the firmest first; each is a sentence of the page's own


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A sentence with blanks, and how it is recognised."""

    known: re.Pattern[str]
    said: str


@dataclass(frozen=True, slots=True)
class Language:
    """What the page says, in one language."""

    code: str  # of BCP 47
    own: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    patterns: tuple[_Pattern, ...] = ()
    joints: dict[str, str] = field(default_factory=lambda: {joint: joint for joint in JOINTS})
    _seen: dict[str, tuple[tuple[str, bool], ...]] = field(default_factory=dict)
    _partly: set[str] = field(default_factory=set)  # texts in which something stays as it was

    def __call__(self, text: str, /, **blanks: Any) -> str:
        """Say a sentence of the page's, its blanks filled in; in English where the catalogue lacks it."""
        return self.own.get(text, text).format(**blanks) if blanks else self.own.get(text, text)

    def sentences(self, said: Iterable[str]) -> str:
        """Put sentences behind each other; Chinese has no space between them."""
        return ("" if self.code == "zh-Hant" else " ").join(said)

    def told(self, text: str) -> str:
        """Say what another room made."""
        return "".join(part for part, _ in self.parts(text))

    def parts(self, text: str) -> tuple[tuple[str, bool], ...]:
        """Give what another room made in pieces, each with whether it is in this language."""
        if self.code == ENGLISH or not text:
            return ((text, True),)
        if text not in self._seen:
            self._seen[text] = self._parts(text)
        return self._seen[text]

    def _parts(self, text: str) -> tuple[tuple[str, bool], ...]:
        if (exact := self.made.get(text) or self.own.get(text)) is not None:
            return ((exact, True),)
        if _NAME.fullmatch(text):
            return ((text, True),)
        like = None
        for said, known in self._filled(text):
            if known:
                return ((said, True),)
            like = like or said
        for joint in JOINTS:
            found = clauses(text, joint)
            if len(found) > 1 and (pieces := self._joined(found, joint)):
                if not all(self._known(clause) for clause in found):
                    self._partly.add(text)
                return pieces
        self._partly.add(text)
        return ((like or text, like is not None),)

    def _known(self, text: str) -> bool:
        return all(ours for _, ours in self.parts(text)) and text not in self._partly

    def _filled(self, text: str) -> Iterator[tuple[str, bool]]:
        """Say a text of one clause as each sentence it is like, the firmest first, with whether all blanks are known.

        Words around blanks may be alike by chance: "a against b on c" is a title's, too. What fills a blank tells.
        """
        if len(clauses(text)) > 1:
            return
        for pattern in self.patterns:
            if found := pattern.known.fullmatch(text):
                blanks = found.groupdict()
                said = pattern.said.format(**{name: self.told(value) for name, value in blanks.items()})
                yield said, all(self._known(value) for value in blanks.values())

    def _joined(self, found: list[str], joint: str) -> tuple[tuple[str, bool], ...] | None:
        """Say clauses one by one, names between commas as they are; None where a weak joint's clause is unknown."""
        said = [self.parts(clause) for clause in found]
        if joint != "; " and not all(self._known(clause) for clause in found):
            return None
        if joint == ", " and all(pieces == ((clause, True),) for clause, pieces in zip(found, said, strict=True)):
            return ((joint.join(found), True),)
        return tuple(piece for pieces in said for piece in ((self.joints[joint], True), *pieces))[1:]


def clauses(text: str, joint: str = "; ") -> list[str]:
    """Take a text apart where a joint stands outside all brackets."""
    pieces, depth, begin = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if depth <= 0 and text.startswith(joint, at):
            pieces.append(text[begin:at])
            begin = at + len(joint)
    return [*pieces, text[begin:]]


def _pattern(source: str, said: str) -> _Pattern:
    seen: set[str] = set()

    def blank(found: re.Match[str]) -> str:
        name = found[1]
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>.+?)"

    # re.escape spells braces with a backslash.
    known = re.sub(r"\\\{(\w+)\\\}", blank, re.escape(source))
    return _Pattern(re.compile(known, re.DOTALL), said)


def _firmness(source: str) -> int:
    return len(_BLANK.sub("", source))


@cache
def language(code: str) -> Language:
    """Give a language by its code; UsageError where there is no catalogue of it."""
    if code == ENGLISH:
        return Language(code)
    if code not in CATALOGUES:
        raise UsageError(f"There is no page in {code!r}; its language is one of {', '.join(LANGUAGES)}.")
    with resources.files(__package__).joinpath("languages", CATALOGUES[code]).open("rb") as file:
        catalogue = read_po(file)
    own: dict[str, str] = {}
    made: dict[str, str] = {}
    for message in catalogue:
        if isinstance(message.id, str) and message.id and message.string:
            (made if message.context == MADE else own)[message.id] = str(message.string)
    # What has more words of its own is tried first, so that a sentence is not taken for a shorter one's blank.
    blanks = sorted((each for each in made if _BLANK.search(each)), key=_firmness, reverse=True)
    return Language(
        code,
        own=own,
        made={source: said for source, said in made.items() if source not in blanks},
        patterns=tuple(_pattern(source, made[source]) for source in blanks),
        joints={joint: own.get(joint, joint) for joint in JOINTS},
    )
