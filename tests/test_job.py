"""The job the generator is given: what it takes, and what it refuses before anything is sent."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench.errors import UsageError
from gatebench.model import Load
from gatebench.swarm.job import parse

GOOD: dict[str, Any] = {
    "format": 1,
    "scenario": "scenarios/plain.py",
    "host": "http://127.0.0.1:8000",
    "load": {"kind": "closed", "size": 64},
    "seed": 123,
    "warmup_slice_s": 0.5,
    "warmup_limit_s": 3,
    "window_s": 3.0,
    "timeout_s": 10.0,
}


def spelt(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


def test_a_good_job_is_read() -> None:
    job = parse(spelt())
    assert (job.scenario, job.load, job.window_s) == (
        Path("scenarios/plain.py"),
        Load(kind="closed", size=64),
        3.0,
    )


def test_a_job_that_names_no_limit_on_errors_has_that_of_the_scenarios() -> None:
    assert parse(spelt()).error_limit == 0.001
    assert parse(spelt(error_limit=0)).error_limit == 0


@pytest.mark.parametrize(
    ("kind", "connections"), [("closed", 500), ("hold", 500), ("open", 256), ("poisson", 256), ("search", 256)]
)
def test_every_kind_of_load_is_read_and_says_how_many_connections_it_may_use(kind: str, connections: int) -> None:
    job = parse(spelt(load={"kind": kind, "size": 500}))
    assert (job.load.kind, job.load.size, job.connections) == (kind, 500, connections)


def test_an_open_load_may_be_given_its_connections() -> None:
    assert parse(spelt(load={"kind": "open", "size": 500, "connections": 3})).connections == 3


@pytest.mark.parametrize(
    "host",
    [
        "http://127.0.0.1:1",
        "http://127.255.3.4:8000",
        "http://[::1]:8000",
        "https://127.0.0.1:8443",
        "https://[::1]:8443",
    ],
)
def test_load_goes_to_any_loopback_address(host: str) -> None:
    assert parse(spelt(host=host)).host == host


@pytest.mark.parametrize(
    "host",
    [
        "http://192.0.2.1:8000",
        "http://10.0.0.1:8000",
        "http://0.0.0.0:8000",
        "http://128.0.0.1:8000",
        "http://[::]:8000",
        "http://[::ffff:192.0.2.1]:8000",
        "http://localhost:8000",  # a name may lead anywhere
        "http://example.invalid:8000",
        "http://127.0.0.1.example.invalid:8000",
        "http://127.0.0.1@example.invalid:8000",
        "http://192.0.2.1:8000#127.0.0.1",
        "https://192.0.2.1:8443",
        "https://127.0.0.1",
        "ws://127.0.0.1:8000",
        "ftp://127.0.0.1:8000",
        "http://127.0.0.1",
        "http://127.0.0.1:0",
        "http://127.0.0.1:99999",
        "127.0.0.1:8000",
        "",
    ],
)
def test_load_goes_nowhere_else(host: str) -> None:
    with pytest.raises(UsageError, match=r"the host .* (is refused|is no address)"):
        parse(spelt(host=host))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 2}, "format"),
        ({"scenario": 5}, "scenario"),
        ({"seed": "x"}, "seed"),
        ({"seed": True}, "seed"),
        ({"load": "closed(64)"}, "load"),
        ({"load": {"kind": "closed", "size": 0}}, r"closed\(0\)"),
        ({"load": {"kind": "closed", "size": "64"}}, r"closed\(64\)"),
        ({"load": {"kind": "closed", "size": 1_000_000}}, "999999"),
        ({"load": {"kind": "wild", "size": 5}}, r"wild\(5\)"),
        ({"load": {"kind": ["open"], "size": 5}}, "load"),
        ({"load": {"kind": "search", "size": "50ms"}}, r"search\(50ms\)"),
        ({"load": {"kind": "search", "size": 0}}, r"search\(0\)"),
        ({"load": {"kind": "open", "size": 5, "connections": 0}}, r"load\.connections is 0"),
        ({"load": {"kind": "open", "size": 5, "connections": "9"}}, r"load\.connections is '9'"),
        ({"load": {"kind": "closed", "size": 5, "connections": 9}}, r"load\.connections is 9, which closed\(5\)"),
        ({"error_limit": 1}, "error_limit"),
        ({"error_limit": -0.1}, "error_limit"),
        ({"error_limit": "0.1"}, "error_limit"),
        ({"error_limit": float("nan")}, "error_limit"),
        ({"window_s": 0}, "window_s"),
        ({"window_s": -1.0}, "window_s"),
        ({"timeout_s": "10"}, "timeout_s"),
        ({"warmup_limit_s": float("inf")}, "warmup_limit_s"),
        ({"warmup_slice_s": float("nan")}, "warmup_slice_s"),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse(spelt(**changes))


@pytest.mark.parametrize("key", sorted(GOOD))
def test_a_missing_value_is_named(key: str) -> None:
    with pytest.raises(UsageError, match=key):
        parse(json.dumps({name: value for name, value in GOOD.items() if name != key}).encode())


@given(st.binary())
def test_garbage_is_refused_in_one_sentence(text: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
