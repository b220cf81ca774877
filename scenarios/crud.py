"""An object made, read, changed and deleted, with JSON in both directions: a small service as most are.

Each user has one object at a time; what goes wrong with it is an error, and the user makes another.
Runs under `gatebench run`, and under plain `locust -f scenarios/crud.py -H URL`.
"""

from gatebench.swarm import EngineUser, Expect, Flow, Hex, Request, Whole

SCENARIO = {
    "version": 1,
    "title": "Create, read, update, delete",
    "routes": ["crud"],
    "services": ["postgres"],
    "error_limit": 0.001,
}

JSON = {"Content-Type": "application/json"}
ID = Whole(1, 2_147_483_647)  # the database gives it: it is taken from the first answer
NAME, NEW_NAME = Hex(16), Hex(16)
PRICE, NEW_PRICE = Whole(1, 1_000_000), Whole(1, 1_000_000)
MADE = ('{"name":"', NAME, '","price":', PRICE, "}")
CHANGED = ('{"name":"', NEW_NAME, '","price":', NEW_PRICE, "}")
AS_MADE = ('{"id":', ID, ',"name":"', NAME, '","price":', PRICE, "}")
AS_CHANGED = ('{"id":', ID, ',"name":"', NEW_NAME, '","price":', NEW_PRICE, "}")
PATH, PATH_NAME = ("/items/", ID), "/items/{id}"


class Keeper(EngineUser):
    """Makes an object, looks at it, changes it and throws it away, again and again."""

    mix = (
        Flow(
            (
                Request("/items", method="POST", headers=JSON, body=MADE, expect=Expect(status=201, body=AS_MADE)),
                Request(PATH, name=PATH_NAME, expect=Expect(body=AS_MADE)),
                Request(
                    PATH, method="PUT", name=PATH_NAME, headers=JSON, body=CHANGED, expect=Expect(body=AS_CHANGED)
                ),
                Request(PATH, method="DELETE", name=PATH_NAME, expect=Expect(status=204, body="")),
            )
        ),
    )
