"""A session on a local page while it runs: a real server on loopback, asked as a browser asks."""

import http.client
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sessions

from gatebench import serving
from gatebench.errors import MachineError, UsageError


@contextmanager
def served(path: Path) -> Iterator[int]:
    with serving.server(lambda: path, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def asked(port: int, path: str, host: str | None = None) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(serving.HOST, port, timeout=10)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.headers["Content-Type"], answer.read().decode()


def test_the_page_shows_what_the_file_holds_and_what_is_added_to_it(tmp_path: Path) -> None:
    whole = sessions.write(tmp_path, sessions.session(blocks=2)).read_text(encoding="utf-8").splitlines(keepends=True)
    growing = tmp_path / "growing.jsonl"
    growing.write_text("".join(whole[:4]), encoding="utf-8")
    with served(growing) as port:
        first = json.loads(asked(port, "/now.json")[2])
        growing.write_text("".join(whole), encoding="utf-8")
        last = json.loads(asked(port, "/now.json")[2])
    assert (first["trials"], first["ended"]) == (3, None)
    assert last["trials"] == last["planned"] == last["valid"] == len(whole) - 2
    assert last["ended"] is not None
    assert len(last["rows"]) > len(first["rows"])
    assert last["last"][0].startswith("block 1, ")


def test_a_line_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    text = sessions.write(tmp_path, sessions.session(blocks=1)).read_text(encoding="utf-8")
    cut = tmp_path / "cut.jsonl"
    cut.write_text(text[: text.rindex('"kind":"run"') + 60], encoding="utf-8")
    with served(cut) as port:
        now = json.loads(asked(port, "/now.json")[2])
    assert now["trials"] > 0


def test_a_file_that_cannot_be_read_is_told_on_the_page(tmp_path: Path) -> None:
    with served(tmp_path / "gone.jsonl") as port:
        status, _, text = asked(port, "/now.json")
    assert status == 200
    assert "gone.jsonl" in json.loads(text)["problem"]


def test_no_results_yet_is_told_on_the_page() -> None:
    def none() -> Path:
        raise UsageError("There is no results file in results/.")

    assert json.loads(serving.Watched(none).now()) == {"problem": "There is no results file in results/."}


def test_only_this_machine_by_its_own_name_is_answered(tmp_path: Path) -> None:
    file = sessions.write(tmp_path, sessions.session(blocks=1))
    with served(file) as port:
        assert asked(port, "/")[:2] == (200, "text/html; charset=utf-8")
        assert asked(port, "/", f"localhost:{port}")[0] == 200
        assert asked(port, "/now.json", "example.org")[0] == 403
        assert asked(port, "/now.json", f"example.org:{port}")[0] == 403
        assert asked(port, "/../secret")[0] == 404


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((serving.HOST, 0))
        taken.listen()
        with pytest.raises(MachineError, match=r"cannot be listened on .*--port"):
            serving.server(lambda: tmp_path, taken.getsockname()[1])


def test_the_verb_serves_until_ctrl_c_and_then_ends_as_it_was_asked_to(tmp_path: Path) -> None:
    file = sessions.write(tmp_path, sessions.session(blocks=1))
    with verb(file, "--port", "0") as process:
        port, said = address_of(process)
        assert said.endswith("shows the session; ctrl-C ends it.\n")
        assert "<title>" in asked(port, "/")[2]
        assert json.loads(asked(port, "/now.json")[2])["trials"] > 0
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0


def test_a_reader_who_leaves_before_the_answer_is_nobodys_trouble(tmp_path: Path) -> None:
    file = sessions.write(tmp_path, sessions.session(blocks=1))
    with verb(file, "--port", "0") as process:
        port, _ = address_of(process)
        for request in (b"GET / HTTP/1.1\r\n", f"GET / HTTP/1.1\r\nHost: {serving.HOST}:{port}\r\n\r\n".encode()):
            with socket.create_connection((serving.HOST, port)) as leaving:
                leaving.sendall(request * 50)
                # Closed so, what is still to be read is thrown away and the other side is told at once.
                leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert asked(port, "/")[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")


@pytest.mark.parametrize("name", ["gone.jsonl", "folder"])
def test_the_verb_refuses_what_is_no_results_file_in_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with verb(tmp_path / name, "--port", "0") as process:
        said, complained = process.communicate(timeout=20)
    assert (process.returncode, said) == (2, "")
    assert complained.count("\n") == 1
    assert name in complained
    assert "name a results file" in complained


@contextmanager
def verb(*words: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "gatebench", "serve", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def address_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Read the line in which the verb says where it listens."""
    assert process.stdout is not None
    said = process.stdout.readline()
    found = re.match(rf"http://{re.escape(serving.HOST)}:(\d+)/ ", said)
    assert found is not None, said
    return int(found[1]), said
