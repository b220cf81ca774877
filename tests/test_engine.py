"""The Docker engine: which one is asked, which command builds with it, and what is taken for left behind."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import json
import os
import socket
import socketserver
import subprocess
import sys
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound, NotFound

from gatebench.backends.containers import engine as engines
from gatebench.backends.containers.engine import LABEL, OWNER, Engine, Thing
from gatebench.errors import MachineError


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The client's own folder, empty: what this machine's user has set decides nothing here."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    return folder


class Answers(BaseHTTPRequestHandler):
    """What an engine says of itself."""

    version = "20.10.24+dfsg1"

    def do_GET(self) -> None:
        said: dict[str, Any] = {"message": f"no {self.path} here"}
        if self.path.endswith("/version"):
            said = {"Version": self.version, "ApiVersion": "1.40", "MinAPIVersion": "1.12"}
        elif self.path.endswith("/info"):
            said = {"CgroupVersion": "2", "ServerVersion": self.version}
        body = json.dumps(said).encode()
        self.send_response(500 if "message" in said else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named so by the standard library
        pass


class OldAnswers(Answers):
    version = "19.03.15"


class NoAnswers(Answers):
    """A server of another kind."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")


class OnSocket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def serving(handler: type[Answers], place: Path | None = None) -> Iterator[str]:
    """Answer on a socket, or on a port of loopback; give the address."""
    server: socketserver.BaseServer
    if place is not None:
        server, address = OnSocket(str(place), handler), f"unix://{place}"
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        address = f"tcp://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def found() -> Iterator[Engine]:
    one = engines.find()
    try:
        yield one
    finally:
        one.client.close()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whatever is looked up or connected to meanwhile."""
    tried: list[str] = []

    def refuse(*words: Any, **named: Any) -> None:
        tried.append(str(words))
        raise OSError(words)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@pytest.fixture
def forgotten() -> Iterator[None]:
    """The SDK does not close a socket that it could not connect; where that is ignored, it is dropped at once."""
    yield
    gc.collect()


def context(config: Path, name: str, host: str | None) -> None:
    """Make a context as `docker context create` does; without a host, one that cannot be read."""
    place = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    place.parent.mkdir(parents=True)
    said = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    place.write_text(json.dumps(said) if host else "{")


@pytest.mark.usefixtures("forgotten")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_where_no_engine_answers_a_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(MachineError) as caught:
        engines.find()
    assert str(caught.value) == (
        f"No Docker engine answers at unix://{tmp_path}/none.sock; start one, or choose --backend process."
    )


def test_what_is_no_engine_does_not_pass_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(NoAnswers) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        with pytest.raises(MachineError, match=rf"^No Docker engine answers at {address}; start one"):
            engines.find()


REMOTE = ("tcp://192.0.2.1:2375", "tcp://engine.invalid:2375", "ssh://user@engine.invalid", "192.0.2.1:2375")


@pytest.mark.parametrize("address", REMOTE)
def test_another_machines_engine_is_refused_and_not_connected_to(
    address: str, monkeypatch: pytest.MonkeyPatch, connections: list[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(MachineError, match=rf"^The Docker engine at {address} is not this machine's, .*process\.$"):
        engines.find()
    assert not connections


def test_a_context_of_another_machine_is_refused_and_not_connected_to(
    config: Path, connections: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    context(config, "far", "ssh://user@engine.invalid")
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    with pytest.raises(MachineError, match=r"^The Docker engine at ssh://user@engine\.invalid is not this machine's"):
        engines.find()
    assert not connections


@pytest.mark.parametrize(
    "address",
    [
        "tcp://",
        "tcp://127.0.0.1",
        "tcp://[::1",
        "tcp://127.0.0.1:port",
        "tcp://127.0.0.1:99999",
        "ftp://127.0.0.1:1",
        "/var/run/docker.sock",
        "nonsense",
    ],
)
def test_what_is_no_address_is_said_to_be_none(
    address: str, monkeypatch: pytest.MonkeyPatch, connections: list[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(MachineError) as caught:
        engines.find()
    assert str(caught.value).startswith(f"{address} is no address of a Docker engine; DOCKER_HOST takes one such as")
    assert not connections


@pytest.mark.parametrize("place", ["engine.sock", None])
def test_an_engine_that_is_too_old_is_refused(
    place: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(OldAnswers, tmp_path / place if place else None) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        with pytest.raises(MachineError) as caught:
            engines.find()
    assert str(caught.value) == f"The Docker engine at {address} is 19.03.15, and 20.10 or newer is needed."


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_engine_on_loopback_is_this_machines(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answers) as address:
        monkeypatch.setenv("DOCKER_HOST", address.replace("127.0.0.1", host))
        with found() as one:
            assert (one.version, one.cgroup) == ("20.10.24+dfsg1", "v2")
            assert one.address == address.replace("127.0.0.1", host)


def test_the_sdks_way_to_write_a_socket_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answers, tmp_path / "engine.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", f"http+{address}")
        with found() as one:
            assert one.address == address, "as the docker command takes it"


def test_the_clients_current_context_is_honoured(config: Path, tmp_path: Path) -> None:
    (config / "config.json").write_text('{"currentContext": "mine"}')
    with serving(Answers, tmp_path / "engine.sock") as address:
        context(config, "mine", address)
        with found() as one:
            assert one.address == address


def test_variables_come_before_the_current_context_as_in_the_client(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config / "config.json").write_text('{"currentContext": "far"}')
    context(config, "far", "tcp://192.0.2.1:2375")
    with serving(Answers, tmp_path / "a.sock") as first, serving(Answers, tmp_path / "b.sock") as second:
        context(config, "near", first)
        monkeypatch.setenv("DOCKER_CONTEXT", "near")
        with found() as one:
            assert one.address == first
        monkeypatch.setenv("DOCKER_HOST", second)
        with found() as one:
            assert one.address == second


@pytest.mark.parametrize("is_there", [True, False])
def test_a_context_that_cannot_be_read_is_named(is_there: bool, config: Path, connections: list[str]) -> None:
    (config / "config.json").write_text('{"currentContext": "gone"}')
    if is_there:
        context(config, "gone", None)
    with pytest.raises(MachineError) as caught:
        engines.find()
    said = "The Docker client's context 'gone' cannot be read; `docker context use default` or DOCKER_HOST helps."
    assert str(caught.value) == said
    assert not connections, "another engine than the one that was asked for is none"


@pytest.mark.parametrize("text", ["{}", '{"currentContext": ""}', '{"currentContext": "default"}', "{"])
def test_without_a_context_the_usual_socket_is_asked(
    text: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config / "config.json").write_text(text)
    with serving(Answers, tmp_path / "usual.sock") as address:
        monkeypatch.setattr(engines, "SOCKET", address)
        with found() as one:
            assert one.address == address


@pytest.mark.usefixtures("forgotten")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_engine_that_stops_to_answer_is_named_with_what_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as cleanup:
        with serving(Answers, tmp_path / "engine.sock") as address:
            monkeypatch.setenv("DOCKER_HOST", address)
            one = cleanup.enter_context(found())
            with pytest.raises(MachineError, match=r"^listing images: no /v1\.40/images/json\S* here\.$"):
                engines.images(one)
        (tmp_path / "engine.sock").unlink()
        with pytest.raises(MachineError, match=r"no longer answers \(listing what was left behind\); see that it"):
            engines.leftovers(one)


NEW, OLD = "Docker version 28.2.2, build e6534b4", "Docker version 20.10.24+dfsg1, build 297e128"
WITH_BUILDX = 'case "$1" in --version) echo "{}";; buildx) echo v0.24.0;; *) exit 9;; esac'
WITHOUT = 'case "$1" in --version) echo "{}";; *) echo "docker: unknown command: docker $1" >&2; exit 1;; esac'


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """What builds, where PATH holds these programs, each in a folder of its own, and nothing else."""
    client = docker.DockerClient(base_url="http://127.0.0.1:1", version="1.41")  # that nobody asks

    def choose(**programs: str) -> list[str]:
        for folder, text in programs.items():
            (tmp_path / folder).mkdir()
            path = tmp_path / folder / "docker"
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / folder) for folder in (*programs, "empty")))
        one = Engine(client=client, address="unix:///engine.sock", version="20.10", cgroup="v2")
        return [word.removeprefix(f"{tmp_path}/") for word in one.command]

    yield choose
    client.close()


OURS = ["--host", "unix:///engine.sock"]


def test_a_new_docker_command_builds_with_buildx(command: Callable[..., list[str]]) -> None:
    assert command(a=WITH_BUILDX.format(NEW), b=WITHOUT.format(OLD)) == ["a/docker", *OURS]


def test_the_first_docker_command_that_can_build_is_taken(command: Callable[..., list[str]]) -> None:
    programs = {
        "a": WITHOUT.format(NEW),
        "b": "exit 127",
        "c": "echo podman version 4.3.1",
        "d": WITHOUT.format("Docker version 18.06.1-ce, build e68fc7a"),
        "e": WITHOUT.format(OLD),  # which has BuildKit in itself
        "f": WITH_BUILDX.format(NEW),
    }
    assert command(**programs) == ["e/docker", *OURS]


def test_where_no_docker_command_can_build_each_is_named_with_its_reason(
    command: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "COMMAND_S", 0.2)
    programs = {
        "a": WITHOUT.format(NEW),
        "b": "exit 127",
        "c": "exec /bin/sleep 60",
        "d": "echo podman version 4.3.1",
        "e": WITHOUT.format("Docker version 18.06.1-ce, build e68fc7a"),
    }
    with pytest.raises(MachineError) as caught:
        command(**programs)
    assert str(caught.value).replace(f"{tmp_path}/", "") == (
        "No docker command here can build with BuildKit: a/docker (28.2.2) lacks buildx; b/docker does not run; "
        "c/docker does not run; d/docker is not Docker's own; e/docker (18.06.1-ce) is too old; "
        "install the engine's own client, or buildx."
    )


def test_where_there_is_no_docker_command_that_is_said(command: Callable[..., list[str]]) -> None:
    with pytest.raises(MachineError, match="can build with BuildKit: none was found on PATH; install"):
        command()


def test_what_this_process_starts_is_its_own() -> None:
    given = engines.labels("server")
    assert given[LABEL] == "server"
    assert engines._is_owned(given)
    for strange in ("", "1", "nonsense@1", f"{os.getpid()}@1.00", f"{10**30}@1.00", "-1@1.00"):
        assert not engines._is_owned({OWNER: strange}), strange


def test_a_process_of_another_machine_is_not_taken_for_one_of_this(tmp_path: Path) -> None:
    assert not engines.is_visible("0123456789abcdef", os.getpid())
    assert not engines.is_visible("0123456789abcdef", 2**30)


def gone() -> str:
    """The owner's label of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        return engines._owner(child.pid)


