"""Links from a page to others that are published beside it.

Knows how a link is written. Must not know what stands on either page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gatebench.errors import UsageError
from gatebench.report.language import LANGUAGES

# No scheme, no host, no root: what lies beside the page, wherever both are put.
_BESIDE = re.compile(r"[\w.~-]+(?:/[\w.~-]+)*/?(?:#[\w.~-]+)?", re.ASCII)
_NAMES = dict(zip(LANGUAGES, ("English", "繁體中文"), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A page beside this one."""

    title: str
    path: str
    lang: str | None = None  # where it is the same in another language, whose name for itself the title is


def link(text: str) -> Link:
    """Read TITLE=PATH, where a language's code may be the title; UsageError where it is anything else."""
    title, _, path = (part.strip() for part in text.rpartition("="))
    if not title or not title.isprintable() or not _BESIDE.fullmatch(path):
        raise UsageError(
            f"--see {text!r} is no link: write TITLE=PATH, the path of a page that lies beside this one, of plain "
            "letters, digits, '.', '_', '~', '-' and '/', as in 'Load curves=curves/'."
        )
    return Link(title=_NAMES.get(title, title), path=path, lang=title if title in _NAMES else None)
