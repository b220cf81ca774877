"""What the generator is asked to do: one JSON document, checked before anything is sent anywhere.

Knows the job's format and that load goes to this machine's loopback only. Must not know Locust.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gatebench.errors import UsageError
from gatebench.model import LARGEST_LOAD, Load, LoadKind

FORMAT = 1
KINDS: tuple[LoadKind, ...] = ("closed", "hold", "open", "poisson", "search")  # others are other programs'
ERROR_LIMIT = 0.001  # where the job names none
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One measurement to be made."""

    scenario: Path  # a Locust file
    host: str  # http://ADDRESS:PORT or https://ADDRESS:PORT, the address being a loopback one
    load: Load
    connections: int  # the most it may use: those of the load, unless the job says otherwise of an open loop
    error_limit: float  # share of requests that may fail: what a search stays below
    seed: int  # of all random parameters
    warmup_slice_s: float
    warmup_limit_s: float
    window_s: float
    timeout_s: float  # of a request
    window_at_s: float | None = None  # a reading of perf_counter: warm-up lasts until then at least


def parse(text: bytes) -> Job:
    """Read a job; UsageError says in one sentence what is wrong with it."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the job is no JSON document ({error}); write one object and close the pipe") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise UsageError(f'the job is not of a format known here; it must be an object with "format": {FORMAT}')
    try:
        load = _load(_one(data, "load", dict))
        return Job(
            scenario=Path(_one(data, "scenario", str)),
            host=_loopback(_one(data, "host", str)),
            load=load,
            connections=_connections(data["load"], load),
            error_limit=_share(data, "error_limit", default=ERROR_LIMIT),
            seed=_one(data, "seed", int),
            **{key: _seconds(data, key) for key in ("warmup_slice_s", "warmup_limit_s", "window_s", "timeout_s")},
            window_at_s=None if data.get("window_at_s") is None else _seconds(data, "window_at_s"),
        )
    except KeyError as error:
        raise UsageError(f"the job lacks {error}; gatebench/swarm/job.py lists what it needs") from error


def _one(data: Mapping[str, Any], key: str, kind: type[Any]) -> Any:
    value = data[key]
    if type(value) is not kind:
        raise UsageError(f"the job's {key} is {value!r}; it must be of the type {kind.__name__}")
    return value


def _seconds(data: Mapping[str, Any], key: str) -> float:
    value = data[key]
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise UsageError(f"the job's {key} is {value!r}; it must be a number of seconds above 0")
    return float(value)


def _share(data: Mapping[str, Any], key: str, *, default: float) -> float:
    value = data.get(key, default)
    if type(value) not in (int, float) or not 0 <= value < 1:
        raise UsageError(f"the job's {key} is {value!r}; it must be a share of 1, from 0 to below 1")
    return float(value)


def _load(data: Mapping[str, Any]) -> Load:
    kind, size = data.get("kind"), data.get("size")
    if kind in KINDS and type(size) is int and 1 <= size <= LARGEST_LOAD:
        return Load(kind=kind, size=size)
    raise UsageError(
        f"the job's load is {kind}({size}); it must be closed(USERS), hold(CONNECTIONS), open(RATE), poisson(RATE) "
        f"or search(MILLISECONDS), the size a whole number from 1 to {LARGEST_LOAD}"
    )


def _connections(data: Mapping[str, Any], load: Load) -> int:
    value = data.get("connections", load.connections)
    if type(value) is not int or not 1 <= value <= LARGEST_LOAD:
        raise UsageError(f"the job's load.connections is {value!r}; it must be from 1 to {LARGEST_LOAD}")
    if not load.paced and value != load.connections:
        raise UsageError(
            f"the job's load.connections is {value}, which {load} does not leave open; leave the key out or give "
            "an open load"
        )
    return value


def _loopback(url: str) -> str:
    try:
        parts = urlsplit(url)
        address, port = ip_address(parts.hostname or ""), parts.port
    except ValueError:
        raise UsageError(
            f"the host {url!r} is no address of this machine; give one as http://127.0.0.1:PORT"
        ) from None
    if parts.scheme not in ("http", "https") or not port or not any(address in network for network in LOOPBACK):
        raise UsageError(
            f"the host {url!r} is refused; load goes by http or https to 127.0.0.0/8 or [::1], with a port, only"
        )
    return url