@pytest.fixture
def imported(engine: Engine) -> Iterator[Callable[..., str]]:
    """Makes images of one empty file; all that was made of them, or was left, is removed."""
    made: list[str] = []

    def make(tag: str | None = None, *, role: str | None = None) -> str:
        text = io.BytesIO()
        with tarfile.open(fileobj=text, mode="w") as packed:
            packed.addfile(tarfile.TarInfo(uuid.uuid4().hex))
        changes = [f"LABEL {LABEL}={role}"] if role else []
        answer = engine.client.api.import_image_from_data(text.getvalue(), repository=tag, changes=changes)
        made.append(json.loads(answer.splitlines()[-1])["status"])
        return made[-1]

    yield make
    for image in made:
        for container in engine.client.containers.list(all=True, filters={"ancestor": image}, ignore_removed=True):
            container.remove(force=True)
        with contextlib.suppress(ImageNotFound):
            engine.client.images.remove(image, force=True)


@pytest.fixture
def network(engine: Engine) -> Iterator[Callable[..., str]]:
    made = []

    def make(labels: dict[str, str]) -> str:
        made.append(engine.client.networks.create(f"gatebench-test-{uuid.uuid4().hex[:8]}", labels=labels))
        return str(made[-1].id)

    yield make
    for one in made:
        with contextlib.suppress(NotFound):
            one.remove()


