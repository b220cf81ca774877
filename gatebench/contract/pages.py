"""The route `template`: a page whose rows are all there, and safe.

Knows the page of apps/CONTRACT.md, and reads HTML as a browser does. Must not know sockets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

from gatebench.contract.finding import Finding, shown
from gatebench.contract.forms import Form
from gatebench.contract.visit import HTML, Request, Requests, Visit
from gatebench.contract.wire import Answer

MOST = 1000  # rows
HEADINGS = ("id", "message")
_RAW = re.compile(rb"<\s*script|&(?!#?[0-9A-Za-z]+;)", re.IGNORECASE)

Row = tuple[str, ...]


def template(visit: Visit) -> Requests:
    """Ask for pages with tokens nobody has seen, the longest among them."""
    for count in (visit.inputs.randint(2, 50), 1, MOST):
        token = visit.token()
        yield Request(
            target=f"/template?n={count}&token={token}",
            kind=HTML,
            form=Form("<!doctype html>…<title>Rows</title>…<table>…</table>…", _is_page),
            then=_rows(count, token),
        )


class _Page(HTMLParser):
    """A page as it is read."""

    def __init__(self, body: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.doctype, self.title, self.tables = "", "", 0
        self.rows: list[list[str]] = []
        self._within = ""
        try:
            self.feed(body.decode("utf-8", "backslashreplace"))
            self.close()
        except AssertionError:  # how the parser refuses some kinds of garbage
            self.tables = 0

    def handle_decl(self, decl: str) -> None:
        self.doctype = decl.lower()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs  # a page may be styled
        self._within = tag
        if tag == "table":
            self.tables += 1
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "title":
            self.title += data
        elif self._within in ("th", "td") and self.rows:
            self.rows[-1][-1] += data


def _is_page(body: bytes) -> bool:
    page = _Page(body)
    return page.doctype == "doctype html" and page.title.strip() == "Rows" and page.tables == 1


def _rows(count: int, token: str) -> Callable[[Answer], Iterator[Finding]]:
    wanted: list[Row] = [HEADINGS]
    wanted += [
        (str(row), f'<script>alert("{token}")</script> & row {row}, it\'s ready') for row in range(1, count + 1)
    ]

    def judge(answer: Answer) -> Iterator[Finding]:
        raw = _RAW.search(answer.body)
        found = shown(answer.body[raw.start() : raw.start() + 40]) if raw else "none"
        yield Finding("template", "escaping", raw is None, "no letter as HTML must not have it", found)
        rows: list[Row] = [tuple(cell.strip() for cell in row) for row in _Page(answer.body).rows]
        yield _compared(wanted, rows)

    return judge


def _compared(wanted: list[Row], rows: list[Row]) -> Finding:
    for at, (expected, found) in enumerate(zip(wanted, rows, strict=False)):
        if expected != found:
            return Finding("template", "rows", ok=False, expected=f"{expected} in row {at}", found=f"{found}")
    expected_count = f"{len(wanted)} rows with the headings'"
    return Finding("template", "rows", len(wanted) == len(rows), expected_count, f"{len(rows)} rows")
