"""What the gate can tell: slowdowns go through unchanged, gates and peers on made-up blocks, recordings read back."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from sessions import session

from gatebench import store
from gatebench.backends.serving import Place, told
from gatebench.errors import Interrupted, UntrustedError, UsageError
from gatebench.gate import MARGINS
from gatebench.histogram import of_seconds
from gatebench.machine import usable_cpus
from gatebench.model import Run, Trial, Usage
from gatebench.power import neighbour, recording, reporting, slowed
from gatebench.power.cells import flowed
from gatebench.power.experiments import Settings
from gatebench.power.living import Lived, live
from gatebench.power.noise import fitted, of_windows, run_together, shared
from gatebench.power.peers import PEERS, Peer, alarms
from gatebench.power.pieces import METRICS, Pair
from gatebench.power.pieces import recording as read_back
from gatebench.power.trying import Rules, Said, Share, drawn, gate, shares, windows
from gatebench.power.variants import (
    BASE,
    PROBE_LOOPS,
    SHARES,
    SLEEPY,
    TWIN,
    VARIANTS,
    Cost,
    arm,
    laid_out,
    slowdown_of,
)
from gatebench.run import Conductor
from gatebench.session import Tree, Wish

SPREAD, KEPT = 0.013, 0.3  # of a block's log-ratio: standard deviation, and how much of it the next block has
RULES = Rules(metrics=METRICS, margins=MARGINS, blocks=60)
COST = Cost(turn_share=1e-4)
MEASURED = recording._measured  # as it is where no test has put another in its place


# the slowdown


def test_a_slowed_wsgi_app_answers_as_it_did() -> None:
    asked: list[dict[str, Any]] = []
    began: list[tuple[Any, ...]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        asked.append(environ)
        start_response("201 Created", [("X-Own", "1")])
        return [b"one", b"two"]

    environ = {"PATH_INFO": "/items"}
    slower = slowed.of_wsgi(app, slowed.Slowdown(loops=10, every=1, sleep_s=0.0))
    assert slower(environ, lambda *said: began.append(said)) == [b"one", b"two"]
    assert asked[0] is environ
    assert began == [("201 Created", [("X-Own", "1")])]


@pytest.mark.parametrize("kind", ["http", "websocket", "lifespan"])
def test_a_slowed_asgi_app_gets_what_the_server_gave(kind: str) -> None:
    seen: list[tuple[Any, ...]] = []

    async def app(scope: MutableMapping[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        seen.append((scope, receive, send))

    def receive() -> None: ...

    def send() -> None: ...

    scope = {"type": kind}
    slower = slowed.of_asgi(app, slowed.Slowdown(loops=10, every=1, sleep_s=0.0))

    async def call() -> None:
        await slower(scope, receive, send)

    asyncio.run(call())
    assert seen == [(scope, receive, send)]


def test_one_request_of_so_many_sleeps() -> None:
    slowdown = slowed.Slowdown(every=50)
    assert [slowdown.sleeps() for _ in range(500)].count(True) == 10
    assert not any(slowed.Slowdown().sleeps() for _ in range(500))


def test_every_turn_of_the_busy_work_is_made() -> None:
    values = [slowed.turn(loops) for loops in range(50)]
    assert len(set(values)) == 50


def test_turns_grow_with_the_share_they_are_to_cost() -> None:
    turns = {name: slowdown_of(name, COST).loops for name in VARIANTS}
    assert {name: turns[name] * COST.turn_share for name in SHARES} == pytest.approx(SHARES)
    assert turns[TWIN] == turns[SLEEPY] == 0
    assert slowdown_of(SLEEPY, COST).every == 50
    with pytest.raises(UsageError, match="slow5"):
        slowdown_of("slow5", None)


def test_an_arm_is_the_app_behind_the_wrapper_and_says_what_it_does(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "raw_wsgi"
    folder.mkdir()
    (folder / "app.py").write_text(
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'Hello, World!']\n",
        "utf-8",
    )
    known = Tree.load(root).stacks.one("raw_wsgi+gunicorn-gthread")
    original = replace(known, app=replace(known.app, folder=folder, work=None))
    laid = laid_out(original, tmp_path / "apps")
    head = arm(original, laid, "slow5", slowdown_of("slow5", COST))
    assert head.name == "slow5:raw_wsgi+gunicorn-gthread"
    assert head.settings == original.settings
    assert head.requirements == original.requirements
    apps, app = str(head.app.folder.parent), str(head.app.folder)
    place = Place(python="", bin="", apps=apps, app=app, compose="", scratch="")
    program = f"""
