"""Real services: databases, Redis and the upstream, and what is said when they cannot be had."""

from __future__ import annotations

import contextlib
import json
import os
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pymysql
import pytest
import redis

from gatebench import declare
from gatebench.backends.containers.backend import service_command
from gatebench.backends.process import installed, starter
from gatebench.backends.programs import scratch_folder
from gatebench.backends.services import Services, ready, running, seeded
from gatebench.backends.serving import missing, needed
from gatebench.errors import MachineError, UsageError
from gatebench.machine import usable_cpus
from gatebench.model import Service

pytestmark = pytest.mark.server


@pytest.fixture
def postgres(root: Path) -> Service:
    return declare.services(root)["postgres"]


def test_the_database_holds_ten_thousand_rows_of_five_digits(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("select count(*), min(id), max(id), min(value), max(value) from world").fetchone()
    assert found is not None
    assert found[:3] == (10_000, 1, 10_000)
    assert 10_000 <= found[3] <= found[4] <= 99_999


def test_sessions_share_a_server_and_never_a_row(
    postgres: Service, postgres_url: str, monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv(postgres.variable, postgres_url.split("?", maxsplit=1)[0])
    cpus = usable_cpus()
    with (
        running([postgres], starter(root, tmp_path, cpus)) as one,
        running([postgres], starter(root, tmp_path, cpus)) as two,
    ):
        assert one.pids == (), "a server that is named is not started"
        with psycopg.connect(one.urls["postgres"], autocommit=True) as connection:
            connection.execute("update world set value = 11111")
        with psycopg.connect(two.urls["postgres"]) as connection:
            found = connection.execute("select count(*) from world where value = 11111").fetchone()
            assert found is not None
            assert found[0] <= 1
        schema = one.urls["postgres"]
    with pytest.raises(psycopg.errors.UndefinedTable), psycopg.connect(schema) as connection:
        connection.execute("select * from world")


def test_a_database_that_is_not_there_is_told_in_a_sentence(postgres: Service) -> None:
    with (
        pytest.raises(MachineError, match=r"The database at 127.0.0.1:1 could not be filled.*GATEBENCH_DATABASE_URL"),
        seeded(postgres, "postgresql://nobody:secret@127.0.0.1:1/none"),
    ):
        pass


@pytest.mark.parametrize("url", ["postgresql://u@h:abc/db", "host=127.0.0.1 dbname=x", "http://127.0.0.1:1"])
def test_what_is_no_database_url_is_the_users_to_mend(postgres: Service, url: str) -> None:
    with pytest.raises(UsageError, match="GATEBENCH_DATABASE_URL holds no database URL"), seeded(postgres, url):
        pass


def test_a_seed_that_fails_leaves_no_schema_behind(postgres: Service, postgres_url: str, tmp_path: Path) -> None:
    (tmp_path / "seed.sql").write_text("create table x (); select 1 / 0", encoding="utf-8")
    url, count = (
        postgres_url.split("?", maxsplit=1)[0],
        "select count(*) from pg_namespace where nspname like 'gatebench%'",
    )
    with psycopg.connect(url, autocommit=True) as connection:
        before = connection.execute(count).fetchone()
        with (
            pytest.raises(MachineError, match="division by zero"),
            seeded(replace(postgres, seed=tmp_path / "seed.sql"), url),
        ):
            pass
        assert connection.execute(count).fetchone() == before


def test_a_database_that_does_not_start_is_told_with_its_log_and_leaves_nothing(
    postgres: Service, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(postgres.variable, raising=False)
    broken = replace(postgres, command=(*postgres.command, "-c", "shared_buffers=lots"))
    with (
        scratch_folder() as scratch,
        pytest.raises(MachineError, match=r"postgres ended with exit code 1 before it answered.*shared_buffers"),
        running([broken], starter(root, scratch, usable_cpus())),
    ):
        pass
    assert not [
        one for one in psutil.process_iter(["cmdline"]) if str(scratch) in " ".join(one.info["cmdline"] or ())
    ]


def test_a_database_whose_preparation_fails_is_told(
    postgres: Service, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(postgres.variable, raising=False)
    broken = replace(postgres, prepare=(*postgres.prepare, "--no-such-option"))
    with (
        scratch_folder() as scratch,
        pytest.raises(MachineError, match=r"postgres could not be prepared.*no-such-option"),
        running([broken], starter(root, scratch, usable_cpus())),
    ):
        pass


def ask(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def test_the_upstream_answers_after_its_delay_and_counts_its_calls(upstream_url: str) -> None:
    token = "0123456789abcdef"
    first, second = ask(f"{upstream_url}/call?token={token}"), ask(f"{upstream_url}/call?token={token}")
    assert first == second
    assert first["token"] == token
    assert len(str(first["digest"])) == 64
    assert ask(f"{upstream_url}/calls?token={token}")["calls"] == 2


def test_the_upstream_holds_many_calls_at_once(upstream_url: str) -> None:
    tokens = [f"{number:016x}" for number in range(200)]
    with ThreadPoolExecutor(100) as pool:
        digests = {
            str(found["digest"]) for found in pool.map(lambda t: ask(f"{upstream_url}/call?token={t}"), tokens)
        }
    assert len(digests) == 200


def test_what_services_there_are_and_how_they_are_set_is_told(services: Services) -> None:
    assert "PostgreSQL 1" in str(services.facts["postgres"]["version"])
    assert services.facts["upstream"]["delay_s"] == 0.05
    assert len(services.pids) == len(services.urls) >= 2


# ---- MariaDB ----


@pytest.fixture
def mariadb(root: Path) -> Service:
    return declare.services(root)["mariadb"]


@pytest.fixture
def mariadb_url(mariadb: Service, services: Services) -> str:
    if mariadb.name not in services.urls:
        pytest.skip(needed(mariadb.name, missing(mariadb.needs)))
    return services.urls[mariadb.name]


@contextlib.contextmanager
def into(url: str) -> Iterator[Any]:
    where = urlsplit(url)
    connection = pymysql.connect(
        host=where.hostname, port=where.port or 0, user=where.username, database=where.path[1:], autocommit=True
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        yield cursor


def shared(url: str) -> str:
    """Name the server's own database, as the environment would."""
    return urlsplit(url)._replace(path="/bench").geturl()


def test_mariadb_holds_the_rows_that_postgresql_holds(root: Path, mariadb_url: str, postgres_url: str) -> None:
    ask_all, declared = "select id, value from world order by id", declare.services(root)
    with (
        seeded(declared["mariadb"], shared(mariadb_url)) as mariadb,
        seeded(declared["postgres"], postgres_url.split("?", maxsplit=1)[0]) as postgresql,
        into(mariadb) as cursor,
        psycopg.connect(postgresql) as connection,
    ):
        cursor.execute(ask_all)
        assert list(cursor.fetchall()) == connection.execute(ask_all).fetchall()


def test_mariadb_gives_items_their_ids(mariadb_url: str) -> None:
    with into(mariadb_url) as cursor:
        cursor.execute("insert into item (name, price) values ('na\u00efve', 1)")
        first = cursor.lastrowid
        cursor.execute("insert into item (name, price) values ('b', 2)")
        assert cursor.lastrowid > first > 0
        cursor.execute(f"select name from item where id = {first}")
        assert cursor.fetchone() == ("na\u00efve",)
        cursor.execute("delete from item")


def test_sessions_share_mariadb_and_never_a_row(
    mariadb: Service, mariadb_url: str, monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv(mariadb.variable, shared(mariadb_url))
    start = starter(root, tmp_path, usable_cpus())
    with running([mariadb], start) as one, running([mariadb], start) as two:
        assert one.pids == (), "a server that is named is not started"
        with into(one.urls["mariadb"]) as cursor:
            cursor.execute("update world set value = 11111")
        with into(two.urls["mariadb"]) as cursor:
            cursor.execute("select count(*) from world where value = 11111")
            assert cursor.fetchone()[0] <= 1
        gone = one.urls["mariadb"]
    with pytest.raises(pymysql.err.OperationalError, match="Unknown database"), into(gone):
        pass


def test_a_seed_that_fails_leaves_no_database_behind(mariadb: Service, mariadb_url: str, tmp_path: Path) -> None:
    (tmp_path / "seed.sql").write_text("create table x (id integer); select * from no_such_table", encoding="utf-8")
    count = "select count(*) from information_schema.schemata where schema_name like 'gatebench%'"
    with into(mariadb_url) as cursor:
        cursor.execute(count)
        before = cursor.fetchone()
        with (
            pytest.raises(MachineError, match="no_such_table"),
            seeded(replace(mariadb, seed=tmp_path / "seed.sql"), shared(mariadb_url)),
        ):
            pass
        cursor.execute(count)
        assert cursor.fetchone() == before


def test_a_mariadb_that_is_not_there_is_told_in_a_sentence(mariadb: Service) -> None:
    with (
        pytest.raises(MachineError, match=r"The database at 127.0.0.1:1 could not be filled.*GATEBENCH_MARIADB_URL"),
        seeded(mariadb, "mysql://nobody:secret@127.0.0.1:1/none"),
    ):
        pass
    with (
        pytest.raises(UsageError, match="GATEBENCH_MARIADB_URL holds no database URL; expected mysql://"),
        seeded(mariadb, "postgresql://nobody@127.0.0.1:1/none"),
    ):
        pass


def test_what_mariadb_is_and_who_runs_it_is_told(mariadb_url: str, services: Services) -> None:
    assert "MariaDB" in str(services.facts["mariadb"]["version"])
    assert services.facts["mariadb"]["innodb_flush_method"] == "nosync"
    owners = {one.username() for pid in services.pids if (one := psutil.Process(pid)).name() == "mariadbd"}
    assert owners
    assert "root" not in owners


def test_in_a_container_mariadb_is_prepared_first_and_lets_the_bridge_in(mariadb: Service) -> None:
    shell, option, line = service_command(mariadb, "0.0.0.0", 3306)
    assert (shell, option) == ("sh", "-c")
    before, _, server = line.partition("exec mariadbd ")
    assert before.index("mariadb-install-db") < before.index("bench@'%'")
    assert "--bind-address=0.0.0.0 --port=3306" in server


# ---- Redis ----


@pytest.fixture
def cache(root: Path) -> Service:
    return declare.services(root)["redis"]


@pytest.fixture
def cache_url(cache: Service, services: Services) -> str:
    if cache.name not in services.urls:
        pytest.skip(needed(cache.name, missing(cache.needs)))
    return services.urls[cache.name]


def test_redis_keeps_what_it_is_told_and_writes_no_file(cache_url: str, services: Services) -> None:
    with redis.Redis.from_url(cache_url, decode_responses=True) as client:
        client.set("gatebench:0123", "4567", ex=60)
        assert client.get("gatebench:0123") == "4567"
        assert client.config_get("save", "appendonly", "bind") == {
            "save": "",
            "appendonly": "no",
            "bind": "127.0.0.1",
        }
    assert str(services.facts["redis"]["version"]).startswith("Redis ")


def test_a_redis_that_is_named_is_shared_and_not_started(
    cache: Service, cache_url: str, monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv(cache.variable, cache_url)
    with running([cache], starter(root, tmp_path, usable_cpus())) as found:
        assert found.pids == ()
        assert found.variables == {"GATEBENCH_REDIS_URL": cache_url}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://127.0.0.1:1/0", r"The Redis at 127.0.0.1:1 does not answer.*GATEBENCH_REDIS_URL"),
        ("127.0.0.1:6379", "GATEBENCH_REDIS_URL holds no database URL; expected redis://"),
    ],
)
def test_a_redis_that_is_named_and_not_there_is_told(
    cache: Service, url: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(cache.variable, url)
    with (
        pytest.raises((MachineError, UsageError), match=said),
        running([cache], starter(tmp_path, tmp_path, usable_cpus())),
    ):
        pass


def test_nothing_answers_where_nothing_listens(postgres: Service, mariadb: Service, cache: Service) -> None:
    assert not any(ready(service, 1) for service in (postgres, mariadb, cache))


# ---- what the machine has ----


def test_a_missing_program_is_told_before_anything_starts(
    root: Path, cache: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    upstream = declare.services(root)["upstream"]
    broken = replace(cache, needs={"no-such-program": "some-package"})
    for service in (upstream, broken):
        monkeypatch.delenv(service.variable, raising=False)
    with (
        pytest.raises(MachineError, match=r"^redis needs some-package: apt-get install -y some-package"),
        running([upstream, broken], starter(root, tmp_path, usable_cpus())),
    ):
        pass
    assert not list(tmp_path.iterdir()), "the upstream before it was started"


def test_the_installed_postgresql_is_taken_where_it_is_asked_for(
    postgres: Service, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        programs = installed(postgres).programs
    except MachineError as error:
        pytest.skip(str(error))
    monkeypatch.setenv(postgres.variable, "installed")
    with scratch_folder() as scratch, running([postgres], starter(root, scratch, usable_cpus())) as found:
        assert [Path(psutil.Process(pid).cmdline()[0]).parent for pid in found.pids] == [Path(programs)]
        with psycopg.connect(found.urls["postgres"]) as connection:
            assert connection.execute("select count(*) from world").fetchone() == (10_000,)


def test_the_newest_of_the_installed_programs_is_taken(postgres: Service, tmp_path: Path) -> None:
    for version in ("9", "15", "14"):
        (tmp_path / version / "bin").mkdir(parents=True)
    found = installed(replace(postgres, installed=f"{tmp_path}/*/bin/"))
    assert found.programs == f"{tmp_path}/15/bin{os.sep}"
    assert found.requirements == (), "the wheel is not wanted then"


def test_what_is_not_installed_is_told_with_its_package(
    postgres: Service, cache: Service, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start = starter(root, tmp_path, usable_cpus())
    monkeypatch.setenv(postgres.variable, "installed")
    with (
        pytest.raises(MachineError, match="apt-get install -y postgresql"),
        running([replace(postgres, installed=f"{tmp_path}/*/bin/")], start),
    ):
        pass
    monkeypatch.setenv(cache.variable, "installed")
    with pytest.raises(UsageError, match=r"GATEBENCH_REDIS_URL is 'installed'.*no key"), running([cache], start):
        pass
