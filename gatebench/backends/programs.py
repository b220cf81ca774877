"""Starting a program on a free port, seeing that it answers, and ending it with all it started.

Knows commands, ports, log files and signals. Must not know stacks, services or loads, nor how a container is started.
Every process it starts is ended, with all its descendants, when its context ends, however that comes about.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from gatebench.backends.resources import tree
from gatebench.errors import ContractError, MachineError
from gatebench.machine import pinned

HOST = "127.0.0.1"
READY_LIMIT_S = 30.0
GRACE_S = 0.5  # between asking a process to end and ending it
PORTS = range(10_000, 32_000)  # below the ephemeral range, where outgoing connections take theirs
PORT_TRIES = 3
LOOK_S = 0.2  # between two looks into its log while a program starts
LOG_LINES = 12
LISTENS = "0A"  # a socket's state, as /proc spells it


class Program(Protocol):
    """Something that was started, and writes a log."""

    @property
    def pids(self) -> tuple[int, ...]:
        """The process from which all others of it descend; none where it cannot be seen from here."""
        ...

    def fault(self) -> str | None:
        """Say what befell it: that it ended, or lost a process; None where nothing did."""
        ...

    def log(self) -> str:
        """Give the last lines it wrote."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A program that answers."""

    host: str
    port: int
    program: Program
    ready_s: float


Launch = Callable[[int], AbstractContextManager[Program]]  # starts a program on this port; on leaving, ends it


@contextlib.contextmanager
def answering(
    name: str,
    launch: Launch,
    *,
    ready: Callable[[int], bool],
    port: Callable[[], int] | None = None,
) -> Iterator[Serving]:
    """Start a program on a free port, or the one that `port` gives, and wait until it answers there.

    `ready` says whether it does; a ContractError of it, that it answers, but otherwise than it should.
    """
    for turn in range(PORT_TRIES):
        taken, begin = (port or free_port)(), time.perf_counter()
        with contextlib.ExitStack() as cleanup:
            with uninterrupted():
                program = cleanup.enter_context(launch(taken))
            if _wait(name, program, taken, ready):
                took = time.perf_counter() - begin
                yield Serving(host=HOST, port=taken, program=program, ready_s=took)
                return
        if turn == PORT_TRIES - 1:
            raise MachineError(
                f"{name} found its port taken {PORT_TRIES} times, last {taken}; see what else listens on {HOST}."
            )


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
) -> AbstractContextManager[Serving]:
    """Start a process on a free port and wait until it answers there; on leaving, end it and all it started."""

    @contextlib.contextmanager
    def launch(port: int) -> Iterator[Program]:
        log, words = logs / f"{name}-{uuid.uuid4().hex[:8]}.log", command(port)
        process = _launch(name, words, cpus=cpus, variables=variables, folder=folder, log=log, user=user)
        try:
            yield _Process(process=process, log_file=log)
        finally:
            stop(process, end)

    return answering(name, launch, ready=ready)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def pids(self) -> tuple[int, ...]:
        return (self.process.pid,)

    def fault(self) -> str | None:
        code = self.process.poll()
        return None if code is None else f"ended with exit code {code}"

    def log(self) -> str:
        return last_lines(self.log_file)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold signals that end us back until the block ends: nothing is started, or half ended, that nobody knows of."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
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


def _wait(name: str, program: Program, port: int, ready: Callable[[int], bool]) -> bool:
    """Wait until it answers; False where somebody else has its port."""
    begin = time.perf_counter()
    look = begin
    otherwise: ContractError | None = None  # how it answered; some do so while they still start
    while (at := time.perf_counter()) < begin + READY_LIMIT_S:
        fault = program.fault()
        if fault or at >= look:
            look = at + LOOK_S
            if _says_taken(program.log()):
                return False
        if fault:
            raise MachineError(f"{name} {fault} before it answered: {program.log()}")
        try:
            if ready(port):
                return _is_its_own(program, port)
        except ContractError as error:
            if otherwise is None and not _is_its_own(program, port):
                return False
            otherwise = error
        time.sleep(0.01)
    if otherwise is not None:
        raise ContractError(f"{otherwise} within {READY_LIMIT_S:.0f} s of its start: {program.log()}")
    raise MachineError(f"{name} did not answer within {READY_LIMIT_S:.0f} s of its start: {program.log()}")


def _says_taken(log: str) -> bool:
    said = log.lower()
    return "already in use" in said or "connection in use" in said


def _is_its_own(program: Program, port: int) -> bool:
    return not program.pids or _listens(program.pids, port)


def _listens(pids: Iterable[int], port: int) -> bool:
    """Say whether the program itself listens there, in whatever network it is, and not a stranger who was quicker.

    A program of another user does not show what it has open; it is then believed.
    """
    for one in (each for pid in pids for each in tree(pid)):
        try:
            held = {str(file.readlink()) for file in Path(f"/proc/{one}/fd").iterdir()}
        except PermissionError:
            return True
        except OSError:
            continue
        if any(f"socket:[{inode}]" in held for inode in _listening(one, port)):
            return True
    return False


def _listening(pid: int, port: int) -> Iterator[str]:
    """Name the sockets that listen on a port in the network of a process, by their inodes (proc_net(5))."""
    for family in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{family}").read_text(encoding="ascii").splitlines()[1:]:
                _, local, _, state, *_, inode = line.split()[:10]
                if state == LISTENS and int(local.rpartition(":")[2], 16) == port:
                    yield inode


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
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Find as many ports, each another."""
    found: list[int] = []
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
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
    """Say whether a GET of this address is answered with 200, within the limit; a certificate is not looked at."""
    return _status(url, limit_s) == http.HTTPStatus.OK


def answers_well(url: str, path: str) -> bool:
    """Say the same of a server's path; ContractError where that is answered, but with something else."""
    status = _status(f"{url}{path}")
    if status not in (None, http.HTTPStatus.OK):
        raise ContractError(f"GET {path} was answered with {status}, and not with 200")
    return status is not None


def _status(url: str, limit_s: float = 2.0) -> int | None:
    """Give what a GET is answered with, redirects followed; None where it is not, within the limit."""
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting())]
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=limit_s) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, http.client.HTTPException, ValueError):
        return None


def trusting() -> ssl.SSLContext:
    """Make settings of TLS that take any certificate: the server is our own, on loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


PLAIN = {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "NO_PROXY": "*"}  # what every server is told


def surroundings() -> dict[str, str]:
    """Give what a server inherits of our environment: no proxy, no Python setting, nothing that differs by user."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, **PLAIN}
