"""The compose file for people: in step with the declarations and the backend, and started by both generations."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gatebench import cli, declare, envs
from gatebench.backends import programs
from gatebench.backends.containers import backend as container
from gatebench.backends.containers import compose
from gatebench.backends.containers.backend import ContainerBackend
from gatebench.backends.containers.engine import LABEL, OWNER, Engine
from gatebench.backends.containers.images import Image, Images, tag
from gatebench.backends.programs import free_port, scratch_folder
from gatebench.backends.services import Services, url_of
from gatebench.errors import UsageError
from gatebench.model import Containment, Placement, Service, Stack
from gatebench.session import Tree

ROOT = Path(__file__).parent.parent
STACKS = Tree.load(ROOT).stacks
SERVICES = declare.services(ROOT)
SHOWN = "flask+gunicorn-gthread"
BESIDE = {"postgres", "redis", "upstream"}  # what it has beside it
MARIADB = f"{SHOWN}[db=pymysql]"
NAMES = [name for name in STACKS if "+" in name]  # of those that stand alone
PATIENCE_S = 60.0
PLACEMENT = Placement(server=(0,), generator=(0,), services=(0,))
CONFINED = ("mem_limit", "memswap_limit", "pids_limit", "cap_drop", "security_opt", "read_only", "network_mode")


def parsed(text: str) -> dict[str, Any]:
    """Read what `render` writes: tables as indented blocks, JSON for all else."""
    top: dict[str, Any] = {}
    open_tables = [top]
    lines = iter([line for line in text.splitlines() if line.strip() and not line.startswith("#")])
    for line in lines:
        key, _, value = line.strip().partition(":")
        del open_tables[(len(line) - len(line.lstrip())) // 2 + 1 :]
        assert key not in open_tables[-1]
        if not value:
            open_tables.append({})
            open_tables[-2][key] = open_tables[-1]
            continue
        while value.strip().startswith("[") and not value.endswith("]"):
            value += next(lines)
        open_tables[-1][key] = json.loads(value)
    return top


def unescaped(value: Any) -> Any:
    """Undo what keeps compose from seeing variables."""
    return json.loads(json.dumps(value).replace("$$", "$"))


def words(part: Mapping[str, Any]) -> list[str]:
    return [*part["entrypoint"], *part["command"]]


class Asked(Exception):  # noqa: N818 - no error: what the backend would have started
    def __init__(self, image: str, options: Mapping[str, Any]) -> None:
        self.image, self.options = image, options


class NoImages:
    """Images that nobody built, and an engine that tells what it is asked to start."""

    def __init__(self) -> None:
        client = SimpleNamespace(containers=SimpleNamespace(create=self._create))
        self.engine = SimpleNamespace(client=client, asked=lambda _: contextlib.nullcontext())

    def _create(self, image: str, **options: Any) -> None:
        raise Asked(image, options)

    def service(self, service: Service) -> Image:
        return Image(id=service.name, name=service.name)


def backend() -> ContainerBackend:
    images: Any = NoImages()
    return ContainerBackend(images=images, wanted=Containment())


def asked(start: Callable[[], contextlib.AbstractContextManager[Any]]) -> dict[str, Any]:
    with pytest.raises(Asked) as caught, start():
        pass
    return dict(caught.value.options)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """The one port that the backend finds free."""
    for module in (programs, container):
        monkeypatch.setattr(module, "free_port", lambda: 12345)
    for service in SERVICES.values():
        monkeypatch.delenv(service.variable, raising=False)
    return 12345


def assert_alike(part: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """What compose is told is what the backend tells the engine."""
    assert unescaped(words(part)) == [*options["entrypoint"], *options["command"]]
    assert {key: part[key] for key in CONFINED} == {key: options[key] for key in CONFINED}
    assert part["tmpfs"] == [f"{place}:{how}" for place, how in options["tmpfs"].items()]
    assert part.get("user") == options["user"]
    told = unescaped(part["environment"])
    assert {key: told[key] for key in options["environment"]} == options["environment"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "ports"} & set(part)


def test_the_compose_file_is_in_step_with_what_is_declared(root: Path) -> None:
    written = (root / "compose" / "compose.yaml").read_text(encoding="utf-8")
    again = f"run `gatebench compose {SHOWN} > compose/compose.yaml`"
    assert written == compose.render(STACKS.one(SHOWN), SERVICES), again


@pytest.mark.parametrize("name", [*NAMES, MARIADB])
def test_a_stack_is_started_and_confined_as_the_container_backend_does(
    name: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    stack = STACKS.one(name)
    ports = {service: 12346 + number for number, service in enumerate(SERVICES)}
    part = parsed(compose.render(stack, SERVICES, ports={"stack": port, **ports}))["services"]["stack"]
    used = [SERVICES[stack.service(service)] for service in sorted(BESIDE)]
    urls = {service.variable: url_of(service, ports[service.name]) for service in used}
    services = Services(urls={}, variables=urls, pids=(), facts={})
    by_it = backend()
    by_it._stacks[name] = Image(id=name, name=name)
    assert_alike(part, asked(lambda: by_it.serve(stack, PLACEMENT, services)))
    ready = f"{stack.scheme}://127.0.0.1:{port}/plaintext"
    assert part["environment"]["GATEBENCH_READY"] == ready, "the image's own health check asks there"
    assert part["image"] == tag(name)
    assert part["build"]["target"] == "stack"
    given = part["build"]["args"]
    assert (given["APP"], given["STACK"]) == (stack.app.name, name)
    assert given.get("PACKAGES", "").split() == sorted(set(stack.needs.values()))
    lines = given["REQUIREMENTS"].splitlines()
    assert lines == sorted(envs.roots(envs.lock_of(ROOT), stack.requirements) or [])
    assert all("==" in line for line in lines)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_started_and_confined_as_the_container_backend_does(
    name: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    stack = STACKS.one(MARIADB if name == "mariadb" else SHOWN)
    part = parsed(compose.render(stack, SERVICES, ports={name: port}))["services"][name]
    assert_alike(part, asked(lambda: backend().services([SERVICES[name]], PLACEMENT)))


def test_the_seed_is_confined_as_all_others_and_comes_before_the_stack() -> None:
    parts = parsed(compose.render(STACKS.one(SHOWN), SERVICES))["services"]
    seed, postgres = parts["postgres.seed"], parts["postgres"]
    same = (*CONFINED, "tmpfs", "user", "image")
    assert {key: seed[key] for key in same} == {key: postgres[key] for key in same}
    assert parts["stack"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "postgres.seed": {"condition": "service_completed_successfully"},
        "redis": {"condition": "service_healthy"},
        "upstream": {"condition": "service_healthy"},
    }
    (mount,) = seed["volumes"]
    assert mount["read_only"] is True
    assert (ROOT / "compose" / mount["source"]).samefile(ROOT / "compose/services/postgres/seed.sql")


def test_only_what_the_stack_uses_is_beside_it() -> None:
    """A driver of MariaDB's has that in the place of PostgreSQL, and nobody has both."""
    for name, beside in ((SHOWN, BESIDE), (MARIADB, (BESIDE - {"postgres"}) | {"mariadb"})):
        parts = parsed(compose.render(STACKS.one(name), SERVICES))["services"]
        assert {part for part in parts if "." not in part} == {"stack", *beside}


