"""The routes behind which a service stands: the table `world`, the upstream, Redis.

Knows what these routes must do there. Must not know sockets. Each look of our own is taken between two requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gatebench.contract.finding import Finding, shown
from gatebench.contract.forms import exactly, like, parsed, rows
from gatebench.contract.look import Keys, Upstream
from gatebench.contract.rows import TENTH, Rows
from gatebench.contract.visit import JSON, Request, Requests, Visit
from gatebench.contract.wire import Answer

KEPT_S = (50, 60)  # what is left of a key's 60 s when we look
FEW = 5  # rows, from which on no two requests hit upon the same by chance

Judge = Callable[[Answer], Iterator[Finding]]
Ids = frozenset[int]


def db(visit: Visit) -> Requests:
    """Change rows ourselves and ask for them, then the same rows again: a cached row is found out."""
    numbers = visit.inputs.sample(range(1, 10_001), 3)
    for number in numbers * 2:
        value = _other(visit, visit.rows.read(number))
        visit.rows.write(number, value)
        form = like(rf'\{{"id":{number},"value":[0-9]{{5}}\}}')
        yield Request(target=f"/db?id={number}", kind=JSON, form=form, then=_row(number, value))


def update(visit: Visit) -> Requests:
    """Have rows changed, one of them twice, and look ourselves whether each change landed."""
    first, second = visit.inputs.sample(range(1, 10_001), 2)
    for number in (first, second, first):
        value = _other(visit, visit.rows.read(number))
        yield Request(
            method="POST",
            target=f"/update?id={number}&value={value}",
            kind=JSON,
            form=exactly(f'{{"id":{number},"value":{value}}}'),
            then=_landed(visit.rows, number, value),
        )


def queries(visit: Visit) -> Requests:
    """Ask for lists of rows, changing a tenth of the table before each: rows out of a memory are found out."""
    seen: list[Ids] = []
    for count in (visit.inputs.randint(FEW, 60), visit.inputs.randint(FEW, 60), 1, 100):
        visit.rows.turn(visit.inputs.randrange(TENTH))
        then = _queried(visit.rows, seen)
        yield Request(target=f"/queries?n={count}", kind=JSON, form=rows(count), then=then)


def updates(visit: Visit) -> Requests:
    """Have rows changed, and compare the whole table with what it was."""
    seen: list[Ids] = []
    for count in (visit.inputs.randint(FEW, 60), visit.inputs.randint(FEW, 60), 1):
        then = _updated(visit.rows, visit.rows.every(), seen)
        yield Request(method="POST", target=f"/updates?n={count}", kind=JSON, form=rows(count), then=then)


def external(visit: Visit) -> Requests:
    """Have the upstream called with tokens nobody has seen, and ask it whether it was."""
    for _again in range(2):
        token = visit.token()
        yield Request(
            target=f"/external?token={token}",
            kind=JSON,
            form=like(rf'\{{"token":"{token}","digest":"[0-9a-f]{{64}}"\}}'),
            wait_s=visit.upstream.account(token).delay_s,
            then=_called(visit.upstream, token),
        )


def redis(visit: Visit) -> Requests:
    """Have keys set, one of them twice, and look ourselves whether they are."""
    first, second = visit.token(), visit.token()
    for key in (first, second, first):
        value = visit.token()
        form = exactly(f'{{"key":"{key}","value":"{value}"}}')
        then = _remembered(visit.keys, key, value)
        yield Request(target=f"/redis?key={key}&value={value}", kind=JSON, form=form, then=then)


def _row(number: int, value: int) -> Judge:
    body = f'{{"id":{number},"value":{value}}}'

    def judge(answer: Answer) -> Iterator[Finding]:
        yield Finding("db", "row", answer.body == body.encode(), f"the row as it is, {body}", shown(answer.body))

    return judge


def _landed(rows: Rows, number: int, value: int) -> Judge:
    def judge(_: Answer) -> Iterator[Finding]:
        found = rows.read(number)
        yield Finding("update", "row", found == value, f"row {number} set to {value}", f"{found} in the database")

    return judge


def _queried(rows: Rows, seen: list[Ids]) -> Judge:
    def judge(answer: Answer) -> Iterator[Finding]:
        listed = _listed(answer)
        yield from _ids("queries", listed, seen)
        yield _as_they_are("queries", listed, rows.every())

    return judge


def _updated(rows: Rows, before: dict[int, int], seen: list[Ids]) -> Judge:
    def judge(answer: Answer) -> Iterator[Finding]:
        listed = _listed(answer)
        ids = [number for number, _ in listed]
        yield from _ids("updates", listed, seen)
        yield Finding("updates", "order", ids == sorted(ids), "ids that ascend", shown(answer.body))
        after = rows.every()
        yield _as_they_are("updates", listed, after)
        changed = {number for number, value in after.items() if before.get(number) != value}
        found = f"{len(changed & set(ids))} of {len(ids)} changed, and {len(changed - set(ids))} others"
        hit = changed <= set(ids) and len(changed) >= len(ids) - 1  # a random value may be the old one
        yield Finding("updates", "change", hit, "these rows changed and no other", found)
        drawn = len({value for _, value in listed})
        if len(listed) >= FEW:
            yield Finding("updates", "random", drawn > 1, "random values", f"{drawn} different in {len(listed)}")

    return judge


def _listed(answer: Answer) -> list[tuple[int, int]]:
    return [(row["id"], row["value"]) for row in parsed(answer.body)]


def _ids(route: str, listed: list[tuple[int, int]], seen: list[Ids]) -> Iterator[Finding]:
    """Judge whether ids differ, from each other and from those of the requests before."""
    ids = frozenset(number for number, _ in listed)
    known = ids <= frozenset(range(1, 10_001))
    found = f"{len(ids)} different ones of {len(listed)}{'' if known else ', some of no row'}"
    yield Finding(route, "ids", len(ids) == len(listed) and known, "different ids from 1 to 10000", found)
    if len(ids) >= FEW:
        again = any(ids <= other or other <= ids for other in seen)
        found = "those of a request before" if again else "others"
        yield Finding(route, "random", not again, "other ids with each request", found)
        seen.append(ids)


def _as_they_are(route: str, listed: list[tuple[int, int]], table: dict[int, int]) -> Finding:
    wrong = [(number, value) for number, value in listed if table.get(number) != value]
    expected = "rows as they are in the database"
    if not wrong:
        return Finding(route, "row", ok=True, expected=expected, found=f"{len(listed)} of them")
    number, value = wrong[0]
    found = f"row {number} with {value} where it has {table.get(number)}"
    return Finding(route, "row", ok=False, expected=expected, found=found)


def _called(upstream: Upstream, token: str) -> Judge:
    def judge(answer: Answer) -> Iterator[Finding]:
        account = upstream.account(token)
        digest = answer.body[-66:-2].decode()
        yield Finding(
            "external", "upstream", account.calls == 1, "one call of the upstream", f"{account.calls} calls"
        )
        yield Finding("external", "digest", digest == account.digest, f"its digest {account.digest}", digest)

    return judge


def _remembered(keys: Keys, key: str, value: str) -> Judge:
    def judge(_: Answer) -> Iterator[Finding]:
        found, left_s = keys.read(f"gatebench:{key}")
        told = "no such key" if found is None else shown(found)
        yield Finding("redis", "key", found == value.encode(), f"{value} under gatebench:{key}", f"{told} in Redis")
        least, most = KEPT_S
        kept = left_s is not None and least <= left_s <= most
        yield Finding("redis", "expiry", kept, f"kept for {most} s", "for ever" if left_s is None else f"{left_s} s")

    return judge


def _other(visit: Visit, value: int | None) -> int:
    """Draw a value that the row does not have."""
    while (drawn := visit.digits()) == value:
        pass
    return drawn
