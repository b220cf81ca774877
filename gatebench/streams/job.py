"""What the client is asked to do: the load generator's document, as far as this client serves it.

Knows the job's format and that load goes to this machine's loopback only. Must not know sockets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

from gatebench.errors import UsageError
from gatebench.model import LARGEST_LOAD, Load

FORMAT = 1
SCENARIO = "plain"  # the one that is served: what is compared is the protocols
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One measurement to be made."""

    address: IPv4Address | IPv6Address  # a loopback one
    port: int
    load: Load  # h1, h2 or h3
    warmup_slice_s: float
    warmup_limit_s: float
    window_s: float
    timeout_s: float  # of a request

    @property
    def authority(self) -> str:
        """Name the server as requests do."""
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


def parse(text: bytes) -> Job:
    """Read a job; UsageError says in one sentence what is wrong with it."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the job is no JSON document ({error}); write one object and close the pipe") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise UsageError(f'the job is not of a format known here; it must be an object with "format": {FORMAT}')
    try:
        load = _load(data["load"])
        if PurePath(str(data["scenario"])).stem != SCENARIO:
            raise UsageError(
                f"{load} asks for the scenario '{SCENARIO}' only, and the job's is {data['scenario']}; "
                "give that one a load such as closed(64)"
            )
        address, port = _host(data["host"], load)
        times = {key: _seconds(data, key) for key in ("warmup_slice_s", "warmup_limit_s", "window_s", "timeout_s")}
    except KeyError as error:
        raise UsageError(f"the job lacks {error}; gatebench/streams/job.py lists what it needs") from error
    return Job(address=address, port=port, load=load, **times)


def _seconds(data: Mapping[str, Any], key: str) -> float:
    value = data[key]
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise UsageError(f"the job's {key} is {value!r}; it must be a number of seconds above 0")
    return float(value)


def _load(data: Any) -> Load:
    kind, size = (data.get("kind"), data.get("size")) if isinstance(data, dict) else (None, None)
    if kind in ("h1", "h2", "h3") and type(size) is int and 1 <= size <= LARGEST_LOAD:
        return Load(kind=kind, size=size)
    raise UsageError(
        f"the job's load is {kind}({size}); it must be h1(REQUESTS), h2(REQUESTS) or h3(REQUESTS), so many at a "
        f"time, a whole number from 1 to {LARGEST_LOAD}"
    )


def _host(url: Any, load: Load) -> tuple[IPv4Address | IPv6Address, int]:
    try:
        parts = urlsplit(str(url))
        address, port = ip_address(parts.hostname or ""), parts.port
    except ValueError:
        raise UsageError(
            f"the host {url!r} is no address of this machine; give one as https://127.0.0.1:PORT"
        ) from None
    if parts.scheme != "https":
        raise UsageError(f"{load} goes over TLS, and the host is {url!r}; give a server that speaks TLS")
    if not port or not any(address in network for network in LOOPBACK):
        raise UsageError(f"the host {url!r} is refused; load goes to 127.0.0.0/8 or [::1], with a port, only")
    return address, port