def test_the_seed_of_mariadb_goes_into_a_database_that_is_made_anew() -> None:
    parts = parsed(compose.render(STACKS.one(MARIADB), SERVICES))["services"]
    seed = parts["mariadb.seed"]
    assert words(seed)[-1].startswith("(echo 'drop database bench; create database bench; use bench;' && cat /srv/")
    assert words(seed)[-1].endswith("--host=127.0.0.1 --port=13306 --user=bench --database=bench")
    assert seed["image"] == parts["mariadb"]["image"]


def test_every_stack_has_a_tag_of_its_own_that_the_engine_takes() -> None:
    own = ["a+b", "a+b[x=y]", "a+b[x=y,z=w]", "a+b[x=y-z]", "a+b[bridge=own]", "a_b+c", "a-b+c"]
    long = [f"{name}[{axis}={'long' * 30}]" for name in own[:1] for axis in "xy"]
    tags = [tag(name) for name in (*NAMES, MARIADB, *own, *long, *SERVICES)]
    assert len(set(tags)) == len(tags)
    assert all(re.fullmatch(r"gatebench:[a-z0-9_][a-z0-9_.-]{0,127}", one) for one in tags)
    assert tag(MARIADB) == "gatebench:flask.gunicorn-gthread..db.pymysql"


def test_limits_are_those_that_are_wanted() -> None:
    text = compose.render(STACKS.one(SHOWN), SERVICES, wanted=Containment(memory_mib=300, pids=77))
    for part in parsed(text)["services"].values():
        assert (part["mem_limit"], part["memswap_limit"], part["pids_limit"]) == ("300m", "300m", 77)


