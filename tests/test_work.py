"""What requests do: each driver of apps/work does what the contract says, and nothing beside it."""

from __future__ import annotations

import hashlib
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from workers import ROOT, Gate, Worker, gate

from gatebench import declare, envs
from gatebench.backends.process import starter
from gatebench.backends.programs import scratch_folder
from gatebench.backends.services import running
from gatebench.errors import MachineError
from gatebench.machine import usable_cpus

pytestmark = [pytest.mark.server, pytest.mark.slow]

AXES = tomllib.loads((ROOT / "apps" / "work" / "axes.toml").read_text(encoding="utf-8"))
SIDES = ("sync", "aio")
SERVICES = {"db": "postgres", "http": "upstream", "redis": "redis"}
VARIABLES = {service.name: service.variable for service in declare.services(ROOT).values()}
SIZE = 3


@dataclass(frozen=True)
class Driver:
    side: str
    axis: str
    name: str
    gevent: bool = False

    @property
    def service(self) -> str:
        usual = SERVICES[self.axis]
        return str(AXES[self.side][self.axis][self.name].get("instead", {}).get(usual, usual))

    @property
    def module(self) -> str:
        return f"work.{self.side}.{self.axis}_{self.name.replace('-', '_')}"

    def __str__(self) -> str:
        return f"{self.side}-{self.axis}-{self.name}{'-gevent' if self.gevent else ''}"


def drivers(*axes: str) -> list[Driver]:
    """Every driver of these axes; those that threads wait for also under gevent."""
    plain = [Driver(side, axis, name) for side in SIDES for axis in axes for name in AXES[side][axis]]
    return plain + [Driver(one.side, one.axis, one.name, gevent=True) for one in plain if one.side == "sync"]


@pytest.fixture(scope="module")
def python() -> Path:
    wanted = {
        requirement
        for side in SIDES
        for axis in AXES[side].values()
        for value in axis.values()
        for requirement in value["requirements"]
    }
    return envs.prepare(ROOT, sorted({*wanted, *AXES["requirements"], "gevent"})).python


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """Address of each service that this machine can start; why not, of each that it cannot."""
    found: dict[str, str] = {}
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder())
        for service in declare.services(ROOT).values():
            try:
                running_ = running([service], starter(ROOT, scratch, usable_cpus()))
                found[service.name] = stack.enter_context(running_).urls[service.name]
            except MachineError as error:
                found[service.name] = f"none: {error}"
        yield found


@pytest.fixture
def way(request: pytest.FixtureRequest, addresses: dict[str, str]) -> Iterator[Gate]:
    """The way to the service of the test's driver."""
    url = addresses[request.getfixturevalue("driver").service]
    if url.startswith("none: "):
        pytest.skip(url.removeprefix("none: "))
    with gate(url) as opened:
        yield opened


def worker(python: Path, driver: Driver, way: Gate, size: int = SIZE) -> Worker:
    given = {f"GATEBENCH_{driver.axis.upper()}": driver.name, "GATEBENCH_POOL_SIZE": str(size)}
    return Worker(python, driver.side, {**given, VARIABLES[driver.service]: way.url}, gevent=driver.gevent)


def asked(driver: Driver) -> tuple[Any, ...]:
    """One use of a driver's service, as a function's name and what it takes."""
    uses: dict[str, tuple[Any, ...]] = {
        "db": ("row", 7),
        "http": ("call", "0123456789abcdef"),
        "redis": ("remember", "0123456789abcdef", "fedcba9876543210"),
    }
    return uses[driver.axis]


@pytest.mark.parametrize("driver", drivers("db"), ids=str)
def test_a_database_driver_reads_and_sets_rows_and_what_it_set_is_committed(
    driver: Driver, python: Path, way: Gate
) -> None:
    with worker(python, driver, way) as work:
        assert work("update", 7, 54321) == {"id": 7, "value": 54321}
        assert work("row", 7) == {"id": 7, "value": 54321}
        read = work("rows", 100)
        assert len({row["id"] for row in read}) == len(read) == 100
        assert all(list(row) == ["id", "value"] for row in read)
        assert all(1 <= row["id"] <= 10_000 and 10_000 <= row["value"] <= 99_999 for row in read)
        assert [row["id"] for row in read] != [row["id"] for row in work("rows", 100)], "ids are random"
        set_ = work("renew", 20)
        assert [row["id"] for row in set_] == sorted({row["id"] for row in set_})
        assert len({row["value"] for row in set_}) > 1, "values are random"
        with worker(python, driver, way) as other:
            renewed = {row["id"]: row for row in set_}  # ids are random, and may hold 7
            assert other("row", 7) == renewed.get(7, {"id": 7, "value": 54321})
            assert [other("row", row["id"]) for row in set_] == set_