def left(engine: Engine) -> dict[str, Thing]:
    return {thing.id: thing for thing in engines.leftovers(engine)}


@pytest.mark.container
def test_a_container_is_left_behind_when_its_process_is_gone_and_it_has_the_label(
    engine: Engine, imported: Callable[..., str]
) -> None:
    def create(labels: dict[str, str]) -> str:
        return str(engine.client.containers.create(image, ["none"], labels=labels).id)

    image = imported()
    orphan = create({LABEL: "server", OWNER: gone()})
    reused = create({LABEL: "server", OWNER: f"{os.getpid()}@1.00"})
    ours, strange = create(engines.labels("server")), create({OWNER: gone()})
    listed = left(engine)
    assert {orphan, reused, ours, strange} & set(listed) == {orphan, reused}
    assert listed[orphan].role == "server"
    assert str(listed[orphan]) == f"container {engine.client.containers.get(orphan).name}"
    engines.remove(engine, listed[orphan])
    engines.remove(engine, listed[orphan])  # what is gone is removed
    with pytest.raises(NotFound):
        engine.client.containers.get(orphan)
    for kept in (ours, strange):
        assert engine.client.containers.get(kept)


@pytest.mark.container
def test_a_network_is_left_behind_when_its_process_is_gone_and_it_has_the_label(
    engine: Engine, network: Callable[..., str]
) -> None:
    orphan = network({LABEL: "network", OWNER: gone()})
    ours, strange = network(engines.labels("network")), network({OWNER: gone()})
    listed = left(engine)
    assert {orphan, ours, strange} & set(listed) == {orphan}
    engines.remove(engine, listed[orphan])
    engines.remove(engine, listed[orphan])
    with pytest.raises(NotFound):
        engine.client.networks.get(orphan)
    for kept in (ours, strange):
        assert engine.client.networks.get(kept)


