"""Many routes at once, through Nginx before a WSGI and an ASGI stack: a site of which a part has moved.

Paths without a prefix go to either stack by Nginx's own weights; /admin/, /legacy/ and /api/v2/ go to the one whose
they are, without the prefix. Which one answered stands in a header of every answer, and is counted. The two share the
database, so an object that one has made is read and deleted by whichever comes next.
No WebSockets: their users would not be users of the rest.

Of a hundred requests, 40 are plain text, 18 JSON, 18 a database row, 10 a call to the upstream, 8 a page, and 6 make,
read and delete two objects; 12 of them have a prefix.
Runs under `gatebench run`, and under plain `locust -f scenarios/mixed.py -H URL`.
"""

from gatebench.swarm import Digits, EngineUser, Expect, Flow, Hex, Judge, Request, Whole

SCENARIO = {
    "version": 1,
    "title": "A mix of routes through Nginx",
    "routes": ["plaintext", "json", "db", "external", "template", "crud"],
    "services": ["postgres", "upstream"],
    "front": True,
    "error_limit": 0.001,
}

HELLO = Expect(body="Hello, World!")
NUMBER, ROW, TOKEN, NAME, PRICE = Whole(1, 1_000_000), Whole(1, 10_000), Hex(16), Hex(16), Whole(1, 1_000_000)
OBJECT = Expect(body=('{"id":', NUMBER, ',"message":"Hello, World!"}'))
VALUE = Expect(body=('{"id":', ROW, ',"value":', Digits(5), "}"))
CALLED = Expect(body=('{"token":"', TOKEN, '","digest":"', Hex(64), '"}'))

ROWS = 20

ID = Whole(1, 2_147_483_647)  # the database gives it: it is taken from the first answer
ITEM = ('{"id":', ID, ',"name":"', NAME, '","price":', PRICE, "}")
JSON = {"Content-Type": "application/json"}
MADE = ('{"name":"', NAME, '","price":', PRICE, "}")


def is_page(body: bytes, token: str) -> bool:
    """Say whether a page has all rows and no script that would run; scenarios/template.py looks closer."""
    return body.count(token.encode()) == ROWS and b"<script>alert" not in body


class Visitor(EngineUser):
    """Asks for one thing and then another, by their weights."""

    counted = "X-Backend"
    mix = (
        Request("/plaintext", weight=38, expect=HELLO),
        Request("/admin/plaintext", weight=2, expect=HELLO),
        Request(("/json?id=", NUMBER), name="/json", weight=13, expect=OBJECT),
        Request(("/api/v2/json?id=", NUMBER), name="/api/v2/json", weight=5, expect=OBJECT),
        Request(("/db?id=", ROW), name="/db", weight=13, expect=VALUE),
        Request(("/legacy/db?id=", ROW), name="/legacy/db", weight=5, expect=VALUE),
        Request(("/external?token=", TOKEN), name="/external", weight=10, expect=CALLED),
        Request(
            (f"/template?n={ROWS}&token=", TOKEN),
            name="/template",
            weight=8,
            expect=Expect(body=Judge(is_page, (TOKEN,))),
        ),
        Flow(
            (
                Request("/items", method="POST", headers=JSON, body=MADE, expect=Expect(status=201, body=ITEM)),
                Request(("/items/", ID), name="/items/{id}", expect=Expect(body=ITEM)),
                Request(("/items/", ID), method="DELETE", name="/items/{id}", expect=Expect(status=204, body="")),
            ),
            weight=2,
        ),
    )