@pytest.mark.parametrize("driver", drivers("db"), ids=str)
def test_a_database_driver_creates_reads_changes_and_removes_items(driver: Driver, python: Path, way: Gate) -> None:
    with worker(python, driver, way) as work:
        made = work("create", 'it\'s "é" 100% 🐍', 7)
        assert made == {"id": made["id"], "name": 'it\'s "é" 100% 🐍', "price": 7}
        assert list(made) == ["id", "name", "price"]
        number = made["id"]
        assert work("create", "other", 7)["id"] != number
        assert work("read", number) == made
        changed = {"id": number, "name": "b", "price": 8}
        assert work("change", number, "b", 8) == changed
        assert work("change", number, "b", 8) == changed, "what is as it was is there all the same"
        with worker(python, driver, way) as other:
            assert other("read", number) == changed, "committed"
        assert work("remove", number) is True
        assert work("remove", number) is False
        assert work("read", number) is None
        assert work("change", number, "c", 9) is None


@pytest.mark.parametrize("driver", drivers("db"), ids=str)
def test_a_row_that_is_not_there_is_told_in_a_sentence(driver: Driver, python: Path, way: Gate) -> None:
    with worker(python, driver, way) as work, pytest.raises(AssertionError, match="has no row 10001"):
        work("row", 10_001)


@pytest.mark.parametrize("driver", [one for one in drivers("db") if not one.gevent], ids=str)
def test_a_database_driver_sends_its_statements_and_nothing_else(driver: Driver, python: Path, way: Gate) -> None:
    changes = 2 if driver.service == "mariadb" else 1  # its update cannot answer with the row
    uses: list[tuple[tuple[Any, ...], int]] = [
        (("row", 7), 1),
        (("update", 7, 54321), 1),
        (("rows", 5), 5),
        (("renew", 5), 10),
        (("create", "a", 7), 1),
        (("read", 0), 1),
        (("change", 0, "b", 8), changes),
        (("remove", 0), 1),
    ]
    with worker(python, driver, way, size=1) as work:
        for use, statements in uses:
            for _ in range(24):  # until all is prepared: psycopg does so per width of integer, and values are random
                work(*use)
            before = way.questions
            for _ in range(4):
                work(*use)
            assert way.questions - before == 4 * statements, use[0]


@pytest.mark.parametrize("driver", drivers("db", "http", "redis"), ids=str)
def test_a_pool_never_exceeds_its_size_and_who_finds_it_empty_waits(driver: Driver, python: Path, way: Gate) -> None:
    with worker(python, driver, way) as work:
        work("sleep", 0.0)
        assert way.connections == 0, "nothing is opened before it is needed"
        first = work(*asked(driver))
        work.together(*asked(driver), times=3 * SIZE)
        way.hold(SIZE)
        assert work.together(*asked(driver), times=4 * SIZE) == [first] * (4 * SIZE)
        assert way.peak == SIZE, "as many at once as the pool has connections"
        assert way.connections == SIZE, "each connection is kept"


@pytest.mark.parametrize("driver", drivers("http"), ids=str)
def test_the_upstream_is_called_once_and_its_answer_comes_as_it_was(driver: Driver, python: Path, way: Gate) -> None:
    with worker(python, driver, way) as work:
        first = work("call", "0123456789abcdef")
        assert first.startswith('{"token":"0123456789abcdef","digest":"')
        before = way.questions
        assert work("call", "0123456789abcdef") == first
        assert way.questions == before + 1


@pytest.mark.parametrize("driver", drivers("redis"), ids=str)
def test_redis_is_told_once_and_asked_once(driver: Driver, python: Path, way: Gate) -> None:
    with worker(python, driver, way, size=1) as work:
        work("remember", "ab", "cd")
        before = way.questions
        assert work("remember", "ab", "ef") == {"key": "ab", "value": "ef"}
        assert way.questions == before + 2


