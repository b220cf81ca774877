from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gatebench.backends import programs
from gatebench.backends.programs import Serving, answers, answers_well, started
from gatebench.errors import ContractError, MachineError
from gatebench.machine import usable_cpus

SERVER = (
    "import sys, http.server as h; "
    "h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
)
FAMILY = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); {SERVER}"
SICK = """
import http.server, sys
class Sick(http.server.BaseHTTPRequestHandler):
    left = int(sys.argv[2])
    def do_GET(self):
        Sick.left -= 1
        self.send_response(500 if Sick.left >= 0 else 200)
        self.end_headers()
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Sick).serve_forever()
"""
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVER}"


def serving(
    code: str, folder: Path, ready: Callable[[int], bool] | None = None
) -> contextlib.AbstractContextManager[Serving]:
    return started(
        "it",
        lambda port: [sys.executable, "-c", code, str(port)],
        ready=ready or (lambda port: answers(f"http://127.0.0.1:{port}/")),
        cpus=usable_cpus()[:1],
        variables=programs.surroundings(),
        folder=folder,
        logs=folder,
    )


def test_a_program_is_ready_when_it_answers_and_gone_afterwards(tmp_path: Path) -> None:
    with serving(SERVER, tmp_path) as it:
        assert answers(f"http://{it.host}:{it.port}/")
        assert it.ready_s > 0
        assert os.sched_getaffinity(it.program.pids[0]) == {usable_cpus()[0]}
    assert not psutil.pid_exists(it.program.pids[0])
    assert not answers(f"http://{it.host}:{it.port}/")


def test_its_descendants_are_gone_too_even_when_we_are_interrupted(tmp_path: Path) -> None:
    family = []
    with contextlib.suppress(KeyboardInterrupt), serving(FAMILY, tmp_path) as it:
        family = psutil.Process(it.program.pids[0]).children(recursive=True)
        raise KeyboardInterrupt
    assert family
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)


def test_one_that_does_not_listen_to_reason_is_ended_all_the_same(tmp_path: Path) -> None:
    begun = time.monotonic()
    with serving(DEAF, tmp_path) as it:
        begun = time.monotonic()
    assert not psutil.pid_exists(it.program.pids[0])
    assert time.monotonic() - begun < 3


def test_one_that_dies_at_once_is_told_with_its_last_lines(tmp_path: Path) -> None:
    code = "import sys; print('first'); sys.exit('no such module: web')"
    with pytest.raises(
        MachineError, match=r"it ended with exit code 1 before it answered: first \| no such module: web"
    ):
        serving(code, tmp_path).__enter__()


def test_one_that_never_answers_is_given_up_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "READY_LIMIT_S", 0.3)
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with pytest.raises(MachineError, match="did not answer within"):
        serving(code, tmp_path).__enter__()
    pid = int(next(tmp_path.glob("it-*.log")).read_text())
    assert not psutil.pid_exists(pid)


def sick(times: int, folder: Path) -> contextlib.AbstractContextManager[Serving]:
    """Start one that answers so many times with 500, and then as it should."""
    code = SICK.replace("sys.argv[2]", str(times))
    return serving(code, folder, ready=lambda port: answers_well(f"http://127.0.0.1:{port}", "/?up"))


def test_one_that_answers_otherwise_than_it_should_has_broken_a_contract_and_the_sentence_says_what_it_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "READY_LIMIT_S", 2.0)
    said = r"^GET /\?up was answered with 500, and not with 200 within 2 s of its start: it wrote nothing$"
    with pytest.raises(ContractError, match=said):
        sick(1_000_000, tmp_path).__enter__()


def test_one_that_answers_otherwise_only_while_it_starts_is_waited_for(tmp_path: Path) -> None:
    with sick(3, tmp_path) as it:
        assert answers(f"http://{it.host}:{it.port}/")


def test_a_stranger_that_answers_otherwise_breaks_no_contract_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = "import time; time.sleep(60)"
    with serving(SERVER, tmp_path) as stranger:
        monkeypatch.setattr(programs, "free_port", lambda: stranger.port)
        url = f"http://127.0.0.1:{stranger.port}"
        with pytest.raises(MachineError, match="port taken"):
            serving(idle, tmp_path, ready=lambda _: answers_well(url, "/not-there")).__enter__()


def test_a_port_that_is_taken_is_left_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1], programs.free_port()])
        monkeypatch.setattr(programs, "free_port", lambda: next(ports))
        with serving(SERVER, tmp_path) as it:
            assert it.port != taken.getsockname()[1]


def test_ports_that_are_all_taken_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(programs, "free_port", lambda: taken.getsockname()[1])
        with pytest.raises(MachineError, match="found its port taken 3 times"):
            serving(SERVER, tmp_path, ready=lambda _: False).__enter__()


def test_a_stranger_on_the_port_is_not_taken_for_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that retries a taken port stays alive, while the stranger's answers look like its own."""
    idle = "import time; time.sleep(60)"
    with serving(SERVER, tmp_path) as stranger:
        monkeypatch.setattr(programs, "free_port", lambda: stranger.port)
        with pytest.raises(MachineError, match="port taken"):
            serving(idle, tmp_path).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_program_of_another_user_that_does_not_show_what_it_listens_on_is_believed(tmp_path: Path) -> None:
    with serving(SERVER, tmp_path) as it:
        other = os.fork()
        if not other:
            os.setuid(65534)
            os._exit(programs._listens(it.program.pids, it.port + 1))
        assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 1
        assert not programs._listens(it.program.pids, it.port + 1), "to its own user it is known better"


def test_a_free_port_is_free() -> None:
    with socket.create_server(("127.0.0.1", programs.free_port())):
        pass


def test_the_scratch_folder_goes_with_its_block() -> None:
    with programs.scratch_folder() as folder:
        (folder / "x").write_text("x")
    assert not folder.exists()


def test_a_server_inherits_no_proxy_and_no_python_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    given = programs.surroundings()
    assert "HTTP_PROXY" not in given
    assert "PYTHONPATH" not in given


def test_a_command_that_is_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(MachineError, match="no-such-command"),
        started(
            "it",
            lambda port: ["no-such-command", str(port)],
            ready=lambda port: True,
            cpus=usable_cpus(),
            variables=programs.surroundings(),
            folder=tmp_path,
            logs=tmp_path,
        ),
    ):
        pass


def test_a_program_of_ours_ends_when_the_harness_is_killed(tmp_path: Path) -> None:
    """The do-nothing server reads a pipe that closes with us, even by SIGKILL."""
    with subprocess.Popen([sys.executable, "-m", "gatebench.nothing"], stdin=-1, stdout=-1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"port ")
        process.stdin.close()
        assert process.wait(10) == 0
