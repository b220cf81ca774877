"""Real services: the embedded PostgreSQL and the upstream, and what is said when they cannot be had."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from gatebench import declare
from gatebench.backends.process import starter
from gatebench.backends.programs import scratch_folder
from gatebench.backends.services import Services, running, seeded
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
    before = set(psutil.pids())
    with (
        scratch_folder() as scratch,
        pytest.raises(MachineError, match=r"postgres ended with exit code 1 before it answered.*shared_buffers"),
        running([broken], starter(root, scratch, usable_cpus())),
    ):
        pass
    names = [psutil.Process(pid).name() for pid in set(psutil.pids()) - before if psutil.pid_exists(pid)]
    assert "postgres" not in names


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
    assert len(services.pids) == 2