@pytest.mark.parametrize("driver", drivers("files"), ids=str)
def test_the_file_is_read_whole(driver: Driver, python: Path) -> None:
    expected = (ROOT / "apps" / "work" / "file.bin").read_bytes()
    assert len(expected) == 65_536
    with Worker(python, driver.side, {"GATEBENCH_FILES": driver.name}, gevent=driver.gevent) as work:
        assert work("file").encode("latin-1") == expected


@pytest.mark.parametrize("driver", drivers("db", "http", "redis", "files"), ids=str)
def test_only_the_driver_that_was_chosen_is_loaded(driver: Driver, python: Path) -> None:
    given = {f"GATEBENCH_{driver.axis.upper()}": driver.name}
    with Worker(python, driver.side, given, gevent=driver.gevent) as work:
        of_axis = [name for name in work.modules() if name.startswith(f"work.{driver.side}.{driver.axis}_")]
    assert of_axis == [driver.module]


@pytest.mark.parametrize("side", SIDES)
def test_where_nothing_is_chosen_the_first_of_each_axis_works(side: str, python: Path) -> None:
    with Worker(python, side, {}) as work:
        loaded = work.modules()
    for axis, values in AXES[side].items():
        assert Driver(side, axis, next(iter(values))).module in loaded


def test_a_driver_that_does_not_exist_is_told_with_those_that_do(python: Path) -> None:
    done = subprocess.run(
        [python, "-c", "import work.aio"],
        env={"PYTHONPATH": str(ROOT / "apps"), "GATEBENCH_DB": "nosuch"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "work.aio has no db driver 'nosuch'; axes.toml has asyncpg, psycopg, aiomysql" in done.stderr


@pytest.mark.parametrize("side", SIDES)
def test_events_and_pieces_are_made_one_by_one(side: str, python: Path) -> None:
    with Worker(python, side, {}) as work:
        assert work("events", 3, 0.0) == ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"]
        pieces = work("pieces", 28, 5)
    assert pieces == [letter * 5 for letter in "abcdefghijklmnopqrstuvwxyzab"]


class Page(HTMLParser):
    """What a page shows, and which elements it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data)


def test_a_page_shows_what_html_must_not_have_as_it_is(python: Path) -> None:
    with Worker(python, "sync", {}) as work:
        page = work("pages.page", 2, "0123456789abcdef")
    assert page.startswith("<!doctype html>")
    shown = Page(page)
    messages = [f'<script>alert("0123456789abcdef")</script> & row {i}, it\'s ready' for i in (1, 2)]
    assert shown.texts == ["Rows", "id", "message", "1", messages[0], "2", messages[1]]
    assert shown.tags.count("table") == 1
    assert shown.tags.count("tr") == 3
    assert "script" not in shown.tags


def test_numpy_is_loaded_by_who_asks_for_the_matrix_product_and_by_nobody_else(python: Path) -> None:
    code = """if True:
        import sys
        from work import aio, inference, pages, rounds, sync
        pages.page(2, "0123456789abcdef"), rounds.turn(2, 3)
        print("numpy" in sys.modules)
        inference.infer(7)
        print("numpy" in sys.modules)
    """
    done = subprocess.run(
        [python, "-c", code], env={"PYTHONPATH": str(ROOT / "apps")}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


def test_the_matrix_product_has_the_values_of_the_contract_whoever_asks_at_once(python: Path) -> None:
    with Worker(python, "sync", {}) as work:
        assert work.together("inference.infer", 0, times=4) == [{"label": 9, "score": 3399221640, "x": 0}] * 4
        assert work("inference.infer", 7) == {"label": 2, "score": 8066019521, "x": 7}
        assert work("inference.infer", 999) == {"label": 8, "score": 5106986383, "x": 999}


def test_a_body_has_its_digest(python: Path) -> None:
    with Worker(python, "sync", {}) as work:
        assert work("rounds.turn", 2, 3) == (((3 * 1103515245 + 12345) % 2**31) * 1103515245 + 12345) % 2**31
    code = "from work import rounds; print(rounds.digest(bytes(5)))"
    done = subprocess.run(
        [python, "-c", code], env={"PYTHONPATH": str(ROOT / "apps")}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == hashlib.sha256(bytes(5)).hexdigest()
