"""The page's language: our sentences to those of a catalogue.

Two ways in: a sentence that the page itself says, with blanks and what fills them; and one that another room made, or
that a results file recorded, which is recognised by what stands around its blanks. Knows catalogues. Must not know
pages.
"""

from __future__ import annotations

import re
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
_NAME = re.compile(r"\S*")  # a stack, a version, a figure: the same in all languages


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
    joint: str = "; "
    _seen: dict[str, tuple[tuple[str, bool], ...]] = field(default_factory=dict)

    def __call__(self, text: str, /, **blanks: Any) -> str:
        """Say a sentence of the page's, its blanks filled in; in English where the catalogue lacks it."""
        return self.own.get(text, text).format(**blanks) if blanks else self.own.get(text, text)

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
        if (whole := self._sentence(text)) is not None:
            return ((whole, True),)
        clauses = _clauses(text)
        if len(clauses) == 1:
            return ((text, bool(_NAME.fullmatch(text))),)
        pieces: list[tuple[str, bool]] = []
        for clause in clauses:
            pieces += [(self.joint, True)] if pieces else []
            pieces += self.parts(clause)
        return tuple(pieces)

    def _sentence(self, text: str) -> str | None:
        """Give a sentence without clauses; None where the catalogue has none like it."""
        if (exact := self.made.get(text) or self.own.get(text)) is not None:
            return exact
        if len(_clauses(text)) > 1:
            return None
        for pattern in self.patterns:
            if found := pattern.known.fullmatch(text):
                return pattern.said.format(**{name: self.told(value) for name, value in found.groupdict().items()})
        return None


def _clauses(text: str) -> list[str]:
    """Take a text apart where a semicolon stands outside all brackets."""
    pieces, depth, begin = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if depth <= 0 and text.startswith("; ", at):
            pieces.append(text[begin:at])
            begin = at + 2
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
        joint=own.get("; ", "; "),
    )
