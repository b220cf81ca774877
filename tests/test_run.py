"""The conductor with a fake backend, driver and contract: orders, seeds, faults; the whole pipeline in a second."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from planned import varied
from trees import small

from gatebench import machine, plan
from gatebench.backends.programs import Serving
from gatebench.backends.services import Services
from gatebench.calibration import ceilings_needed
from gatebench.contract import Finding, Outcome
from gatebench.errors import ContractError, GatebenchError, MachineError, UsageError
from gatebench.fake import FakeBackend, FakeDriver, contract
from gatebench.fake import parties as invented
from gatebench.generator import Figures, Job
from gatebench.model import AnyStack, Load, Measure, Placement, Plan, Profile, Run, Service, Setting, Trial
from gatebench.parties import Contract, Parties
from gatebench.run import commit
from gatebench.session import Tree, opened

PLAN = Plan.alone(
    name="p",
    title="P",
    stacks=("flask+gunicorn-sync", "raw_wsgi+gunicorn-sync", "fastapi+uvicorn"),
    measures=(
        Measure(scenario="plain", load=Load(kind="closed", size=64)),
        Measure(scenario="websocket", load=Load(kind="hold", size=100)),
    ),
    blocks=3,
    seed=5,
    window_s=1.0,
    warmup_slice_s=0.1,
    warmup_limit_s=1.0,
)


@pytest.fixture(scope="module")
def tree(root: Path) -> Tree:
    return Tree.load(root)


def runs(tree: Tree, wanted: Plan = PLAN, who: Parties | None = None, begun: list[Trial] | None = None) -> list[Run]:
    fake = FakeBackend()
    who = who or invented(backend=fake, driver=FakeDriver(backend=fake), contract=contract)
    with opened(tree, wanted, who, name="s", told=lambda _: None) as (_, conductor):
        told = [] if begun is None else begun
        return list(conductor.runs(plan.trials(wanted), told.append))


def without_time(run: Run) -> Run:
    return replace(run, started_at="", elapsed_s=None, window_s=round(run.window_s or 0, 6) or None)


def test_every_trial_gives_one_run_in_order(tree: Tree) -> None:
    begun: list[Trial] = []
    found = runs(tree, begun=begun)
    laid = plan.trials(PLAN)
    assert begun == laid
    assert [(r.number, r.block, r.stack, r.scenario, r.load) for r in found] == [
        (t.number, t.block, t.stack, t.scenario, str(t.load)) for t in laid
    ]


def test_the_same_seed_gives_the_same_runs(tree: Tree) -> None:
    assert [without_time(run) for run in runs(tree)] == [without_time(run) for run in runs(tree)]


def test_a_run_carries_what_is_needed_to_believe_it(tree: Tree) -> None:
    run = next(run for run in runs(tree) if run.scenario == "plain")
    assert run.status == "ok"
    assert run.placement["server"]
    assert run.seed
    assert run.ready_s is not None
    assert run.server_busy_share == 0.97
    assert run.generator_ceiling_share is not None
    assert run.limit == "the server's CPU"


def test_a_pair_that_cannot_run_keeps_its_row_and_says_why(tree: Tree) -> None:
    impossible = [run for run in runs(tree) if run.stack.startswith("raw_wsgi") and run.scenario == "websocket"]
    assert len(impossible) == PLAN.blocks
    assert {run.fault for run in impossible} == {"impossible"}
    assert all("offers no ws: " in (run.reason or "") for run in impossible)
    assert all(run.requests is None for run in impossible)


def test_a_server_is_not_asked_to_hold_more_websockets_than_it_says_it_can(tree: Tree) -> None:
    stacks = ("flask+gunicorn-sync", "flask+gunicorn-gthread", "fastapi+uvicorn")
    measures = tuple(Measure(scenario="websocket", load=Load(kind="closed", size=size)) for size in (1, 16, 17))
    seen = runs(tree, varied(PLAN, stacks=stacks, measures=measures, blocks=1))
    reasons = {(run.stack, run.load): run.reason for run in seen if run.fault == "impossible"}
    assert reasons == {
        ("flask+gunicorn-sync", "closed(16)"): "serves 1 of the 16 WebSockets of closed(16) at once",
        ("flask+gunicorn-sync", "closed(17)"): "serves 1 of the 17 WebSockets of closed(17) at once",
        ("flask+gunicorn-gthread", "closed(17)"): "serves 16 of the 17 WebSockets of closed(17) at once",
    }
    assert sum(run.fault is None for run in seen) == 6


@dataclass
class Counting(FakeBackend):
    """A backend on which one stack never starts."""

    error: type[GatebenchError] = MachineError
    starts: int = 0

    @contextlib.contextmanager
    def serve(self, stack: AnyStack, placement: Placement, services: Services) -> Iterator[Serving]:
        if stack.name == "fastapi+uvicorn":
            self.starts += 1
            raise self.error("fastapi+uvicorn ended at once with exit code 1: no module named web")
        with super().serve(stack, placement, services) as serving:
            yield serving


def test_a_stack_that_does_not_start_is_tried_once_and_the_others_go_on(tree: Tree) -> None:
    backend = Counting()
    found = runs(tree, who=invented(backend=backend, driver=FakeDriver(backend=backend), contract=contract))
    broken = [run for run in found if run.stack == "fastapi+uvicorn"]
    assert backend.starts == 1
    assert {(run.status, run.fault) for run in broken} == {("failed", "machine")}
    assert all("exit code 1: no module named web" in (run.reason or "") for run in broken)
    assert any(run.status == "ok" for run in found)


def test_a_stack_that_is_never_ready_since_it_answers_otherwise_breaks_its_contract_and_is_tried_once(
    tree: Tree,
) -> None:
    backend = Counting(error=ContractError)
    found = runs(tree, who=invented(backend=backend, driver=FakeDriver(backend=backend), contract=contract))
    broken = [run for run in found if run.stack == "fastapi+uvicorn"]
    assert (backend.starts, len(broken) > 1) == (1, True)
    assert {(run.status, run.fault) for run in broken} == {("failed", "contract")}
    assert any(run.status == "ok" for run in found)


def failing(route: str, *, after: bool) -> Contract:
    """Keep every contract but one: the first or the second time it is spoken to a server."""
    spoken: dict[str, int] = {}

    def check(**asked: object) -> Outcome:
        turn = spoken["turn"] = spoken.get("turn", -1) + 1
        wrong = route in asked["routes"] and turn % 2 == int(after)  # type: ignore[operator]
        return Outcome(findings=(Finding(route, "bytes", not wrong, "Hello", "Bye"),), date=None)

    return check


def one_cell(stack: str) -> Plan:
    return varied(PLAN, stacks=(stack,), measures=PLAN.measures[:1], blocks=1)


def test_a_contract_that_fails_before_is_never_timed(tree: Tree) -> None:
    fake = FakeBackend()
    who = invented(backend=fake, driver=FakeDriver(backend=fake), contract=failing("plaintext", after=False))
    (run,) = runs(tree, one_cell("fastapi+uvicorn"), who)
    assert (run.status, run.fault, run.requests) == ("failed", "contract", None)
    assert "expected Hello" in (run.reason or "")


def test_a_contract_that_fails_after_voids_and_keeps_the_figures(tree: Tree) -> None:
    fake = FakeBackend()
    who = invented(backend=fake, driver=FakeDriver(backend=fake), contract=failing("plaintext", after=True))
    (run,) = runs(tree, one_cell("fastapi+uvicorn"), who)
    assert run.status == "void"
    assert (run.reason or "").startswith("the contract failed after the load")
    assert run.requests


class Refusing(FakeDriver):
    """A driver whose generator cannot take the job."""

    def measure(self, job: Job) -> Figures:
        if self.backend.serving:
            raise UsageError(f"{job.scenario.name} holds no user class")
        return super().measure(job)


def test_a_scenario_that_cannot_be_run_ends_the_session_as_the_users_mistake(tree: Tree) -> None:
    fake = FakeBackend()
    who = invented(backend=fake, driver=Refusing(backend=fake), contract=contract)
    with pytest.raises(UsageError, match=r"plain.py holds no user class"):
        runs(tree, one_cell("fastapi+uvicorn"), who)


class Stuck(FakeDriver):
    """A driver whose generator gets stuck the first time it meets a stack."""

    stuck = False

    def measure(self, job: Job) -> Figures:
        if self.backend.serving and not Stuck.stuck:
            Stuck.stuck = True
            raise MachineError("The load generator did not end within 32 s")
        return super().measure(job)


def test_a_generator_that_gets_stuck_condemns_no_stack(tree: Tree) -> None:
    fake = FakeBackend()
    who = invented(backend=fake, driver=Stuck(backend=fake), contract=contract)
    found = runs(tree, varied(one_cell("fastapi+uvicorn"), blocks=3), who)
    assert [(run.status, run.fault) for run in found] == [("failed", "machine"), ("ok", None), ("ok", None)]


def test_a_route_that_the_contract_does_not_have_is_refused(tmp_path: Path) -> None:
    small(tmp_path)
    declared = tmp_path / "apps" / "hello" / "app.toml"
    declared.write_text(declared.read_text(encoding="utf-8").replace("json =", "jsom ="), encoding="utf-8")
    with pytest.raises(UsageError, match=r"no route \(in \[lacks\] of hello\) named 'jsom'. Did you mean json"):
        Tree.load(tmp_path)


MIXED = "nginx[asgi=fastapi+uvicorn,stage=1,wsgi=flask+gunicorn-gthread]"


@dataclass
class Lacking(FakeBackend):
    """A backend whose machine lacks what one stack needs."""

    lacks: str = ""
    prepared: list[str] = field(default_factory=list)

    def missing(self, wanted: AnyStack | Service) -> str | None:
        return f"{wanted.name} needs x: apt-get install -y x" if wanted.name == self.lacks else None

    def prepare(self, stack: AnyStack) -> Mapping[str, Mapping[str, Setting]]:
        self.prepared.append(stack.name)
        return {}


@pytest.mark.parametrize(
    ("lacks", "cannot", "said"),
    [
        ("fastapi+uvicorn", "fastapi+uvicorn", "needs x: apt-get install -y x"),
        ("", "channels+hypercorn-h3", "HTTP/3 forbids"),
    ],
)
def test_what_cannot_run_here_keeps_its_rows_and_says_why_and_is_not_prepared(
    tree: Tree, lacks: str, cannot: str, said: str
) -> None:
    backend = Lacking(lacks=lacks)
    asked = varied(PLAN, stacks=("flask+gunicorn-sync", cannot), measures=PLAN.measures[:1], blocks=2)
    found = runs(tree, asked, invented(backend=backend, driver=FakeDriver(backend=backend), contract=contract))
    missed = [run for run in found if run.stack == cannot]
    assert len(missed) == 2
    assert all(run.status == "failed" and run.requests is None and said in (run.reason or "") for run in missed)
    assert backend.prepared == ["flask+gunicorn-sync"]
    assert [run.status for run in found if run.stack != cannot] == ["ok", "ok"]


def test_two_stacks_behind_a_front_run_as_one_stack_of_both_interfaces(tree: Tree) -> None:
    asked = varied(PLAN, stacks=(MIXED,), measures=measures("plain closed(8)", "websocket closed(8)"), blocks=1)
    found = runs(tree, asked)
    assert {(run.stack, run.interface, run.status) for run in found} == {(MIXED, "both", "ok")}, found[0].reason


def test_variants_run_under_their_own_names(tree: Tree) -> None:
    stacks = ("flask+gunicorn-gthread[db=pymysql]", "flask+uvicorn[bridge=a2wsgi]", "fastapi+uvicorn[views=def]")
    asked = varied(PLAN, stacks=stacks, measures=measures("plain closed(8)"), blocks=1)
    found = runs(tree, asked)
    assert {(run.stack, run.interface, run.status) for run in found} == {
        (stacks[0], "wsgi", "ok"),
        (stacks[1], "wsgi", "ok"),
        (stacks[2], "asgi", "ok"),
    }


def test_a_session_starts_the_services_that_the_drivers_of_its_stacks_have(tree: Tree) -> None:
    wanted: list[str] = []

    class Noting(FakeBackend):
        @contextlib.contextmanager
        def services(self, asked: Sequence[Service], placement: Placement) -> Iterator[Services]:
            wanted.extend(service.name for service in asked)
            with super().services(asked, placement) as services:
                yield services

    backend = Noting()
    who = invented(backend=backend, driver=FakeDriver(backend=backend), contract=contract)
    stacks = ("flask+gunicorn-gthread[db=pymysql]", "fastapi+uvicorn")
    runs(tree, varied(PLAN, stacks=stacks, measures=measures("db closed(8)"), blocks=1), who)
    assert sorted(wanted) == ["mariadb", "postgres"]


def test_the_header_says_what_was_installed_and_set(tree: Tree) -> None:
    class Versioned(FakeBackend):
        def prepare(self, stack: AnyStack) -> Mapping[str, Mapping[str, Setting]]:
            return {"versions": {"flask": "3.1.3"}}

    fake = Versioned()
    who = invented(backend=fake, driver=FakeDriver(backend=fake), contract=contract)
    with opened(tree, PLAN, who, told=lambda _: None) as (header, _):
        assert header.stacks["flask+gunicorn-sync"]["versions"] == {"flask": "3.1.3"}
        assert header.stacks["flask+gunicorn-sync"]["settings"]["workers"] == 1
        assert header.plan.seed == 5
        assert header.ceilings.keys() == {"keep-alive", "close"}
        assert header.name.startswith("p-20")


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path: Path) -> None:
    assert commit(tmp_path) is None


def measures(*spelled: str) -> tuple[Measure, ...]:
    return tuple(Measure(scenario=name, load=Load.parse(load)) for name, load in (text.split() for text in spelled))


@pytest.mark.parametrize(
    ("stacks", "wanted", "needed"),
    [
        (
            ("flask+gunicorn-sync", "fastapi+uvicorn"),
            ("plain closed(16)",),
            {"close": "closed(64)", "keep-alive": "closed(64)"},
        ),
        (("fastapi+uvicorn",), ("plain closed(64)", "json open(9)"), {"keep-alive": "closed(64)"}),
        (("flask+gunicorn-sync",), ("plain search(50ms)",), {"close": "closed(64)"}),
        (("fastapi+uvicorn",), ("websocket hold(9)", "websocket closed(16)"), {"websocket": "closed(16)"}),
        (("fastapi+uvicorn",), ("websocket poisson(9)",), {"websocket": "closed(64)"}),
        (("fastapi+uvicorn",), ("websocket hold(9)",), {}),
        (("raw_wsgi+gunicorn-sync",), ("websocket closed(16)",), {}),  # it has no WebSocket
    ],
)
def test_a_ceiling_is_found_only_where_some_trial_needs_it(
    tree: Tree, stacks: tuple[str, ...], wanted: tuple[str, ...], needed: dict[str, str]
) -> None:
    asked = varied(PLAN, stacks=stacks, measures=measures(*wanted))
    found = ceilings_needed(asked, tree.stacks, tree.scenarios)
    assert {name: str(load) for name, load in found.items()} == needed


def test_a_ceiling_whose_scenario_is_missing_is_not_looked_for(tree: Tree) -> None:
    scenarios = {name: scenario for name, scenario in tree.scenarios.items() if name != "plain"}
    asked = varied(PLAN, measures=measures("json closed(64)", "websocket closed(16)"))
    assert ceilings_needed(asked, tree.stacks, scenarios).keys() == {"websocket"}


def test_each_ceiling_is_found_once_a_session_on_the_server_and_the_scenario_that_are_its_own(tree: Tree) -> None:
    started: list[tuple[bool, bool]] = []
    jobs: list[tuple[str, str]] = []

    class Listening(FakeBackend):
        @contextlib.contextmanager
        def serve_nothing(self, placement: Placement, *, close: bool, websocket: bool) -> Iterator[Serving]:
            started.append((close, websocket))
            with super().serve_nothing(placement, close=close, websocket=websocket) as serving:
                yield serving

    class Noting(FakeDriver):
        def measure(self, job: Job) -> Figures:
            jobs.append((job.scenario.stem, str(job.load)))
            return super().measure(job)

    asked = varied(PLAN, measures=measures("plain closed(8)", "json open(100)", "websocket closed(16)"))
    backend = Listening()
    who = invented(backend=backend, driver=Noting(backend=backend), contract=contract)
    with opened(tree, asked, who, told=lambda _: None) as (header, _):
        assert header.ceilings.keys() == {"keep-alive", "close", "websocket"}
    assert dict(zip(started, jobs, strict=True)) == {
        (False, False): ("plain", "closed(64)"),
        (True, False): ("plain", "closed(64)"),
        (False, True): ("websocket", "closed(16)"),
    }
    assert len(started) == 3


def test_a_rate_is_set_against_the_ceiling_of_its_kind(tree: Tree) -> None:
    asked = varied(
        one_cell("fastapi+uvicorn"),
        measures=measures("plain open(500)", "websocket closed(16)", "websocket hold(100)"),
    )
    fake = FakeBackend()
    who = invented(backend=fake, driver=FakeDriver(backend=fake), contract=contract)
    with opened(tree, asked, who, name="s", told=lambda _: None) as (_, conductor):
        uneven = replace(conductor, ceilings={"keep-alive": 1_000.0, "close": 1.0, "websocket": 10_000.0})
        found = {run.load: run for run in uneven.runs(plan.trials(asked), lambda _: None)}
    assert found["open(500)"].generator_ceiling_share == pytest.approx(0.5)
    echoed = found["closed(16)"].requests
    assert echoed is not None
    assert found["closed(16)"].generator_ceiling_share == pytest.approx(echoed / 10_000)
    assert found["hold(100)"].generator_ceiling_share is None


def test_the_achieved_rate_is_set_against_the_ceiling_and_not_only_the_good_answers(tree: Tree) -> None:
    class Failing(FakeDriver):
        def measure(self, job: Job) -> Figures:
            figures = super().measure(job)
            return replace(figures, requests=0, errors=figures.requests)

    fake = FakeBackend()
    who = invented(backend=fake, driver=Failing(backend=fake), contract=contract)
    asked = varied(one_cell("fastapi+uvicorn"), measures=measures("plain open(500)"))
    with opened(tree, asked, who, name="s", told=lambda _: None) as (_, conductor):
        (run,) = replace(conductor, ceilings={"keep-alive": 1_000.0}).runs(plan.trials(asked), lambda _: None)
    assert run.generator_ceiling_share == pytest.approx(0.5)


@pytest.mark.parametrize("load", ["open(500)", "poisson(500)", "search(50ms)"])
def test_a_load_that_a_clock_paces_runs_through_the_whole_pipeline(tree: Tree, load: str) -> None:
    for run in runs(tree, varied(PLAN, measures=measures(f"plain {load}"))):
        assert (run.load, run.status) == (load, "ok"), run.reason
        assert run.arrivals_due == run.arrivals_ended
        assert (run.arrivals_overrun, run.arrivals_unanswered) == (0, 0)
        assert run.service is not None
        assert run.generator_send_lag_s is not None
        assert run.generator_loop_lag_s is not None
        assert bool(run.search_steps) == load.startswith("search")


def test_a_stack_that_is_offered_more_than_it_can_do_is_void(tree: Tree) -> None:
    (run,) = runs(tree, varied(one_cell("flask+gunicorn-sync"), measures=measures("plain open(5000)")))
    assert run.status == "void"
    assert "offered and achieved rate differ" in (run.reason or "")
    assert any("found no free connection" in warning for warning in run.warnings)


def test_a_load_for_which_this_machine_has_too_few_open_files_keeps_its_row_and_says_so(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "raise_open_files", lambda: 1000)
    asked = measures("plain closed(2000)", "plain open(9)", "websocket hold(2000)")
    found = {run.load: run for run in runs(tree, varied(one_cell("fastapi+uvicorn"), measures=asked))}
    assert (found["closed(2000)"].fault, found["open(9)"].fault) == ("machine", None)
    assert "the limit here is 1000" in (found["closed(2000)"].reason or "")
    held = found["hold(2000)"]
    assert (held.status, held.connections_offered) == ("ok", 800)
    assert held.limit == "the limit on open files, 1000"


def test_a_closed_loop_has_no_arrivals(tree: Tree) -> None:
    run = next(run for run in runs(tree) if run.scenario == "plain")
    assert (run.arrivals_due, run.service, run.generator_send_lag_s, run.search_steps) == (None, None, None, ())


WAITING = varied(PLAN, stacks=("flask+gunicorn-gthread", "fastapi+uvicorn"), measures=measures("plain closed(64)"))


def test_each_run_says_which_part_of_the_plan_it_belongs_to(tree: Tree) -> None:
    (one,) = WAITING.parts
    parts = tuple(replace(one, name=f"plan.{name}", stage=stage) for stage, name in enumerate(("first", "second")))
    found = runs(tree, replace(WAITING, parts=parts))
    assert [run.part for run in found] == ["plan.first"] * 6 + ["plan.second"] * 6


def test_a_stack_at_another_profile_says_so(tree: Tree) -> None:
    profiles = {"default": Profile(settings={"threads": 1})}
    servers = tree.stacks.servers
    changed = replace(servers["gunicorn-gthread"], profiles=profiles)
    other = replace(tree, stacks=replace(tree.stacks, servers={**servers, changed.name: changed}))
    found = runs(other, varied(WAITING, stacks=("flask+gunicorn-gthread", "flask+gunicorn-gthread@default")))
    assert {(run.stack, run.profile) for run in found} == {
        ("flask+gunicorn-gthread", "matched"),
        ("flask+gunicorn-gthread@default", "default"),
    }


def test_fresh_connections_are_timed_where_the_part_wants_it(tree: Tree) -> None:
    knocked, quiet = (runs(tree, varied(WAITING, knock=knock)) for knock in (True, False))
    for run in knocked:
        assert run.connect_at_rest is not None
        assert run.connect_under_load is not None
        assert run.connect_at_rest.asked
    assert {(run.connect_at_rest, run.connect_under_load) for run in quiet} == {(None, None)}


def test_a_stack_that_is_spoken_to_has_its_protocols_and_no_load(tree: Tree) -> None:
    found = runs(tree, varied(WAITING, measures=measures("protocols speak(1)"), blocks=1))
    assert [(run.status, run.scenario, run.requests) for run in found] == [("ok", "protocols", None)] * 2
    assert all(run.capabilities for run in found)


def test_more_workers_than_cpus_are_said(tree: Tree) -> None:
    stacks = ("flask+gunicorn-gthread[workers=64]", "flask+gunicorn-gthread")
    for run in runs(tree, varied(WAITING, stacks=stacks)):
        shared = [text for text in run.warnings if text.startswith("64 workers share")]
        assert len(shared) == ("64" in run.stack)


def test_a_higher_rate_than_one_that_was_missed_is_not_tried_in_that_block(tree: Tree) -> None:
    rates = ("plain open(100)", "plain open(5000)", "plain open(8000)", "plain open(9000)")
    found = runs(tree, varied(one_cell("flask+gunicorn-sync"), measures=measures(*rates), blocks=4))
    missed: dict[int, int] = {}
    for run in found:
        rate = Load.parse(run.load).size
        if run.block in missed and rate > missed[run.block]:
            told = f"not tried: {missed[run.block]}/s was not kept in this block"
            assert (run.status, run.reason) == ("void", told)
        elif rate > 100:
            assert "offered and achieved rate differ" in (run.reason or "")
            missed[run.block] = min(rate, missed.get(run.block, rate))
        else:
            assert run.status == "ok"


def test_a_void_trial_of_held_connections_says_how_many_there_were(tree: Tree) -> None:
    who = invented(contract=failing("ws", after=True))
    (run,) = runs(tree, varied(one_cell("fastapi+uvicorn"), measures=measures("websocket hold(100)")), who)
    assert run.status == "void"
    told = f"({run.connections_opened} of 100 connections had opened, {run.connections_kept} kept, by 2 threads)"
    assert (run.reason or "").endswith(told)
