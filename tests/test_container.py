"""The container backend on a real engine: what runs, how it is confined, and what befalls it in mid-trial.

What dies here dies for real: containers by their kernel, an engine of the test's own by its pid.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from docker.models.containers import Container
from planned import varied

from gatebench import machine, plan, store
from gatebench.backends import cgroups, programs
from gatebench.backends.containers import backend as container
from gatebench.backends.containers.backend import ContainerBackend
from gatebench.backends.containers.engine import LABEL, OWNER, Engine, _owner, find
from gatebench.backends.containers.images import Image, Images
from gatebench.backends.programs import Serving, answers
from gatebench.backends.resources import tree as descendants
from gatebench.backends.services import Services
from gatebench.contract import check
from gatebench.errors import MachineError
from gatebench.fake import parties as invented
from gatebench.generator import Driver, Figures, Generator, Job
from gatebench.generator.container import ContainedLocust
from gatebench.model import (
    Containment,
    ControlGroup,
    Load,
    Measure,
    Network,
    Placement,
    Plan,
    Run,
    Session,
    Stack,
    Usage,
)
from gatebench.parties import Parties
from gatebench.run import Conductor
from gatebench.session import Tree, Wish, opened, parties

pytestmark = [pytest.mark.container, pytest.mark.server]

T = TypeVar("T")

WSGI, ASGI = "raw_wsgi+gunicorn-gthread", "raw_asgi+uvicorn"
PLAN = Plan.alone(
    name="contained",
    title="Contained",
    stacks=(WSGI, ASGI),
    measures=(Measure(scenario="plain", load=Load(kind="closed", size=16)),),
    blocks=1,
    seed=7,
    window_s=0.5,
    warmup_slice_s=0.2,
    warmup_limit_s=0.6,
)
TRIES = 4  # neighbours may void a trial, and a quick app may find its generator's limit
DEADLINE_S = 30.0
LOADED_S = 0.05  # CPU-seconds of a server by which it is seen to be under load
GONE = "no longer answers"
ME = _owner(os.getpid())
LOOPBACK = {"tcp": "0100007F", "tcp6": "00000000000000000000000001000000"}  # as /proc spells it


def until(look: Callable[[], T | None], what: str) -> T:
    """Look until there is something."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {DEADLINE_S:.0f} s")


def owned(engine: Engine, role: str | None = None, owner: str = ME) -> list[Container]:
    """The running containers of a process."""
    wanted = [f"{OWNER}={owner}", *([f"{LABEL}={role}"] if role else [])]
    found: list[Container] = engine.client.containers.list(filters={"label": wanted}, ignore_removed=True)
    return found


def remains(engine: Engine, owner: str = ME) -> list[str]:
    """All that a process has in the engine, running or not."""
    wanted: dict[str, Any] = {"label": f"{OWNER}={owner}"}
    containers = engine.client.containers.list(all=True, filters=wanted, ignore_removed=True)
    networks = engine.client.networks.list(filters=wanted)
    return [*(one.name or "" for one in containers), *(one.name or "" for one in networks)]


def pid_of(one: Container) -> int:
    return int(one.attrs["State"]["Pid"])


def under_load(engine: Engine, owner: str = ME) -> int:
    """Wait until the one server has work to do, and give its first process."""
    pid = until(lambda: next(map(pid_of, owned(engine, "server", owner)), None), "a server")
    group = cgroups.of(pid)
    assert group is not None
    idle = group.read().cpu_s or 0.0
    until(lambda: (group.read().cpu_s or 0.0) > idle + LOADED_S, "load on the server")
    return pid


@dataclass
class Meanwhile:
    """A driver beside whose generator something happens while it measures."""

    driver: Driver
    deed: Callable[[], object]
    name: str = "meanwhile"

    @contextmanager
    def start(self, placement: Placement) -> Iterator[Generator]:
        with self.driver.start(placement) as generator:
            yield Beside(generator.pids, generator, self.deed)


@dataclass
class Beside:
    pids: tuple[int, ...]
    generator: Generator
    deed: Callable[[], object]

    def measure(self, job: Job) -> Figures:
        with ThreadPoolExecutor(1) as beside:
            done = beside.submit(self.deed)
            try:
                return self.generator.measure(job)
            finally:
                done.result(DEADLINE_S)


@pytest.fixture(scope="module")
def tree(root: Path) -> Tree:
    return Tree.load(root)


