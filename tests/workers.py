"""How the tests drive apps/work: in a process of its own, since its drivers are not the harness's, through a gate.

As a program it reads calls from its input, one JSON document a line, and writes what they returned; it runs in the
drivers' environment, with apps/ on its import path.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from inspect import isasyncgen, iscoroutine
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).parent.parent
PATIENCE_S = 20


class Worker:
    """A process that calls functions of work.sync or work.aio as it is told."""

    def __init__(self, python: Path, side: str, given: Mapping[str, str], *, gevent: bool = False) -> None:
        self.process = subprocess.Popen(
            [str(python), __file__, side, *(["gevent"] if gevent else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "apps"), **given},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate(timeout=PATIENCE_S)

    def __call__(self, name: str, *given: Any) -> Any:
        """Call a function once."""
        return self._told({"name": name, "given": given, "times": 1})[0]

    def together(self, name: str, *given: Any, times: int) -> list[Any]:
        """Call a function so many times at once."""
        return self._told({"name": name, "given": given, "times": times})

    def modules(self) -> list[str]:
        """Say what the process has loaded."""
        return self._told({"name": "modules", "given": [], "times": 1})

    def _told(self, call: Mapping[str, Any]) -> list[Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(call) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.process.communicate(timeout=PATIENCE_S)[1]
        answers: list[Any] = json.loads(line)
        return answers


class Gate:
    """A way to a service that counts: connections, questions, and how many of them wait for their answers at once."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._news = threading.Condition()
        self._wanted = 0
        self._waiting: set[socket.socket] = set()
        self._ends: list[socket.socket] = [self._listener]
        self.connections = self.questions = self.peak = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The service's address, by way of the gate."""
        user, at, _ = self._parts.netloc.rpartition("@")
        return self._parts._replace(netloc=f"{user}{at}127.0.0.1:{self._listener.getsockname()[1]}").geturl()

    def hold(self, wanted: int) -> None:
        """Keep answers back until so many questions wait for theirs, or for some seconds."""
        with self._news:
            self._wanted, self.peak = wanted, 0

    def close(self) -> None:
        """Close every connection."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                service = socket.create_connection((self._parts.hostname or "", self._parts.port or 0))
                for end in (client, service):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self._ends += [client, service]
                threading.Thread(target=self._ask, args=(client, service), daemon=True).start()
                threading.Thread(target=self._answer, args=(client, service), daemon=True).start()

    def _ask(self, client: socket.socket, service: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while said := client.recv(65536):
                with self._news:
                    if client not in self._waiting:  # else it is more of the same question
                        self.questions += 1
                        self._waiting.add(client)
                        self.peak = max(self.peak, len(self._waiting))
                        self._news.notify_all()
                service.sendall(said)
            service.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, service: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while said := service.recv(65536):
                with self._news:
                    self._news.wait_for(lambda: self.peak >= self._wanted, timeout=PATIENCE_S / 4)
                    self._waiting.discard(client)
                client.sendall(said)
            client.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def gate(url: str) -> Iterator[Gate]:
    opened = Gate(url)
    try:
        yield opened
    finally:
        opened.close()


def _found(side: str, name: str) -> Any:
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(f"work.{module or side}"), function)


def _plain(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


async def _awaited(side: str, call: Mapping[str, Any]) -> list[Any]:
    async def once() -> Any:
        made = _found(side, call["name"])(*call["given"])
        if isasyncgen(made):
            return [_plain(part) async for part in made]
        return _plain(await made if iscoroutine(made) else made)

    return await asyncio.gather(*(once() for _ in range(call["times"])))


def _waited(side: str, call: Mapping[str, Any]) -> list[Any]:
    def once(_: int) -> Any:
        made = _found(side, call["name"])(*call["given"])
        return [_plain(part) for part in made] if hasattr(made, "__next__") else _plain(made)

    with ThreadPoolExecutor(call["times"]) as threads:
        return list(threads.map(once, range(call["times"])))


def main(side: str, patch: str = "") -> None:
    if patch:
        from gevent import monkey

        monkey.patch_all()
    importlib.import_module(f"work.{side}")
    loop = asyncio.new_event_loop() if side == "aio" else None
    for line in sys.stdin:
        call = json.loads(line)
        if call["name"] == "modules":
            answers = list(sys.modules)
        else:
            answers = loop.run_until_complete(_awaited(side, call)) if loop else _waited(side, call)
        sys.stdout.write(json.dumps(answers) + "\n")
        sys.stdout.flush()
    if loop:
        loop.run_until_complete(_awaited(side, {"name": "close", "given": [], "times": 1}))


if __name__ == "__main__":
    main(*sys.argv[1:])
