"""Our own look behind the server: at the upstream's account of its calls, and into Redis.

Knows the upstream's addresses and Redis' keys. Must not know routes. A service that fails is a MachineError: the
stack is not to blame.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gatebench.contract.wire import Asked, Client, Server
from gatebench.errors import MachineError

if TYPE_CHECKING:
    from redis import Redis

SERVICE_S = 5  # within which Redis answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the upstream says of a token."""

    calls: int
    digest: str
    delay_s: float


class Upstream:
    """The upstream, asked beside its callers and without its delay."""

    def __init__(self, url: str, until: float) -> None:
        """Aim at the upstream."""
        where = urlsplit(url)
        self._url = url
        self._client = Client(Server(host=where.hostname or "", port=where.port or 80, until=until), closes=False)

    def account(self, token: str) -> Account:
        """Ask how often a token was called and what the answer must have been."""
        answer = self._client.ask(Asked(target=f"/calls?token={token}"))
        try:
            found = json.loads(answer.body)
            return Account(calls=found["calls"], digest=found["digest"], delay_s=found["delay_s"])
        except (ValueError, KeyError, TypeError) as error:
            said = answer.fault or f"status {answer.status}"
            raise MachineError(f"The upstream at {self._url} gave no account of its calls: {said}.") from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class Keys:
    """Redis, over a connection of our own."""

    def __init__(self, url: str) -> None:
        """Aim at Redis; it is connected to when first looked into."""
        self._url = url
        self._opened: Redis | None = None

    def read(self, key: str) -> tuple[bytes | None, float | None]:
        """Read what a key has, None where there is no such key, and for how many seconds; None where for ever."""
        from redis import Redis, RedisError  # noqa: PLC0415 - it costs every start of the command line 0.3 s

        try:
            if self._opened is None:
                self._opened = Redis.from_url(
                    self._url, socket_timeout=SERVICE_S, socket_connect_timeout=SERVICE_S, decode_responses=False
                )
            value, left_ms = self._opened.get(key), int(str(self._opened.pttl(key)))
        except (RedisError, OSError) as error:
            said = " ".join(str(error).split())
            raise MachineError(f"Redis at {self._url} failed the contract's own look: {said}.") from error
        return (value if isinstance(value, bytes) else None), (left_ms / 1000 if left_ms >= 0 else None)

    def close(self) -> None:
        """Close the connection."""
        if self._opened is not None:
            self._opened.close()