@pytest.fixture(scope="module")
def who(root: Path, engine: Engine) -> Iterator[Parties]:
    with parties(root, Wish(backend="container")) as chosen:
        yield chosen
    assert remains(engine) == []


@pytest.fixture(scope="module")
def backend(who: Parties) -> ContainerBackend:
    assert isinstance(who.backend, ContainerBackend)
    return who.backend


@dataclass(frozen=True, kw_only=True)
class Measured:
    header: Session
    conductor: Conductor  # its services were none, so that it goes on without them
    runs: Mapping[str, Run]


@pytest.fixture(scope="module")
def measured(tree: Tree, who: Parties) -> Measured:
    """One session with a trial of either stack, in a window that is long enough for a steady rate."""
    with opened(tree, varied(PLAN, window_s=2.0), who, name="s", told=lambda _: None) as (header, conductor):
        runs = {trial.stack: valid(conductor, trial.stack) for trial in plan.trials(PLAN)}
    return Measured(header=header, conductor=replace(conductor, plan=PLAN), runs=runs)


@pytest.fixture
def conductor(measured: Measured) -> Conductor:
    return measured.conductor


def measure(conductor: Conductor, stack: str) -> Run:
    (run,) = (
        run for trial in plan.trials(varied(PLAN, stacks=(stack,))) for run in conductor.runs([trial], lambda _: None)
    )
    return run


def valid(conductor: Conductor, stack: str) -> Run:
    """Measure until neighbours leave a trial alone."""
    for _ in range(TRIES):
        run = measure(conductor, stack)
        if run.status == "ok":
            break
        assert run.status == "void", run.reason
    assert run.status == "ok", run.reason
    return run


def figures(run: Run) -> set[str]:
    """Name all figures that a run has, those of its parties too."""
    found = {f"{key}.{name}" for key, value in asdict(run).items() if isinstance(value, dict) for name in value}
    nested = {
        f"{key}.{name}"
        for key, value in asdict(run).items()
        if isinstance(value, dict)
        for name in value
        if value[name] is None
    }
    return (found - nested) | {key for key, value in asdict(run).items() if value is not None}


@pytest.mark.slow
def test_what_processes_run_containers_run_with_all_their_figures(root: Path, tree: Tree, measured: Measured) -> None:
    alone = varied(PLAN, stacks=(WSGI,))
    with (
        parties(root, Wish(backend="process")) as plain,
        opened(tree, alone, plain, name="p", told=lambda _: None) as (header, conductor),
    ):
        process = valid(conductor, WSGI)
    contained = measured.runs[WSGI]
    group = {f"server_group.{name}" for name in asdict(contained.server_group)}
    # The kernel counts throttling only where a share of CPU time is given out.
    assert figures(contained) - figures(process) >= group - {"server_group.throttled_s"}
    assert figures(process) - figures(contained) == set()
    assert (process.backend, contained.backend) == ("process", "container")
    inside, outside = measured.header.stacks[WSGI]["versions"], header.stacks[WSGI]["versions"]
    assert inside.keys() - {"async-timeout"} == outside.keys() - {"async-timeout"}, "which Python has from 3.11.3 on"
    assert str(inside["python"])[:4] == str(outside["python"])[:4]


def test_two_stacks_are_measured_at_the_same_time(conductor: Conductor) -> None:
    longer = varied(PLAN, window_s=2.0)  # two generators of quick apps share a CPU, and begin some 0.1 s apart
    for _ in range(TRIES):
        found = replace(conductor, plan=longer).together(plan.trials(longer))
        if all(run.status == "ok" for run in found):
            break
    assert [(run.status, run.reason) for run in found] == [("ok", None), ("ok", None)]
    assert all(run.server_beside_share for run in found)
    assert all(run.server_group.cpu_s for run in found)


@pytest.mark.parametrize("stack", [WSGI, ASGI])
def test_a_run_has_the_containers_figures(measured: Measured, stack: str) -> None:
    run = measured.runs[stack]
    assert run.server.pss_peak_bytes
    assert run.server.pss_peak_bytes > 2**20
    assert run.server.cpu_s
    assert run.server.processes == (2 if stack == WSGI else 1)
    assert run.server_group.memory_peak_bytes
    assert run.server_group.memory_mean_bytes
    assert run.server_group.pids
    assert run.server_group.pids >= run.server.processes
    assert run.ready_s