@pytest.mark.container
def test_images_are_ours_by_their_label_and_never_left_behind(engine: Engine, imported: Callable[..., str]) -> None:
    name = f"gatebench-test-{uuid.uuid4().hex[:8]}"
    nameless, named = imported(role="stack"), imported(f"{name}", role="stack")
    strange = imported()  # neither a name nor the label
    listed, ours = left(engine), {thing.id: thing for thing in engines.images(engine)}
    assert not {nameless, named, strange} & set(listed)
    assert {nameless, named, strange} & set(ours) == {nameless, named}
    assert ours[named] == Thing(kind="image", name=f"{name}:latest", id=named, role="stack")
    assert str(ours[nameless]) == f"image {nameless.removeprefix('sha256:')[:12]}"
    for thing in (ours[nameless], ours[named]):
        engines.remove(engine, thing)
        engines.remove(engine, thing)
        with pytest.raises(ImageNotFound):
            engine.client.images.get(thing.id)
    assert engine.client.images.get(strange)


@pytest.mark.container
def test_what_cannot_be_removed_says_why_in_the_engines_words(engine: Engine, imported: Callable[..., str]) -> None:
    image = imported(role="stack")
    thing = next(thing for thing in engines.images(engine) if thing.id == image)
    engine.client.containers.create(image, ["none"])
    with pytest.raises(MachineError, match=rf"^removing {thing}: conflict: unable to delete .*\.$"):
        engines.remove(engine, thing)
