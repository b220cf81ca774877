"""Starting a program on a free port, seeing that it answers, and ending it with all it started.

Knows commands, ports, log files and signals. Must not know stacks, services or loads. Every process it starts is
ended, with all its descendants, when its context ends, however that comes about.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from gatebench.backends.resources import tree
from gatebench.errors import MachineError
from gatebench.machine import pinned

HOST = "127.0.0.1"
READY_LIMIT_S = 30.0
GRACE_S = 0.5  # between asking a process to end and ending it
PORTS = range(10_000, 32_000)  # below the ephemeral range, where outgoing connections take theirs
PORT_TRIES = 3
LOG_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A program that answers."""

    host: str
    port: int
    pid: int
    ready_s: float
    log_file: Path

    def log(self) -> str:
        """Give the last lines it wrote."""
        return last_lines(self.log_file)


@contextlib.contextmanager
def started(
    name: str,
    command: Callable[[int], list[str]],
    *,
    ready: Callable[[int], bool],
    cpus: tuple[int, ...],
    variables: Mapping[str, str],
    folder: Path,
    logs: Path,
    user: str | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[Serving]:
    """Start a program on a free port and wait until it answers there; on leaving, end it and all it started."""
    log_file = logs / f"{name}-{uuid.uuid4().hex[:8]}.log"
    for turn in range(PORT_TRIES):
        port, begin = free_port(), time.perf_counter()
        with contextlib.ExitStack() as cleanup:
            with uninterrupted():
                words = command(port)
                process = _launch(name, words, cpus=cpus, variables=variables, folder=folder, log=log_file, user=user)
                cleanup.callback(stop, process, end)
            if _wait(name, process, port, ready, log_file):
                took = time.perf_counter() - begin
                yield Serving(host=HOST, port=port, pid=process.pid, ready_s=took, log_file=log_file)
                return
        if turn == PORT_TRIES - 1:
            raise MachineError(
                f"{name} found its port taken {PORT_TRIES} times, last {port}; see what else listens on {HOST}."
            )


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block ends: nothing is started, or half ended, that nobody knows of."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda got, _frame: held.append(got))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for got in held[:1]:
            signal.raise_signal(got)


def _launch(
    name: str,
    words: list[str],
    *,
    cpus: tuple[int, ...],
    variables: Mapping[str, str],
    folder: Path,
    log: Path,
    user: str | None,
) -> subprocess.Popen[bytes]:
    try:
        with log.open("wb") as written, pinned(cpus):
            return subprocess.Popen(
                words,
                stdin=subprocess.PIPE,  # closed when we end, however we end: programs of our own end with it
                stdout=written,
                stderr=subprocess.STDOUT,
                env=dict(variables),
                cwd=folder,
                start_new_session=True,
                user=user,
                extra_groups=[] if user else None,
            )
    except OSError as error:
        raise MachineError(f"{name} could not be started: {error.strerror}: {error.filename}.") from error


def _wait(name: str, process: subprocess.Popen[bytes], port: int, ready: Callable[[int], bool], log: Path) -> bool:
    """Wait until it answers; False where somebody else has its port."""
    deadline = time.perf_counter() + READY_LIMIT_S
    while time.perf_counter() < deadline:
        if _says_taken(log):
            return False
        if process.poll() is not None:
            raise MachineError(f"{name} ended at once with exit code {process.returncode}: {last_lines(log)}")
        if ready(port):
            return _listens(process.pid, port)
        time.sleep(0.01)
    raise MachineError(f"{name} did not answer within {READY_LIMIT_S:.0f} s of its start: {last_lines(log)}")


def _says_taken(log: Path) -> bool:
    said = log.read_bytes()[-4000:].lower()
    return b"already in use" in said or b"connection in use" in said


def _listens(pid: int, port: int) -> bool:
    """Say whether the program itself listens there, and not a stranger who was quicker."""
    for one in tree(pid):
        with contextlib.suppress(psutil.Error):
            if any(
                c.status == psutil.CONN_LISTEN and c.laddr.port == port
                for c in psutil.Process(one).net_connections("tcp")
            ):
                return True
    return False


def stop(process: subprocess.Popen[bytes], end: signal.Signals = signal.SIGTERM) -> None:
    """End a process and all its descendants: politely, then by force."""
    with uninterrupted():
        _stop(process, end)


def _stop(process: subprocess.Popen[bytes], end: signal.Signals) -> None:
    family = [one for pid in tree(process.pid) for one in _process(pid)]
    if process.poll() is None:
        process.send_signal(end)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    for one in family:
        # psutil compares the start time, so that a pid that was given to somebody else is left alone.
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it was still to read has nobody to read it
                pipe.close()
    psutil.wait_procs(family, timeout=2)


def _process(pid: int) -> Iterable[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        yield psutil.Process(pid)


def free_port() -> int:
    """Find a port that nobody listens on; outside the range from which outgoing connections take theirs."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise MachineError(f"No free port was found on {HOST} between {PORTS.start} and {PORTS.stop}.")


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a private folder for a session's data and logs, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="gatebench-"))
    folder.chmod(0o711)  # PostgreSQL may run as another user and must pass through
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def last_lines(log: Path) -> str:
    """Give the last lines of a log as one line, or say that it is empty."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "it left no log"
    kept = [line.strip() for line in lines if line.strip()][-LOG_LINES:]
    return " | ".join(kept) or "it wrote nothing"


def answers(url: str, limit_s: float = 2.0) -> bool:
    """Say whether a GET of this address is answered with 200, within the limit."""
    with contextlib.suppress(OSError, urllib.error.URLError, ValueError):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=limit_s) as response:
            return bool(response.status == 200)
    return False


def surroundings() -> dict[str, str]:
    """Give what a server inherits of our environment: no proxy, no Python setting, nothing that differs by user."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "NO_PROXY": "*"}