def test_the_header_says_what_it_ran_on(measured: Measured, engine: Engine) -> None:
    header = measured.header
    assert header.backend == "container"
    assert header.surroundings["engine"] == f"Docker {engine.version}, control groups {engine.cgroup}"
    assert (header.surroundings["network"], header.surroundings["generator"]) == ("host", "process")
    assert header.surroundings["base"]
    assert len(str(header.surroundings["base id"])) == 12
    assert (header.surroundings["memory limit, MiB"], header.surroundings["processes limit"]) == (2048, 4096)
    for stack, package in ((WSGI, "gunicorn"), (ASGI, "uvicorn")):
        described = header.stacks[stack]
        assert described["image"]["image"] == f"gatebench:{stack.replace('+', '.')}"
        assert len(str(described["image"]["image id"])) == 12
        assert described["versions"].keys() >= {"python", package}


@pytest.mark.parametrize("stack", [WSGI, ASGI])
def test_the_control_groups_cpu_seconds_are_those_of_the_process_tree(measured: Measured, stack: str) -> None:
    run = measured.runs[stack]
    assert run.server_group.cpu_s == pytest.approx(run.server.cpu_s, rel=0.05)


@dataclass(frozen=True, kw_only=True)
class Everything:
    """All that a session may have, at once."""

    network: Network
    placement: Placement
    serving: Serving
    services: Services
    containers: Mapping[str, Container]  # name -> container


@contextmanager
def everything(network: Network, tree: Tree, backend: ContainerBackend, engine: Engine) -> Iterator[Everything]:
    backend = ContainerBackend(images=backend.images, wanted=Containment(network=network))
    placement = machine.place(machine.usable_cpus())
    stack = tree.stacks.one(ASGI)
    backend.prepare(stack)
    with (
        backend.services(list(tree.services.values()), placement) as services,
        ContainedLocust(backend=backend).start(placement),
        backend.serve(stack, placement, services) as serving,
    ):
        found = {one.labels[f"{LABEL}.name"]: one for one in owned(engine)}
        yield Everything(network=network, placement=placement, serving=serving, services=services, containers=found)


def listeners(pid: int) -> dict[int, set[str]]:
    """The ports that something listens on in the network of a process, with the addresses."""
    found: dict[int, set[str]] = {}
    for family, loopback in LOOPBACK.items():
        for line in Path(f"/proc/{pid}/net/{family}").read_text(encoding="ascii").splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, port = local.rpartition(":")
            if state == programs.LISTENS:
                found.setdefault(int(port, 16), set()).add("loopback" if address == loopback else address)
    return found


@pytest.fixture(scope="class", params=["host", "bridge"])
def all_of_it(
    request: pytest.FixtureRequest, tree: Tree, backend: ContainerBackend, engine: Engine
) -> Iterator[Everything]:
    with everything(request.param, tree, backend, engine) as running:
        yield running
    assert remains(engine) == [], "neither a container nor a network stays behind"