def test_no_port_is_named_twice_and_the_header_names_each() -> None:
    second = {**SERVICES, "other": replace(SERVICES["upstream"], name="other", variable="GATEBENCH_OTHER_URL")}
    text = compose.render(STACKS.one(SHOWN), second)
    assert "8000 (stack), 15432 (postgres), 16379 (redis), 18080 (upstream), 18081 (other)" in text
    assert parsed(text)["services"]["stack"]["environment"]["GATEBENCH_OTHER_URL"] == "http://127.0.0.1:18081"


def test_what_a_declaration_says_with_a_dollar_sign_is_no_variable_of_compose() -> None:
    server = replace(STACKS.one(SHOWN).server, command=("{python}", "-c", "$HOME 'ä' \"{port}\""))
    text = compose.render(Stack(app=STACKS.one(SHOWN).app, server=server), {})
    part = parsed(text)["services"]["stack"]
    assert words(part) == ["python", "-c", "$$HOME 'ä' \"8000\""]
    assert "depends_on" not in part


def test_a_service_that_is_called_stack_is_refused() -> None:
    with pytest.raises(UsageError, match="choose another name"):
        compose.render(STACKS.one(SHOWN), {"stack": replace(SERVICES["upstream"], name="stack")})


def test_containers_carry_our_label_and_no_owner() -> None:
    """They belong to no process, so none that ended makes them leftovers."""
    for part in parsed(compose.render(STACKS.one(SHOWN), SERVICES))["services"].values():
        assert part["labels"][LABEL] == "compose"
        assert OWNER not in part["labels"]


def test_the_base_is_that_of_the_dockerfile(root: Path) -> None:
    assert f"ARG BASE={compose.BASE}\n" in (root / "compose" / "Dockerfile").read_text(encoding="utf-8")


def test_a_build_by_hand_sees_what_the_dockerfile_copies_and_nothing_else(root: Path) -> None:
    recipe = (root / "compose" / "Dockerfile").read_text(encoding="utf-8")
    recipe = re.sub(r"\$\{\w+\}|\[(\w)\]", r"\1", recipe)
    copied = set(re.findall(r"^COPY (?!--from)(\S+)", recipe, re.MULTILINE))
    lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    seen = [line.removeprefix("!") for line in lines if line.startswith("!")]
    unseen = {one for one in copied if not any(f"{one}/".startswith(f"{place}/") for place in seen)}
    assert unseen == {"harness", "scenarios"}, "the harness's own images are laid out and built by itself"
    assert "*" in lines
    assert set(seen) == {"apps", "requirements/stacks.txt", "requirements/uv.txt"} | {
        f"compose/{one}" for one in ("bridges", "launchers", "services")
    }


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *typed: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["gatebench", *typed])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    code = 0
    try:
        cli.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    found = capsys.readouterr()
    return code, found.out, found.err