import importlib, json
arm = importlib.import_module({head.target.partition(":")[0]!r})
app = getattr(arm, {head.target.partition(":")[2]!r})
told = {{}}
environ = {{"REQUEST_METHOD": "GET", "PATH_INFO": "/plaintext", "QUERY_STRING": ""}}
body = b"".join(app(environ, lambda status, headers, *rest: told.update(status=status)))
print(json.dumps([told["status"], body.decode()]))
"""
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **told(head, place, {})},
        cwd=app,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == ["200 OK", "Hello, World!"]
    assert told(head, place, {})["GATEBENCH_LOOPS"] == "500"


def test_the_neighbour_stays_on_its_cpu_and_ends_when_it_is_left() -> None:
    cpu, me = usable_cpus()[-1], psutil.Process()
    before = {one.pid for one in me.children()}
    with neighbour.beside([cpu], 1):
        (found,) = [one for one in me.children() if one.pid not in before]
        assert found.cpu_affinity() == [cpu]
        assert tuple(me.cpu_affinity()) == usable_cpus()
    assert not found.is_running()


# gates on blocks that scatter as real ones do


def scattering(gates: int, blocks: int, seed: int) -> np.ndarray:
    """Draw blocks of a known autocorrelation, p99 the widest."""
    chance = np.random.default_rng(seed)
    wide = np.array([1.0, 4.0, 1.0]) * SPREAD
    drawing = chance.normal(size=(gates, blocks, 3)) * wide
    drawing[:, 1:] *= np.sqrt(1 - KEPT**2)
    for block in range(1, blocks):
        drawing[:, block] += KEPT * drawing[:, block - 1]
    return drawing


def fails(slowdown: float, gates: int = 300) -> int:
    """Count the gates that fail where head costs so much more, in requests a second too."""
    shift = np.log1p(slowdown) * np.array([1.0, 1.0, -1.0])
    said = drawn(scattering(gates, 60, 1), scattering(gates, 60, 2), RULES, shift)
    return [one.word for one in said].count("fail")


def test_identical_arms_seldom_raise_an_alarm_although_blocks_hang_together() -> None:
    assert fails(0.0) <= 300 * 0.01 + 3 * np.sqrt(300 * 0.01)


def test_a_slowdown_of_ten_percent_is_found() -> None:
    assert fails(0.10) >= 300 * 0.99 - 3 * np.sqrt(300 * 0.01)


def test_a_gate_that_fails_is_confirmed_by_fresh_blocks() -> None:
    slow, same = np.full((60, 3), 0.10) * [1, 1, -1], scattering(1, 60, 3)[0]
    assert gate(slow, slow, RULES).word == "fail"
    alarm = gate(slow, same, RULES)
    assert alarm.word == "unsure"
    assert alarm.fresh > 0
    assert gate(slow, same, replace(RULES, confirm=False)).word == "fail"


def test_a_faster_head_passes_whichever_way_a_metric_is_better() -> None:
    assert gate(np.full((60, 3), 0.10) * [-1, -1, 1], np.empty((0, 3)), RULES).word == "pass"


def test_a_metric_without_figures_is_left_out() -> None:
    blocks = scattering(1, 60, 4)[0]
    blocks[:, 1] = np.nan
    assert gate(blocks, blocks, RULES).word == "pass"


def test_disjoint_windows_use_each_block_once_and_need_two() -> None:
    slow = np.full((125, 3), 0.10) * [1, 1, -1]
    assert [one.word for one in windows([slow], RULES)] == ["fail", "fail"]
    assert windows([slow[:119]], RULES) == []


def test_no_window_lies_across_two_pieces() -> None:
    slow = np.full((170, 3), 0.10) * [1, 1, -1]
    assert [one.word for one in windows([slow[:70], slow[:50], slow[:70]], RULES)] == ["fail", "fail"]


def test_the_fit_finds_spread_and_autocorrelation_and_draws_their_like() -> None:
    pieces = [*scattering(20, 200, 5)]
    scatter = fitted(pieces)
    assert scatter.kept == pytest.approx([KEPT] * 3, abs=0.05)
    assert scatter.spread[0] == pytest.approx(SPREAD, rel=0.05)
    again = scatter.draw(20, 200, np.random.default_rng(6))
    assert fitted([*again]).kept == pytest.approx([KEPT] * 3, abs=0.08)
    assert again[:, :, 0].std() == pytest.approx(SPREAD, rel=0.1)


def test_the_fit_sees_that_whole_sessions_differ() -> None:
    chance = np.random.default_rng(7)
    pieces = [piece + chance.normal(scale=0.02) for piece in scattering(40, 100, 8)]
    assert fitted(pieces).between[0] == pytest.approx(0.02, rel=0.4)
    assert fitted([*scattering(40, 100, 8)]).between[0] < 0.002


def test_the_fit_sees_that_sessions_drift_and_draws_as_much() -> None:
    chance = np.random.default_rng(7)
    along = np.linspace(-0.5, 0.5, 100)[:, None]
    scatter = fitted([piece + chance.normal(scale=0.05) * along for piece in scattering(40, 100, 8)])
    assert scatter.drift[0] == pytest.approx(0.05, rel=0.4)
    assert fitted([*scattering(40, 100, 8)]).drift[0] < 0.01
    again = scatter.draw(400, 100, np.random.default_rng(6))[:, :, 0]
    assert (again[:, 75:].mean(axis=1) - again[:, :25].mean(axis=1)).std() > 0.7 * 0.05 * 0.75


def test_the_farthest_that_sessions_may_lie_apart_is_seldom_too_near() -> None:
    far, near = [], []
    for seed in range(60):
        chance = np.random.default_rng(seed)
        pieces = [piece + chance.normal(scale=0.01) for piece in scattering(4, 60, seed)]
        one = fitted(pieces)
        far.append(shared([pieces], [one], 0.95)[0][0])
        near.append(one.between[0])
    assert np.mean(np.array(far) >= 0.01) >= 0.9
    assert np.mean(np.array(near) >= 0.01) < 0.7
    assert (np.array(far) > near).all()


def test_how_far_sessions_lie_apart_is_told_by_all_variants_together() -> None:
    chance = np.random.default_rng(7)
    variants = [
        [0.1 * variant + piece + chance.normal(scale=0.02) for piece in scattering(3, 100, variant)]
        for variant in range(40)
    ]
    between, _ = shared(variants, [fitted(pieces) for pieces in variants])
    assert between[0] == pytest.approx(0.02, rel=0.3)


def test_the_scatter_of_means_is_taken_within_pieces() -> None:
    spread, count = of_windows([np.repeat([[0.0], [1.0]], 10, axis=0), np.full((19, 1), 0.5)], 10)
    assert count == 3
    assert spread == pytest.approx([0.5])


def test_a_metric_that_blocks_seldom_have_is_missing_in_what_is_drawn() -> None:
    blocks = scattering(1, 100, 9)[0]
    blocks[::2, 1] = np.nan
    drawing = fitted([blocks]).draw(3, 20, np.random.default_rng(1))
    assert np.isnan(drawing[:, :, 1]).all()
    assert not np.isnan(drawing[:, :, [0, 2]]).any()


def test_too_few_blocks_have_no_spread() -> None:
    with pytest.raises(UntrustedError, match="record"):
        fitted([np.zeros((3, 3))])


def test_the_bootstrap_keeps_neighbours_together() -> None:
    blocks = np.repeat(np.arange(200.0)[:, None], 3, axis=1)
    drawing = run_together([blocks], 5, 64, np.random.default_rng(1))
    assert drawing.shape == (5, 64, 3)
    assert np.mean(np.diff(drawing[:, :, 0], axis=1) == 1) >= 0.7


def test_the_bootstrap_takes_no_run_across_two_pieces() -> None:
    first, last = np.arange(10.0)[:, None], np.arange(10.0, 30.0)[:, None]
    drawing = run_together([first, last], 200, 64, np.random.default_rng(1))[:, :, 0]
    runs = drawing.reshape(200, -1, 4)
    assert (np.diff(runs, axis=2) == 1).all()
    assert not ((runs[:, :, 0] < 10) & (runs[:, :, 3] >= 10)).any()
    assert {*np.unique(drawing)} == {float(number) for number in range(30)}


@pytest.mark.parametrize(("count", "tried", "interval"), [(0, 10, (0, 0.3085)), (5, 10, (0.1871, 0.8129))])
def test_shares_have_exact_binomial_intervals(count: int, tried: int, interval: tuple[float, float]) -> None:
    assert Share(count=count, tried=tried).interval == pytest.approx(interval, abs=1e-4)


def test_overlapping_gates_count_for_as_many_as_they_are_worth() -> None:
    said = [Said(word="pass", blocks=10)] * 90 + [Said(word="fail", blocks=10)] * 10
    found = shares(said, 20.0)
    assert found["fail"].value == pytest.approx(0.1)
    assert found["fail"].interval[1] > shares(said)["fail"].interval[1]


# peers


def recorded_pairs(count: int, seed: int) -> list[Pair]:
    """Make duets of identical arms up on a machine that drifts: both arms of a duet drift alike."""
    chance, (like, *_) = np.random.default_rng(seed), session().runs
    drift, pairs = 0.0, []
    for block in range(count):
        drift = 0.9 * drift + chance.normal(scale=0.04)
        runs = []
        for own in chance.normal(scale=SPREAD, size=2):
            mean_s = 0.03 * np.exp(drift + own)
            times = of_seconds(chance.gamma(9.0, mean_s / 9, size=1200))
            usage = Usage(cpu_s=0.4e-3 * float(np.exp(drift + own)) * 1200)
            made = {"requests": round(36 / mean_s), "window_s": 1.0, "response": times, "server": usage}
            runs.append(replace(like, block=block, load="closed(64)", status="ok", **made))
        base, other = runs
        log = float(np.log((other.server.cpu_s or 0) / (base.server.cpu_s or 1)))
        pairs.append(Pair(piece=0, base=base, other=other, ratios=(log, log, -log)))
    return pairs


def test_peers_cry_wolf_where_the_machine_drifts_and_the_gate_does_not() -> None:
    pairs = recorded_pairs(200, 10)
    raised = {peer.title: np.mean(alarms(peer, pairs)) for peer in PEERS}
    said = windows([np.array([pair.ratios for pair in pairs])], replace(RULES, blocks=20))
    ours = [one.word for one in said].count("fail") / len(said)
    five, ten, double, _, _, welch, *_ = raised.values()
    assert ours == 0
    assert five > 0.05
    assert welch > 0.2
    assert double == 0
    assert ten <= five


def test_no_peer_compares_across_two_pieces() -> None:
    pairs = [replace(pair, piece=number // 15) for number, pair in enumerate(recorded_pairs(30, 11))]
    assert len(alarms(PEERS[0], pairs)) == 28
    assert alarms(PEERS[3], pairs) == []
    later = [replace(pair, piece=number > 4) for number, pair in enumerate(recorded_pairs(25, 11))]
    assert len(alarms(PEERS[3], later)) == 1


def test_each_run_stands_in_one_comparison_of_a_peer() -> None:
    seen: list[int] = []

    def noted(base: Sequence[Run], head: Sequence[Run]) -> bool:
        seen.extend(id(run) for run in (*base, *head))
        assert len(base) == len(head) == 10
        assert max(run.block for run in base) < min(run.block for run in head)
        return False

    assert len(alarms(Peer(title="", runs=10, alarm=noted), recorded_pairs(45, 12))) == 3
    assert len(seen) == len({*seen}) == 60


def test_peers_find_a_slowdown_that_their_rule_allows_them_to() -> None:
    pairs = recorded_pairs(60, 13)
    slow = [replace(pair, other=replace(pair.other, requests=(pair.other.requests or 0) // 3)) for pair in pairs]
    found = {peer.title: all(alarms(peer, slow)) for peer in PEERS if "Welch" not in peer.title}
    assert found == dict.fromkeys(found, True)


def test_prose_is_broken_into_lines_and_tables_are_not() -> None:
    words, row = "so much as 5 % of it " * 20, f"| {'cell ' * 60}|"
    told = flowed(f"# Title\n\n{words}\n\n- {words}\n- one\n\n{row}\n{row}")
    title, prose, items, rows = told.split("\n\n")
    assert title == "# Title"
    assert rows == f"{row}\n{row}"
    assert max(map(len, (*prose.splitlines(), *items.splitlines()))) < 120
    assert prose.split() == words.split()
    assert [line[:2] for line in items.splitlines()].count("- ") == 2
    assert not any(line.startswith("%") for line in prose.splitlines())


# recordings


@pytest.fixture
def wanted(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recording.Wanted:
    """Want a piece with invented figures: what busy work costs cannot be measured then."""
    monkeypatch.setattr(recording, "_measured", lambda *_: COST)
    return recording.Wanted(
        root=root,
        out=tmp_path / "power",
        stack="flask+gunicorn-gthread",
        scenario="plain",
        variants=VARIANTS,
        minutes=1.0,
        noise=False,
        seed=5,
        wish=Wish(backend="fake"),
        rounds=12,
    )


def quiet(_: object) -> None: ...


def test_each_round_holds_every_variant_once_beside_the_base(wanted: recording.Wanted) -> None:
    found = store.read(recording.record(wanted, quiet, quiet))
    assert found.ended_at is not None
    for block in range(12):
        duets = [run for run in found.runs if run.block == block]
        names = [run.stack.partition(":")[0] for run in duets]
        assert sorted(names) == sorted([*VARIANTS, *[BASE] * len(VARIANTS)])
    orders = {tuple(run.part for run in found.runs if run.block == block) for block in range(12)}
    assert len(orders) > 1
    assert [run.number for run in found.runs] == list(range(len(found.runs)))
    assert all(run.elapsed_s is not None for run in found.runs)


def test_what_was_recorded_is_kept_when_it_is_interrupted(wanted: recording.Wanted) -> None:
    seen: list[Run] = []

    def stop(run: Run) -> None:
        seen.append(run)
        if len(seen) == 29:
            raise Interrupted("Interrupted.")

    with pytest.raises(Interrupted):
        recording.record(wanted, quiet, stop)
    (path,) = wanted.out.glob("*.jsonl")
    found = store.read(path)
    assert found.interrupted
    assert len(found.runs) == 29
    recorded = read_back(wanted.out).found.values()
    assert sum(len(one.pairs) + one.void for one in recorded) == 14


def test_what_a_turn_costs_is_what_the_probe_took_more_than_the_base(
    wanted: recording.Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Conductor.together

    def dearer(self: Conductor, trials: Sequence[Trial]) -> list[Run]:
        cost_s = {"base": 400e-6, "probe": 500e-6}
        return [
            replace(run, requests=1000, server=Usage(cpu_s=1000 * cost_s[run.stack.partition(":")[0]]))
            for run in together(self, trials)
        ]

    monkeypatch.setattr(recording, "_measured", MEASURED)
    monkeypatch.setattr(Conductor, "together", dearer)
    asked = replace(wanted, variants=("slow10",))
    with recording.ground(asked, quiet) as on:
        assert on.cost.turn_share == pytest.approx(0.25 / PROBE_LOOPS)
        assert on.cost.loops(0.10) == round(0.4 * PROBE_LOOPS)


def test_later_pieces_take_the_cost_that_the_first_one_measured(
    wanted: recording.Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.record(wanted, quiet, quiet)
    monkeypatch.setattr(recording, "_measured", lambda *_: pytest.fail("measured again"))
    recording.record(wanted, quiet, quiet)


def test_the_report_names_each_file_and_tells_quiet_from_noisy(wanted: recording.Wanted, tmp_path: Path) -> None:
    paths = [recording.record(replace(wanted, noise=noise), quiet, quiet) for noise in (False, True)]
    lived: list[Lived] = []
    live(wanted, variant=TWIN, times=2, budget_s=60, told=quiet, kept=quiet, judged=lived.append)
    page, figure = reporting.report(wanted.out, tmp_path, Settings(gates=40))
    text = page.read_text(encoding="utf-8")
    for path in (*paths, *(one.path for one in lived)):
        assert f"`{path.name}`" in text
    assert "| quiet | none (A/A) | 1 | 12 |" in text
    assert "| noisy | none (A/A) | 1 | 12 |" in text
    assert "invented" in text
    assert "never both pass and fail" in text
    assert "nan" not in text
    assert figure.read_text(encoding="utf-8").count("<svg") == 1
    assert store.read(paths[1]).surroundings[recording.NOISE] == neighbour.described()


def test_a_report_does_without_a_metric_that_no_block_has(
    wanted: recording.Wanted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seldom = of_seconds([0.02] * 100)  # too few for a p99
    together = Conductor.together

    def few(self: Conductor, trials: Sequence[Trial]) -> list[Run]:
        return [replace(run, response=seldom) for run in together(self, trials)]

    monkeypatch.setattr(Conductor, "together", few)
    recording.record(wanted, quiet, quiet)
    page, _ = reporting.report(wanted.out, tmp_path, Settings(gates=20))
    text = page.read_text(encoding="utf-8")
    assert "| quiet | none (A/A) | 1 | 12 | 0 |" in text
    assert "nan" not in text


def test_live_gates_alone_make_a_page(wanted: recording.Wanted, tmp_path: Path) -> None:
    live(wanted, variant="slow10", times=1, budget_s=60, told=quiet, kept=quiet, judged=quiet)
    page, figure = reporting.report(wanted.out, tmp_path, Settings(gates=20))
    assert "Live, gate after gate" in page.read_text(encoding="utf-8")
    assert figure.exists()


def test_a_live_gate_that_is_under_way_has_said_nothing_yet(wanted: recording.Wanted, tmp_path: Path) -> None:
    live(wanted, variant="slow10", times=2, budget_s=60, told=quiet, kept=quiet, judged=quiet)
    first, cut = sorted(wanted.out.glob("*.jsonl"))
    whole = cut.read_text(encoding="utf-8").splitlines(keepends=True)
    cut.write_text("".join(whole[:-1]), encoding="utf-8")
    text = reporting.report(wanted.out, tmp_path, Settings(gates=20))[0].read_text(encoding="utf-8")
    assert first.name in text
    assert cut.name not in text


def test_the_page_says_what_was_recorded_in_one_piece_alone(wanted: recording.Wanted, tmp_path: Path) -> None:
    def said() -> str:
        text = reporting.report(wanted.out, tmp_path, Settings(gates=20))[0].read_text(encoding="utf-8")
        return " ".join(text.split())

    recording.record(wanted, quiet, quiet)
    assert "Recorded in one piece" in said()
    recording.record(replace(wanted, variants=[name for name in VARIANTS if name != "slow3"]), quiet, quiet)
    assert "what varies between pieces is not seen: 3 %, quiet." in said()


def test_the_page_says_by_which_commits_it_was_recorded_and_that_some_held_more(
    wanted: recording.Wanted, tmp_path: Path
) -> None:
    def said() -> str:
        text = reporting.report(wanted.out, tmp_path, Settings(gates=20))[0].read_text(encoding="utf-8")
        return " ".join(text.split())

    paths = [recording.record(replace(wanted, rounds=2), quiet, quiet) for _ in range(3)]
    for path in paths:
        changed(path, commit="0123456789ab")
    assert "the 3 files each made: 0123456789ab (3). - Recorded" in said()
    for path in paths[:2]:
        changed(path, commit="0123456789ab+changes")
    assert "the 3 files each made: 0123456789ab+changes (2), 0123456789ab (1). " in said()
    assert "held more than its commit" in said()


def test_few_gates_reach_no_aim(wanted: recording.Wanted, tmp_path: Path) -> None:
    recording.record(wanted, quiet, quiet)
    text = reporting.report(wanted.out, tmp_path, Settings(gates=20))[0].read_text(encoding="utf-8")
    aims = [line for line in " ".join(text.split()).split(" - ") if "wanted at most 1 %" in line]
    assert aims
    assert all("reached" not in line.replace("**not reached**", "") for line in aims)


def test_the_same_recording_gives_the_same_page(wanted: recording.Wanted, tmp_path: Path) -> None:
    recording.record(wanted, quiet, quiet)
    pages = [
        reporting.report(wanted.out, tmp_path, Settings(gates=20))[0].read_text(encoding="utf-8") for _ in range(2)
    ]
    assert pages[0] == pages[1]


def test_recordings_of_two_stacks_are_not_mixed(wanted: recording.Wanted) -> None:
    recording.record(wanted, quiet, quiet)
    recording.record(replace(wanted, stack="bottle+gunicorn-gthread"), quiet, quiet)
    with pytest.raises(UsageError, match="another stack"):
        read_back(wanted.out)


def changed(path: Path, **facts: Any) -> None:
    """Change facts of a file's header, given by key, or by key and key in it."""
    first, *rest = path.read_text(encoding="utf-8").splitlines(keepends=True)
    header = json.loads(first)
    for key, value in facts.items():
        header[key] = {**header[key], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(header) + "\n" + "".join(rest), encoding="utf-8")