@pytest.mark.slow
class TestAllThatRunsAtOnce:
    def test_whatever_runs_is_confined(self, all_of_it: Everything) -> None:
        holder = {"network"} if all_of_it.network == "bridge" else set()
        assert all_of_it.containers.keys() == {*all_of_it.services.urls, "generator", ASGI} | holder
        for name, one in all_of_it.containers.items():
            host = one.attrs["HostConfig"]
            assert not host["Privileged"], name
            assert host["CapDrop"] == ["ALL"], name
            assert not host["CapAdd"], name
            assert host["SecurityOpt"] == ["no-new-privileges"], name
            assert host["ReadonlyRootfs"], name
            assert host["Tmpfs"].keys() == {"/tmp"}, name
            assert "noexec" in host["Tmpfs"]["/tmp"], name
            assert not host["Binds"], name
            assert not host["Devices"], name
            assert [mount for mount in one.attrs["Mounts"] if mount["Type"] == "bind"] == [], name
            assert host["Memory"] == 2048 * 2**20, name
            assert host["MemorySwap"] == host["Memory"], "no swap"
            assert host["PidsLimit"] == 4096, name
            assert not host["PidMode"], name
            assert host["IpcMode"] == "private", name
            assert host["RestartPolicy"]["Name"] in ("", "no"), name
            assert one.attrs["Config"]["Healthcheck"]["Test"] == ["NONE"], name
            assert "Health" not in one.attrs["State"], name
            assert one.attrs["Config"]["User"] not in ("", "root", "0"), name
            assert one.labels[OWNER] == ME, name
            assert one.labels[LABEL], name

    def test_what_runs_in_it_has_no_power_and_its_own_cpus_only(self, all_of_it: Everything) -> None:
        placement = all_of_it.placement
        for name, one in all_of_it.containers.items():
            cpus = {ASGI: placement.server, "generator": placement.generator}.get(name, placement.services)
            for pid in descendants(pid_of(one)):
                lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
                status = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
                assert 0 not in {int(uid) for uid in status["Uid"].split()}, name
                assert {int(status[kind], 16) for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd")} == {0}, name
                assert status["NoNewPrivs"] == "1", name
                assert status["Seccomp"] == "2", name
                assert os.sched_getaffinity(pid) == set(cpus), name
                assert "docker.sock" not in Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8"), name

    def test_its_root_is_only_read_and_nothing_on_its_tmp_is_run(self, all_of_it: Everything) -> None:
        server = all_of_it.containers[ASGI]
        code, said = server.exec_run(["touch", "/srv/x"])
        assert code != 0
        assert b"Read-only" in said
        code, said = server.exec_run(["sh", "-c", "cp /bin/true /tmp/true && /tmp/true"])
        assert code == 126, said

    def test_nothing_is_to_be_reached_from_another_machine(self, all_of_it: Everything) -> None:
        ports = [all_of_it.serving.port]
        ports += [int(url.split(":")[-1].split("/")[0]) for url in all_of_it.services.urls.values()]
        assert len(ports) == 1 + len(all_of_it.services.urls) > 3
        here = listeners(os.getpid())
        for port in ports:
            assert here[port] == {"loopback"}
        assert answers(f"http://127.0.0.1:{all_of_it.serving.port}/plaintext")
        if all_of_it.network == "bridge":
            held = all_of_it.containers["network"].attrs
            published = [where for each in held["NetworkSettings"]["Ports"].values() for where in each or ()]
            assert {where["HostIp"] for where in published} == {"127.0.0.1"}
            assert {int(where["HostPort"]) for where in published} >= set(ports)
            assert len(held["NetworkSettings"]["Networks"]) == 1
            others = [one for name, one in all_of_it.containers.items() if name != "network"]
            assert {one.attrs["HostConfig"]["NetworkMode"] for one in others} == {f"container:{held['Id']}"}
            assert not any(one.attrs["HostConfig"]["PortBindings"] for one in others)
        else:
            modes = {one.attrs["HostConfig"]["NetworkMode"] for one in all_of_it.containers.values()}
            assert modes == {"host"}


@pytest.mark.slow
@pytest.mark.parametrize("network", ["host", "bridge"])
def test_a_generator_in_a_container_measures_as_well(
    network: Network, tree: Tree, measured: Measured, backend: ContainerBackend, engine: Engine
) -> None:
    backend = ContainerBackend(images=backend.images, wanted=Containment(network=network))
    who = invented(
        backend=backend, driver=ContainedLocust(backend=backend), contract=measured.conductor.parties.contract
    )
    # Long enough for looks at memory, twice a second at most, whatever else this machine does.
    alone = varied(PLAN, stacks=(WSGI,), container=Containment(network=network), window_s=2.0)
    with opened(tree, alone, who, name="s", told=lambda _: None) as (header, conductor):
        run = valid(conductor, WSGI)
    assert remains(engine) == []
    assert header.surroundings["network"] == network
    assert header.ceilings.keys() == {"keep-alive"}
    assert figures(measured.runs[WSGI]) <= figures(run)
    assert run.generator.cpu_s
    assert run.generator_delay_share is not None
    assert run.window_s == pytest.approx(2.0, rel=0.2)


@pytest.mark.slow
def test_a_container_that_is_killed_in_mid_trial_voids_its_run_and_no_other(
    conductor: Conductor, engine: Engine
) -> None:
    def kill() -> None:
        os.kill(under_load(engine), signal.SIGKILL)

    killed = measure(with_parties(conductor, driver=Meanwhile(conductor.parties.driver, kill)), WSGI)
    assert (killed.status, killed.fault) == ("void", "broke")
    assert killed.reason == "the server ended with exit code 137, in mid-trial"
    assert remains(engine) == []
    assert valid(conductor, WSGI).reason is None


# Runs the stack's own server with the stack's own app behind one that eats when it is asked to.
GLUTTON = """
import runpy, sys, types
import app

eaten = []


def wsgi(environ, start_response):
    eat(environ["QUERY_STRING"])
    return app.app(environ, start_response)


async def asgi(scope, receive, send):
    eat(scope.get("query_string"))
    await app.app(scope, receive, send)


def eat(query):
    if query:
        eaten.append(b"x" * 2**20)


sys.modules["glutton"] = glutton = types.ModuleType("glutton")
glutton.wsgi, glutton.asgi = wsgi, asgi
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
FEEDING = """
from gatebench.swarm import EngineUser, Expect, Request

SCENARIO = {"version": 1, "title": "Food", "routes": ["plaintext"]}


class Feeder(EngineUser):
    mix = (Request("/plaintext?eat=1", expect=Expect(body="Hello, World!")),)
"""


def alone(conductor: Conductor, name: str) -> Stack:
    stack = conductor.stacks[name]
    assert isinstance(stack, Stack)
    return stack


def with_parties(conductor: Conductor, **others: Any) -> Conductor:
    return replace(conductor, parties=replace(conductor.parties, **others))


def with_command(conductor: Conductor, stack: Stack, *command: str) -> Conductor:
    """The same image with another command."""
    changed = replace(stack, server=replace(stack.server, command=command))
    return replace(conductor, stacks={**conductor.stacks, stack.name: changed})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "target", "befell"),
    [(ASGI, "glutton:asgi", "was killed"), (WSGI, "glutton:wsgi", "lost a process")],
    ids=["its only process", "a worker whose master lives on"],
)
def test_a_server_that_runs_out_of_memory_in_mid_trial_is_told_as_such(
    name: str, target: str, befell: str, measured: Measured, tmp_path: Path
) -> None:
    conductor = measured.conductor
    own = conductor.parties.backend
    assert isinstance(own, ContainerBackend)
    feeding = tmp_path / "feeding.py"
    feeding.write_text(FEEDING, encoding="utf-8")
    stack = alone(conductor, name)
    python = stack.server.command.index("{python}")
    before, (_, _, module, *words) = stack.server.command[:python], stack.server.command[python:]
    code = GLUTTON.replace("{", "{{").replace("}", "}}")
    hungry = with_command(
        replace(
            with_parties(
                conductor,
                backend=ContainerBackend(images=own.images, wanted=Containment(memory_mib=128), _stacks=own._stacks),
            ),
            scenarios={"plain": replace(conductor.scenarios["plain"], path=feeding)},
        ),
        replace(stack, app=replace(stack.app, target=target)),
        *(*before, "{python}", "-c", code, module),
        *words,
    )
    run = measure(hungry, name)
    assert (run.status, run.fault) == ("void", "broke"), run.reason
    assert run.reason == (
        f"the server {befell}: out of the 128 MiB of memory that its container may use, in mid-trial"
    )


@pytest.mark.parametrize("seen", [True, False])
def test_a_stack_that_dies_as_it_starts_is_told_with_its_last_lines(
    conductor: Conductor, engine: Engine, monkeypatch: pytest.MonkeyPatch, *, seen: bool
) -> None:
    """Also one that the kernel no longer shows while the engine still takes it for running."""
    if not seen:
        monkeypatch.setattr(container, "is_visible", lambda *_: False)
    dying = with_command(
        conductor,
        alone(conductor, WSGI),
        *("{python}", "-c", "import sys; print('first', file=sys.stderr); sys.exit('the database is on fire')"),
    )
    run = measure(dying, WSGI)
    assert (run.status, run.fault) == ("failed", "machine")
    assert run.reason == f"{WSGI} ended with exit code 1 before it answered: first | the database is on fire"
    assert remains(engine) == []


def test_a_program_that_is_not_in_the_image_is_told_in_a_sentence(conductor: Conductor, engine: Engine) -> None:
    run = measure(with_command(conductor, alone(conductor, WSGI), "no-such-command"), WSGI)
    assert (run.status, run.fault) == ("failed", "machine")
    assert f"{WSGI} could not be started: " in (run.reason or "")
    assert "no-such-command" in (run.reason or "")
    assert "\n" not in (run.reason or "")
    assert remains(engine) == []


def drawn(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Have chance give these numbers for the names of containers."""
    left = list(numbers)
    monkeypatch.setattr(random, "getrandbits", lambda _: left.pop(0))


def serve(backend: ContainerBackend, stack: Stack) -> contextlib.AbstractContextManager[Serving]:
    none = Services(urls={}, variables={}, pids=(), facts={})
    return backend.serve(stack, machine.place(machine.usable_cpus()), none)


def test_a_name_that_is_taken_is_left_for_another(
    measured: Measured, tree: Tree, backend: ContainerBackend, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = random.getrandbits(32)
    second = first ^ 1
    drawn(monkeypatch, first, first, second, *[second] * container.NAME_TRIES)
    with serve(backend, tree.stacks.one(ASGI)), serve(backend, tree.stacks.one(ASGI)):
        names = {one.name for one in owned(engine, "server")}
        assert names == {f"gatebench-raw_asgi.uvicorn-{number:08x}" for number in (first, second)}
        with pytest.raises(MachineError) as told, serve(backend, tree.stacks.one(ASGI)):
            pass
        assert str(told.value) == (
            f"{ASGI} found the name of its container taken 3 times, last "
            f"gatebench-raw_asgi.uvicorn-{second:08x}; try again."
        )
    assert remains(engine) == []


@pytest.mark.parametrize("stack", [WSGI, ASGI], ids=["one that goes on trying", "one that ends"])
def test_a_port_that_is_taken_on_the_hosts_network_is_left_for_another(
    stack: str, measured: Measured, tree: Tree, backend: ContainerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1], programs.free_port()])
        monkeypatch.setattr(container, "free_port", lambda: next(ports))
        with serve(backend, tree.stacks.one(stack)) as serving:
            assert serving.port != taken.getsockname()[1]
            assert answers(f"http://127.0.0.1:{serving.port}/plaintext")


