"""The route `crud`: items made, read, changed and removed, and looked for in the table ourselves.

Knows the table `item`. Must not know sockets.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

from gatebench.contract.finding import Finding
from gatebench.contract.forms import Form, exactly, parsed, written
from gatebench.contract.rows import LockedError
from gatebench.contract.visit import JSON, Request, Requests, Visit
from gatebench.contract.wire import Answer

LETTERS = "abcdefghijklmnopqrstuvwxyz äöüßéñøšžλЖ中文🐍\"'\\/<>&%_;:{}"
PRICES = 10**6
NOBODY = 2_000_000_000  # far beyond every id that a database has given
NO_ITEM = '{"error":"no such item"}'

Item = tuple[str, int]


def crud(visit: Visit) -> Requests:
    """Lead two items through their life, and ask for those that are no more."""
    made: list[int] = []
    try:
        first, second = _drawn(visit), _drawn(visit)
        yield _made(visit, first, made)
        yield _made(visit, second, made)
        if len(made) == 2:
            yield from _life(visit, made[0], made[1], second)
    finally:
        with contextlib.suppress(LockedError):  # which has been found out by now
            visit.rows.forget(made)


def _life(visit: Visit, number: int, other: int, others: Item) -> Requests:
    for _again in range(2):  # changed by us in between: an item out of a memory is found out
        item = _drawn(visit)
        visit.rows.change(number, *item)
        yield Request(target=f"/items/{number}", kind=JSON, form=_item(number, item))
    item = _drawn(visit)
    for _again in range(2):  # the second time there is nothing to change, and the item is there all the same
        yield _put(visit, number, item)
    yield from _missing(visit, NOBODY + visit.inputs.randrange(10**8))
    yield Request(
        method="DELETE",
        target=f"/items/{number}",
        status=204,
        kind=None,
        form=exactly(""),
        then=_stands(visit, {number: None, other: others}, "removed"),
    )
    yield from _missing(visit, number)


def _made(visit: Visit, item: Item, made: list[int]) -> Request:
    name, price = item

    def fits(body: bytes) -> bool:
        number = _number(body)
        return number is not None and written({"id": number, "name": name, "price": price}).fits(body)

    def judge(answer: Answer) -> Iterator[Finding]:
        number = _number(answer.body)
        if number is None:
            return
        yield Finding("crud", "id", number not in made, "an id of its own", f"{number}")
        made.append(number)
        yield from _stands(visit, {number: item}, "made")(answer)

    return Request(
        method="POST",
        target="/items",
        body=_sent(item),
        content_type="application/json",
        status=201,
        kind=JSON,
        form=Form(written({"id": "…", "name": name, "price": price}).told, fits),
        then=judge,
    )


def _put(visit: Visit, number: int, item: Item) -> Request:
    return Request(
        method="PUT",
        target=f"/items/{number}",
        body=_sent(item, escaped=True),
        content_type="application/json",
        kind=JSON,
        form=_item(number, item),
        then=_stands(visit, {number: item}, "changed"),
    )


def _missing(visit: Visit, number: int) -> Requests:
    for method in ("GET", "PUT", "DELETE"):
        yield Request(
            method=method,
            target=f"/items/{number}",
            body=_sent(_drawn(visit)) if method == "PUT" else None,
            content_type="application/json" if method == "PUT" else None,
            status=404,
            kind=JSON,
            form=exactly(NO_ITEM),
            then=_stands(visit, {number: None}, "missing"),
        )


def _stands(visit: Visit, wanted: dict[int, Item | None], rule: str) -> Callable[[Answer], Iterator[Finding]]:
    """Look whether items are in the table as they should be, None meaning that they are not."""

    def judge(_: Answer) -> Iterator[Finding]:
        for number, item in wanted.items():
            found = visit.rows.item(number)
            yield Finding("crud", rule, found == item, f"item {number}: {item}", f"{found} in the database")

    return judge


def _number(body: bytes) -> int | None:
    found = parsed(body)
    number = found.get("id") if isinstance(found, dict) else None
    return number if type(number) is int and 0 < number < NOBODY else None


def _item(number: int, item: Item) -> Form:
    return written({"id": number, "name": item[0], "price": item[1]})


def _sent(item: Item, *, escaped: bool = False) -> bytes:
    """Give a request's body; letters beyond ASCII come as they are, or escaped, as clients do either."""
    told = {"name": item[0], "price": item[1]}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=escaped).encode()


def _drawn(visit: Visit) -> Item:
    """Draw a name, with a letter that is not ASCII and a quotation mark in each, and a price."""
    letters = visit.inputs.choices(LETTERS, k=visit.inputs.randint(5, 30))
    return "".join(["ø'", *letters, '"x']), visit.inputs.randrange(PRICES)