@pytest.mark.parametrize(
    ("what", "facts"),
    [
        ("machine", {"machine": {"identity": "another"}}),
        ("kernel", {"machine": {"kernel": "another"}}),
        ("placement", {"placement": {"server": [7]}}),
        ("settings and versions", {"stacks": {"base:flask+gunicorn-gthread": {"versions": {"flask": "0.1"}}}}),
        ("cost of a turn", {"surroundings": {recording.TURN: 0.5}}),
    ],
)
def test_recordings_of_two_worlds_are_not_mixed(wanted: recording.Wanted, what: str, facts: dict[str, Any]) -> None:
    first = recording.record(replace(wanted, rounds=1), quiet, quiet)
    second = recording.record(replace(wanted, rounds=1), quiet, quiet)
    assert len(read_back(wanted.out).pieces) == 2
    changed(second, **facts)
    with pytest.raises(UsageError, match=f"has another {what} than") as told:
        read_back(wanted.out)
    assert {first.name, second.name} <= {*re.findall(r"[\w-]+\.jsonl", str(told.value))}


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="record"):
        read_back(tmp_path)


@pytest.mark.parametrize(
    ("words", "code"),
    [(("record", "--only", "slow7"), 2), (("report", "nowhere"), 2), (("live", "--injected", "slow7"), 2)],
)
def test_a_wrong_word_is_one_sentence_and_exit_code_2(
    words: tuple[str, ...], code: int, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "gatebench.power", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_slowed_arms_are_served_and_keep_the_contract(wanted: recording.Wanted) -> None:
    asked = replace(wanted, wish=Wish(backend="process"), variants=("slow10", SLEEPY), rounds=1, noise=True)
    found = store.read(recording.record(asked, quiet, quiet))
    # A busy machine may make trials void; what was measured is in them all the same.
    assert {run.status for run in found.runs} <= {"ok", "void"}
    assert all(run.requests for run in found.runs)