def bridged(backend: ContainerBackend, stack: Stack) -> ContainerBackend:
    made = ContainerBackend(images=backend.images, wanted=Containment(network="bridge"))
    made.prepare(stack)
    return made


def test_ports_that_cannot_be_published_are_left_for_others(
    tree: Tree, backend: ContainerBackend, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, placement = tree.stacks.one(ASGI), machine.place(machine.usable_cpus())
    own = bridged(backend, stack)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([[taken.getsockname()[1]], programs.free_ports(1)])
        monkeypatch.setattr(container, "free_ports", lambda _: next(ports))
        with own.services([], placement) as none, own.serve(stack, placement, none) as serving:
            assert serving.port != taken.getsockname()[1]
        monkeypatch.setattr(container, "free_ports", lambda _: [taken.getsockname()[1]])
        with (
            pytest.raises(MachineError, match=r"network could not be started: .*already"),
            own.services([], placement),
        ):
            pass
    assert remains(engine) == []


def test_an_engine_on_another_kernel_is_told_at_once_on_the_hosts_network_and_measures_on_a_bridge(
    tree: Tree, backend: ContainerBackend, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Docker Desktop does is that the engine's process ids are not this machine's."""
    monkeypatch.setattr(container, "is_visible", lambda *_: False)
    stack, placement = tree.stacks.one(WSGI), machine.place(machine.usable_cpus())
    backend.prepare(stack)
    with (
        pytest.raises(MachineError, match=r"on another kernel.*--network bridge --generator container"),
        backend.services([], placement) as none,
        backend.serve(stack, placement, none),
    ):
        pass
    own = bridged(backend, stack)
    who = invented(backend=own, driver=ContainedLocust(backend=own), contract=check)
    with opened(tree, varied(PLAN, stacks=(WSGI,)), who, told=lambda _: None) as (_, conductor):
        run = valid(conductor, WSGI)
    assert run.requests
    assert (run.server, run.server_group, run.server_busy_share) == (Usage(), ControlGroup(), None)
    assert any("could not be seen from here" in warning for warning in run.warnings)
    assert remains(engine) == []


def test_an_error_of_whoever_uses_the_bridge_stays_their_own(
    tree: Tree, backend: ContainerBackend, engine: Engine
) -> None:
    own = bridged(backend, tree.stacks.one(ASGI))
    with (
        pytest.raises(MachineError, match=r"^another's address is already in use$"),
        own.services([], machine.place(machine.usable_cpus())),
    ):
        raise MachineError("another's address is already in use")
    assert remains(engine) == []


@contextmanager
def leaving_sockets() -> Iterator[None]:
    """Let the SDK leave sockets open, as it does where nobody answers at them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@dataclass
class Daemon:
    """An engine of the test's own, which may be killed."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    engines: list[Engine] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/s"

    def start(self) -> Engine:
        # What killed it killed this, too, and nobody may have told the kernel that it has been seen.
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)
        places = ("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")
        words = [word for option, name in places for word in (option, str(self.folder / name))]
        nothing = ("--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["dockerd", *words, *nothing, "--host", self.address],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def answering() -> Engine | None:
            assert self.process is not None
            if self.process.poll() is not None:
                said = (self.folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
                pytest.skip(f"no engine of the test's own can be started here: {said[-1:]}")
            with contextlib.suppress(MachineError), pytest.MonkeyPatch.context() as environment:
                environment.setenv("DOCKER_HOST", self.address)
                return find()
            return None

        self.engines.append(until(answering, "an engine of the test's own"))
        return self.engines[-1]

    def stop(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(DEADLINE_S)

    def clear(self) -> None:
        """Remove all that it has; started again where it was killed, since it then ends what it had left running."""
        try:
            if self.process is not None and self.process.poll() is not None:
                with leaving_sockets():
                    self.start()
            for engine in self.engines[-1:]:
                for one in engine.client.containers.list(all=True, ignore_removed=True):
                    one.remove(force=True)
            self.stop(signal.SIGTERM)
        finally:
            for engine in self.engines:
                engine.client.close()
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    if any(str(self.folder) in word for word in process.cmdline()):
                        for each in (*process.children(recursive=True), process):
                            each.kill()
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
            for point in reversed([line.split()[1] for line in mounts]):
                if point.startswith(str(self.folder)):
                    subprocess.run(["umount", "--lazy", point], check=False)
            shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def daemon(engine: Engine) -> Iterator[Daemon]:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("no engine of the test's own can be started here: that takes dockerd, and root")
    folder = Path(tempfile.mkdtemp(prefix="gb-", dir="/tmp"))  # a socket's path is short
    with ExitStack() as cleanup:
        daemon = Daemon(folder)
        cleanup.callback(daemon.clear)
        yield daemon
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize("generator", ["process", "container"])
def test_an_engine_that_stops_in_mid_trial_fails_that_trial_and_the_later_ones_in_a_sentence(
    generator: str, measured: Measured, engine: Engine, daemon: Daemon
) -> None:
    with leaving_sockets():
        second = daemon.start()
    own = measured.conductor.parties.backend
    assert isinstance(own, ContainerBackend)
    made: dict[str, Image] = {"base": own.images.base(), ASGI: own._stacks[ASGI]}
    if generator == "container":
        made["generator"] = own.images.generator()
    for name, image in made.items():
        if name != "base":
            packed = engine.client.images.get(image.id).save()
            second.client.api.load_image(packed)  # type: ignore[no-untyped-call]
    images = Images(
        engine=second, root=own.images.root, scratch=own.images.scratch, python="3.11", wanted=own.wanted, _made=made
    )
    backend = ContainerBackend(images=images, wanted=own.wanted)
    backend.prepare(alone(measured.conductor, ASGI))
    driver = ContainedLocust(backend=backend) if generator == "container" else measured.conductor.parties.driver
    wanted = varied(PLAN, stacks=(ASGI,), blocks=3)

    def kill() -> None:
        if next(turns) == 1:
            under_load(second)
            daemon.stop(signal.SIGKILL)

    turns = itertools.count()
    conductor = with_parties(
        replace(measured.conductor, plan=wanted), backend=backend, driver=Meanwhile(driver, kill)
    )
    with leaving_sockets():
        first, struck, later = conductor.runs(plan.trials(wanted), lambda _: None)
    assert first.status in ("ok", "void"), first.reason
    assert first.requests
    for run in (struck, later):
        assert (run.status, run.fault) == ("failed", "machine")
        assert str(run.reason).startswith(f"The Docker engine at {daemon.address} {GONE} (")
        assert str(run.reason).endswith("; see that it runs.")
        assert "\n" not in str(run.reason)
    assert struck.ready_s is not None
    assert later.ready_s is None


@pytest.fixture
def one_trial(root: Path, tmp_path: Path) -> Path:
    """The project's tree with two plans of the test's own: one of a trial, one of many."""
    for name in ("apps", "compose", "requirements", ".envs"):
        (root / name).mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "scenarios" / "plans").mkdir(parents=True)
    shutil.copy(root / "scenarios" / "plain.py", tmp_path / "scenarios" / "plain.py")
    for name, blocks, window_s in (("one", 1, 0.5), ("many", 50, 1.0)):
        (tmp_path / "scenarios" / "plans" / f"{name}.toml").write_text(
            f'title = "T"\nstacks = ["{WSGI}"]\nblocks = {blocks}\nseed = 1\nwindow_s = {window_s}\n'
            'warmup_slice_s = 0.2\nwarmup_limit_s = 0.6\n[measures]\nplain = ["closed(16)"]\n',
            encoding="utf-8",
        )
    return tmp_path


def gatebench(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gatebench", *words],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def first_line(said: str) -> str:
    return next(line for line in said.splitlines() if "backend" in line)


@pytest.mark.slow
def test_auto_takes_processes_where_no_engine_answers_and_says_why(one_trial: Path) -> None:
    nowhere = f"unix://{one_trial}/nowhere.sock"
    words = ("run", "--plan", "one", "--backend", "auto", "--session", "s")
    done = gatebench(*words, cwd=one_trial, DOCKER_HOST=nowhere)
    assert done.returncode in (0, 3), done.stderr  # void is possible on a busy machine, a failure is not
    assert f"backend process (No Docker engine answers at {nowhere})" in first_line(done.stdout)
    session = store.read(one_trial / "results" / "s.jsonl")
    assert session.backend == "process"
    assert session.surroundings == {"chosen since": f"No Docker engine answers at {nowhere}"}


@pytest.mark.slow
def test_auto_takes_containers_where_an_engine_answers_and_says_so(one_trial: Path, engine: Engine) -> None:
    done = gatebench("run", "--plan", "one", "--backend", "auto", "--session", "s", cwd=one_trial)
    assert done.returncode in (0, 3), done.stderr
    assert f"backend container (Docker {engine.version} answers, host network)" in first_line(done.stdout)
    session = store.read(one_trial / "results" / "s.jsonl")
    assert session.backend == "container"
    assert session.runs[0].server_group.cpu_s


def test_containers_that_are_wanted_and_cannot_be_had_exit_4(one_trial: Path) -> None:
    nowhere = f"unix://{one_trial}/nowhere.sock"
    done = gatebench("run", "--plan", "one", "--backend", "container", cwd=one_trial, DOCKER_HOST=nowhere)
    assert done.returncode == 4
    said = f"gatebench: No Docker engine answers at {nowhere}; start one, or choose --backend process.\n"
    assert done.stderr == said
    assert not (one_trial / "results").exists()


@contextmanager
def in_mid_trial(tree: Path, engine: Engine, generator: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A session with a bridge, interrupted by the test in its second trial; and whose its containers are."""
    words = ["run", "--plan", "many", "--backend", "container", "--network", "bridge", "--session", "s"]
    words += ["--generator", generator]
    with subprocess.Popen(
        [sys.executable, "-m", "gatebench", *words],
        cwd=tree,
        env={**os.environ, "TMPDIR": str(tree)},  # where its own folder stays if it is killed
        stdout=-1,
        stderr=-1,
        text=True,
    ) as process:
        owner = _owner(process.pid)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("1/50"):
                    break
            under_load(engine, owner)
            yield process, owner
        finally:
            process.kill()


@pytest.mark.slow
def test_an_interrupted_run_leaves_neither_a_container_nor_a_network(one_trial: Path, engine: Engine) -> None:
    with in_mid_trial(one_trial, engine, "container") as (process, owner):
        assert len(remains(engine, owner)) == 4, "generator, server, holder and network"
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=DEADLINE_S)[1]
    assert time.monotonic() - begun < 5
    assert process.returncode == 130
    assert said.startswith("gatebench: Interrupted. What was measured is kept: `gatebench run --resume ")
    assert remains(engine, owner) == []
    session = store.read(one_trial / "results" / "s.jsonl")
    assert len(session.runs) >= 1
    assert session.interrupted


@pytest.mark.slow
def test_what_a_killed_session_leaves_is_listed_and_removed_and_no_more(
    measured: Measured, tree: Tree, backend: ContainerBackend, one_trial: Path, engine: Engine
) -> None:
    with in_mid_trial(one_trial, engine, "process") as (process, owner):
        generators = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(generators, timeout=DEADLINE_S)
    assert alive == [], "it ends with the trial that it was given"
    left = remains(engine, owner)
    assert len(left) == 3
    with serve(backend, tree.stacks.one(ASGI)) as serving:
        (mine,) = remains(engine)
        listed = json.loads(gatebench("doctor", "--json", cwd=one_trial).stdout)["leftovers"]
        for name in left:
            assert f"container {name}" in listed or f"network {name}" in listed
        assert not any(mine in one for one in listed)
        done = gatebench("clean", cwd=one_trial)
        assert done.returncode == 0, done.stderr
        assert all(f"removed container {name}" in done.stdout for name in left[:2])
        assert f"removed network {left[2]}" in done.stdout
        assert remains(engine, owner) == []
        assert remains(engine) == [mine]
        assert answers(f"http://127.0.0.1:{serving.port}/plaintext")
    assert not any(name in str(listed) for name in remains(engine))