@pytest.mark.parametrize("name", [SHOWN, MARIADB])
def test_the_verb_prints_the_file_of_any_stack(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said(monkeypatch, capsys, "compose", name, "--root", str(root))
    assert (code, out) == (0, compose.render(STACKS.one(name), SERVICES))


def test_an_unknown_stack_exits_2_with_the_nearest(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = said(monkeypatch, capsys, "compose", "flask+gunicorn-gthreat", "--root", str(root))
    assert (code, out) == (2, "")
    assert f"Did you mean {SHOWN}" in error


@dataclass(frozen=True)
class Project:
    """One stack of a compose file, under a name that nobody else has."""

    command: list[str]
    name: str
    env: Mapping[str, str]
    urls: Mapping[str, str]

    @property
    def filters(self) -> dict[str, Any]:
        return {"label": f"com.docker.compose.project={self.name}"}

    def run(self, *typed: str) -> str:
        done = subprocess.run(
            [*self.command, *typed], env=self.env, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, f"{typed}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def answer(self, path: str) -> bytes:
        """Ask until it answers well, or the time is over."""
        ask = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        until = time.monotonic() + PATIENCE_S
        met: OSError | None = None
        while time.monotonic() < until:
            try:
                with ask.open(f"{self.urls['stack']}{path}", timeout=10) as found:
                    return bytes(found.read())
            except OSError as error:
                met = error
                time.sleep(0.1)
        raise AssertionError(f"{path}: {met}\n{self.run('logs')}")


def command_of(generation: str, engine: Engine) -> list[str]:
    if generation == "docker-compose":
        found = shutil.which(generation)
        if found is None:
            pytest.skip("docker-compose is not on PATH; on Debian, its package is docker-compose")
        return [found]
    command = engine.command
    if subprocess.run([*command, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip(f"{command[0]} has no plugin for `docker compose`")
    return [*command, "compose"]


@pytest.fixture(params=["docker-compose", "docker compose"])
def project(request: pytest.FixtureRequest, engine: Engine, root: Path, tmp_path: Path) -> Iterator[Project]:
    command = command_of(request.param, engine)
    stack = STACKS.one(SHOWN)
    used = [service for name, service in SERVICES.items() if name in BESIDE]
    with scratch_folder() as scratch:
        images = Images(
            engine=engine, root=root, scratch=scratch, python="{}.{}".format(*sys.version_info), wanted=Containment()
        )
        images.stack(stack)
        found = {service.name: images.service(service).name for service in used}
    ports: dict[str, int] = {}
    for name in ("stack", *found):
        ports[name] = next(port for port in iter(free_port, None) if port not in ports.values())
    file = tmp_path / "compose.yaml"
    file.write_text(compose.render(stack, SERVICES, ports=ports), encoding="utf-8")
    name = f"gatebench-test-{uuid.uuid4().hex[:8]}"
    made = Project(
        command=[*command, "-p", name, "-f", str(file), "--project-directory", str(root / "compose")],
        name=name,
        env={
            **os.environ,
            "DOCKER_HOST": engine.address,
            "GATEBENCH_POSTGRES_IMAGE": found["postgres"],
            "GATEBENCH_REDIS_IMAGE": found["redis"],
        },
        urls={name: f"http://127.0.0.1:{port}" for name, port in ports.items()},
    )
    try:
        yield made
    finally:
        made.run("down", "--volumes", "--timeout", "5")


def containers(engine: Engine, project: Project) -> dict[str, Any]:
    found = engine.client.containers.list(all=True, filters=project.filters)
    return {one.labels["com.docker.compose.service"]: one for one in found}


@pytest.mark.container
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_it_starts_by_hand_answers_is_confined_and_leaves_nothing(project: Project, engine: Engine) -> None:
    project.run("config", "--quiet")
    project.run("up", "-d", "--no-build")
    assert project.answer("/plaintext") == b"Hello, World!"
    row = json.loads(project.answer("/db?id=7"))
    assert row == {"id": 7, "value": 10_000 + 7 * 7919 % 90_000}
    token = "0123456789abcdef"
    assert json.loads(project.answer(f"/external?token={token}"))["token"] == token

    found = containers(engine, project)
    assert set(found) == {"stack", "postgres", "postgres.seed", "redis", "upstream"}
    for one in found.values():
        host, config = one.attrs["HostConfig"], one.attrs["Config"]
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert not host["Privileged"]
        assert host["ReadonlyRootfs"] is True
        assert any("no-new-privileges" in said for said in host["SecurityOpt"])
        assert host["Memory"] == host["MemorySwap"] == 2048 * 1024 * 1024
        assert host["PidsLimit"] == 4096
        assert host["NetworkMode"] == "host"
        assert config["User"].partition(":")[0] not in ("", "0", "root")
        assert config["Labels"][LABEL] == "compose"
        assert OWNER not in config["Labels"]
    assert found["postgres.seed"].attrs["State"]["ExitCode"] == 0

    project.run("up", "-d", "--no-build")
    assert json.loads(project.answer("/db?id=7")) == row, "the seed is taken again, under a stack that runs"

    project.run("down")
    assert not containers(engine, project)
    assert not engine.client.networks.list(filters=project.filters)
    assert not engine.client.volumes.list(filters=project.filters)
