"""Mutants of the routes behind which a service stands: lists of rows, items, Redis."""

from __future__ import annotations

import contextlib
import functools
import json
import random
from typing import Any

from redis import Redis

from mutants.stack import Query, Response, Stack, compact

# queries and updates


class RememberedTable(Stack):
    """Reads the whole table once."""

    @functools.cached_property
    def table(self) -> dict[int, int]:
        return dict(self.run("select id, value from world"))

    def queries(self, query: Query) -> Response:
        return compact([{"id": number, "value": self.table[number]} for number in self.draw(int(query["n"]))])


class SameRows(Stack):
    def draw(self, count: int) -> list[int]:
        return list(range(1, count + 1))


class RowsTwice(Stack):
    def draw(self, count: int) -> list[int]:
        return [random.randint(1, 10_000)] * count


class RowTooMany(Stack):
    def queries(self, query: Query) -> Response:
        return super().queries({"n": str(min(int(query["n"]), 99) + 1)})


class SpacedRows(Stack):
    def queries(self, query: Query) -> Response:
        return Response(super().queries(query).body.replace(b",", b", "), "application/json")


class UnsortedUpdates(Stack):
    def updates(self, query: Query) -> Response:
        return compact(json.loads(super().updates(query).body)[::-1])


class LostUpdates(Stack):
    def write(self, number: int, value: int) -> None:
        pass


class StandingUpdates(Stack):
    """Writes what was there."""

    def updates(self, query: Query) -> Response:
        numbers = sorted(self.draw(int(query["n"])))
        return compact([{"id": number, "value": self.read(number)} for number in numbers])


class OneValue(Stack):
    def value(self) -> int:
        return self.number

    @functools.cached_property
    def number(self) -> int:
        return random.randint(10_000, 99_999)


class SpreadingUpdates(Stack):
    """Changes other rows, too."""

    def draw(self, count: int) -> list[int]:
        return random.sample(range(1, 5001), count)

    def write(self, number: int, value: int) -> None:
        super().write(number, value)
        self.run("update world set value = 109999 - value where id = %s", number + 5000)


# crud


class CreatedWith200(Stack):
    def items(self, method: str, number: int | None, body: bytes) -> Response:
        answer = super().items(method, number, body)
        return Response(answer.body, answer.kind) if method == "POST" else answer


class CreatedNowhere(Stack):
    def create(self, name: str, price: int) -> dict[str, Any]:
        return {"id": random.randint(10**6, 10**9), "name": name, "price": price}


class MangledNames(Stack):
    def create(self, name: str, price: int) -> dict[str, Any]:
        made = super().create(name.encode("ascii", "replace").decode(), price)
        return {**made, "name": name}


class OtherOrder(Stack):
    def item(self, number: int) -> dict[str, Any] | None:
        found = super().item(number)
        return found and dict(sorted(found.items(), reverse=True))


class PriceAsText(Stack):
    def item(self, number: int) -> dict[str, Any] | None:
        found = super().item(number)
        return found and {**found, "price": str(found["price"])}


class RememberedItem(Stack):
    @functools.cache  # noqa: B019 - the fault in question
    def item(self, number: int) -> dict[str, Any] | None:
        return super().item(number)


class LostChange(Stack):
    def change(self, number: int, name: str, price: int) -> dict[str, Any] | None:
        found = self.item(number)
        return found and {**found, "name": name, "price": price}


class NothingToChange(Stack):
    """Takes an item that is already as it should be for none, as MariaDB's count of changed rows suggests."""

    def change(self, number: int, name: str, price: int) -> dict[str, Any] | None:
        found = self.item(number)
        if found and (found["name"], found["price"]) == (name, price):
            return None
        return super().change(number, name, price)


class MissingIs200(Stack):
    def missing(self) -> Response:
        return compact({"error": "no such item"})


class MissingInOtherWords(Stack):
    def missing(self) -> Response:
        return compact({"detail": "Not Found"}, "404 Not Found")


class KeptItem(Stack):
    def remove(self, number: int) -> bool:
        return self.item(number) is not None


class RemovesAll(Stack):
    def remove(self, number: int) -> bool:
        there = super().remove(number)
        if there:
            self.run("delete from item")
        return there


class RemovedWith200(Stack):
    def items(self, method: str, number: int | None, body: bytes) -> Response:
        answer = super().items(method, number, body)
        return Response(b"") if answer.status == "204 No Content" else answer


class RemovedWithBody(Stack):
    def items(self, method: str, number: int | None, body: bytes) -> Response:
        answer = super().items(method, number, body)
        return Response(b"gone", None, answer.status) if answer.status == "204 No Content" else answer


# Redis


class RememberedNowhere(Stack):
    def remember(self, key: str, value: str) -> str:
        return value


class RememberedForEver(Stack):
    def remember(self, key: str, value: str) -> str:
        with contextlib.closing(Redis.from_url(self.redis_url)) as redis:
            redis.set(f"gatebench:{key}", value)
        return value


class RememberedForAnHour(Stack):
    def remember(self, key: str, value: str) -> str:
        with contextlib.closing(Redis.from_url(self.redis_url)) as redis:
            redis.set(f"gatebench:{key}", value, ex=3600)
        return value


class OtherKey(Stack):
    def remember(self, key: str, value: str) -> str:
        return super().remember(f"x{key}", value)


class FirstValue(Stack):
    """Answers with what it first had under a key."""

    @functools.cached_property
    def first(self) -> dict[str, str]:
        return {}

    def remember(self, key: str, value: str) -> str:
        return self.first.setdefault(key, super().remember(key, value))
