"""A page of twenty rows, rendered anew from a template for each request, with text in it that HTML must have escaped.

Runs under `gatebench run`, and under plain `locust -f scenarios/template.py -H URL`.
"""

import html
import re

from gatebench.swarm import EngineUser, Expect, Hex, Judge, Request

SCENARIO = {
    "version": 1,
    "title": "A page from a template",
    "routes": ["template"],
    "services": [],
    "error_limit": 0.001,
}

ROWS = 20
TOKEN = Hex(16)
CELLS = re.compile(r"<td>\s*(\d+)\s*</td>\s*<td>\s*(.*?)\s*</td>", re.DOTALL)


def is_page(body: bytes, token: str) -> bool:
    """Say whether a page has every row in its place, and no script that would run."""
    page = body.decode()
    rows = [(int(number), html.unescape(message)) for number, message in CELLS.findall(page)]
    told = f'<script>alert("{token}")</script> & row %d, it\'s ready'
    return "<script>alert" not in page and rows == [(number, told % number) for number in range(1, ROWS + 1)]


class Reader(EngineUser):
    """Has a page made with a random text in it every time."""

    mix = (
        Request(
            (f"/template?n={ROWS}&token=", TOKEN),
            name="/template",
            expect=Expect(body=Judge(is_page, (TOKEN,))),
        ),
    )
