"""One measurement: a scenario's users under Locust, from their start to the figures of a window.

Knows jobs, Locust's runner, and what the kernel says of this process. Must not know stacks, servers or results files.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib.util
import random
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

import gevent
import locust
import numpy as np
from locust.env import Environment
from locust.exception import CatchResponseError
from locust.runners import LocalRunner
from locust.util.load_locustfile import is_user_class

from gatebench import histogram
from gatebench.arrivals import missed
from gatebench.errors import MachineError, UsageError
from gatebench.swarm.engine import WATCH_S, Engine
from gatebench.swarm.held import OPENING
from gatebench.swarm.job import FORMAT, Job
from gatebench.swarm.kept import HANDSHAKE_S
from gatebench.swarm.pacing import ClosedLoop, Hold, OpenLoop, Pace
from gatebench.swarm.recorder import UNANSWERED, Recorder, Seen
from gatebench.swarm.search import START, WINDOWS, highest
from gatebench.swarm.users import EngineUser, Shared

OFFER_S = 6.0  # connections are offered no longer, and
OFFERED_PER_S = 400.0  # as much again as this rate of opening takes, but
TAKEN_S = HANDSHAKE_S + 2 * WATCH_S  # only while one opens within this: those tried by then have failed
DRAIN_S = 2.0  # what was due in a window is waited for, no longer
LONGEST_WAIT_S = 2.0  # for those that are measured at the same time
LATE_S = 3.0  # answers over held connections are waited for, after the window
STOP_S = 1.0  # a user that takes longer to stop is left to the end of the process
STUCK_S = 10.0  # beyond the sum of its parts, a measurement will not end by itself
TICK_S = 0.02
SPARE_FILES = 64  # open files beside the users' connections
LONGEST_WINDOW_S = 20.0  # of a search: a p99 needs its thousand answers, however low the rate
FEW_TICKS = 100  # of the loop's lateness: fewer have no p99


def measure(job: Job) -> dict[str, Any]:
    """Do the job and give its figures; UsageError or MachineError where it cannot be done."""
    raise_open_files(job)
    classes = load_users(job)
    faulthandler.dump_traceback_later(longest_s(job), exit=True)
    random.seed(job.seed)  # Locust chooses tasks by the global one
    gc.collect()
    gc.disable()  # to look through tens of thousands of connections would stop the loop for a second

    environment = Environment(user_classes=classes, host=job.host)
    shared = Shared.of(environment, seed=job.seed, timeout_s=job.timeout_s, pace=lambda engine: pace_of(job, engine))
    runner = environment.create_local_runner()
    recorder = Recorder(flush=shared.tally.fold)
    shared.tally.listen(recorder.answered)
    listen(environment, recorder)
    trial = Trial(job=job, runner=runner, shared=shared, recorder=recorder)
    figures = {"format": FORMAT, "locust": locust.__version__, "users": job.connections}
    figures |= trial.figures()
    with gevent.Timeout(STOP_S, False):
        runner.quit()
    faulthandler.cancel_dump_traceback_later()
    return figures


def pace_of(job: Job, engine: Engine) -> Pace:
    """Make what says when the users of a load speak."""
    if job.load.kind == "hold":
        return Hold(engine, job.window_s)
    if job.load.paced:
        return OpenLoop(engine, "poisson" if job.load.kind == "poisson" else "constant", Random(job.seed))  # noqa: S311
    return ClosedLoop(engine)


def longest_s(job: Job) -> float:
    """Give the time after which a measurement will not end by itself."""
    windows_s = job.window_s + DRAIN_S
    if job.load.kind == "search":
        windows_s = WINDOWS * (windows_s + job.warmup_slice_s) + 2 * LONGEST_WINDOW_S
    return HANDSHAKE_S + offer_s(job) + job.warmup_limit_s + windows_s + LATE_S + STOP_S + STUCK_S


def offer_s(job: Job) -> float:
    """Give the time for which connections are offered."""
    return OFFER_S + job.connections / OFFERED_PER_S


@dataclass(slots=True, kw_only=True)
class Trial:
    """One measurement that goes on."""

    job: Job
    runner: LocalRunner
    shared: Shared
    recorder: Recorder

    def figures(self) -> dict[str, Any]:
        """Start the users, warm up, and measure as the load has it."""
        begun_s = perf_counter()
        spawn(self.runner, self.job)
        spawned_s = perf_counter()
        self._open_connections()
        pace = self.shared.given
        connections = None
        if isinstance(pace, Hold):
            warmup = perf_counter() - begun_s, True  # the opening warms up, and there is no rate to settle
            figures = self._closed_window(pace)
            connections = self._kept(pace, pace.last_opened_s - spawned_s)
        elif isinstance(pace, OpenLoop):
            pace.rate = self.job.load.size if self.job.load.kind != "search" else START
            warmup = self._warm_up()
            figures = self._searched(pace) if self.job.load.kind == "search" else self._open_window(pace)
        else:
            warmup = self._warm_up()
            figures = self._closed_window(None)
        return {"warmup_s": warmup[0], "warmup_settled": warmup[1], **figures, "connections": connections}

    def _warm_up(self) -> tuple[float, bool]:
        took_s, settled = self.recorder.warm_up(
            slice_s=self.job.warmup_slice_s, limit_s=self.job.warmup_limit_s, sleep=sleep
        )
        wait_s = 0.0 if self.job.window_at_s is None else min(self.job.window_at_s - perf_counter(), LONGEST_WAIT_S)
        if wait_s > 0:  # others, that are measured at the same time, are to begin with it
            sleep(wait_s)
        return took_s + max(0.0, wait_s), settled

    def _open_connections(self) -> None:
        """Wait until every user that needs a connection to begin has one, or none comes any more."""
        hold = self.shared.given
        offered_s = offer_s(self.job)
        until = perf_counter() + offered_s
        never_tried = f"still in line after {offered_s:g} s"
        while (hold.pending_count if isinstance(hold, Hold) else self.shared.opening()) and perf_counter() < until:
            if isinstance(hold, Hold) and perf_counter() - hold.last_opened_s > TAKEN_S:
                never_tried = f"given up, as none had opened for {TAKEN_S:g} s"
                break
            gevent.sleep(TICK_S)
        if isinstance(hold, Hold):
            hold.turn_away(never_tried)

    def _closed_window(self, hold: Hold | None) -> dict[str, Any]:
        costs = Costs(self.shared)
        self.recorder.open_window()
        if hold is not None:
            hold.begin()
        sleep(self.job.window_s)
        if hold is not None:
            hold.end()
        else:
            for _ in range(self.job.connections - self.runner.user_count - self.recorder.stranded_users):
                self.recorder.stranded("user ended before the window did")
        seen = self.recorder.close_window(self.shared.in_flight_since)
        return {**document(seen), **costs.spent(), "arrivals": None, "steps": None}

    def _open_window(self, pace: OpenLoop, window_s: float | None = None) -> dict[str, Any]:
        """Let arrivals come for a window, and wait for the answers to those that were due in it."""
        costs = Costs(self.shared)
        pace.watch()
        self.recorder.open_window()
        sleep(self.job.window_s if window_s is None else window_s)
        end_s = perf_counter()
        rate, pace.rate = pace.rate, 0.0
        lag, due = np.array(pace.lag), np.array(pace.due)
        overrun = pace.overrun
        figures = costs.spent()  # takes milliseconds, in which nothing must come due: it would be sent late
        until = end_s + min(self.job.timeout_s, DRAIN_S)
        while perf_counter() < until and self.shared.in_flight_since():
            gevent.sleep(TICK_S)
        seen = self.recorder.close_window_by_due(end_s, self.shared.in_flight_since)
        service = histogram.of_seconds(np.array(pace.service))
        pace.turn_away()
        pace.rate = rate
        arrivals = {
            "due": int(((due >= seen.start_s) & (due < end_s)).sum()),
            "ended": seen.ended,
            "overrun": overrun,
            "unanswered": seen.error_reasons.get(UNANSWERED, 0),
            "send_lag_p99_s": histogram.percentile(histogram.of_seconds(np.maximum(lag, 0.0)), 0.99),
            "service": histogram.to_json(service),
        }
        return {**document(seen), **figures, "arrivals": arrivals, "steps": None}

    def _searched(self, pace: OpenLoop) -> dict[str, Any]:
        """Find the highest rate that holds; the figures are those of the last window, which confirms it."""
        limit_s = self.job.load.size / 1000
        steps: list[dict[str, Any]] = []
        figures: dict[str, Any] = {}

        def holds(rate: float) -> bool:
            nonlocal figures
            pace.rate = rate
            sleep(self.job.warmup_slice_s)
            needed_s = 1.1 * histogram.samples_needed(0.99) / rate
            figures = self._open_window(pace, min(max(self.job.window_s, needed_s), LONGEST_WINDOW_S))
            step = step_of(rate, figures, limit_s, self.job.error_limit)
            steps.append(step)
            return bool(step["held"])

        highest(holds)
        return {**figures, "steps": steps}

    def _kept(self, hold: Hold, opening_s: float) -> dict[str, Any]:
        """Wait for what is still to be answered, and count."""
        until = perf_counter() + LATE_S
        while perf_counter() < until and self.shared.in_flight_since():
            gevent.sleep(TICK_S)
        return {
            "offered": self.job.load.size,
            "opened": hold.opened_count,
            "kept": hold.kept,
            "late": hold.late,
            "unopened": dict(hold.unopened_reasons),
            "opening_s": max(opening_s, 0.0),
        }


class Costs:
    """What this process spends from now on."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._checked, self._retried = shared.counts
        del shared.engine.lag[:]
        self._queued_ns = run_queue_ns()
        self._cpu_s = process_time()

    def spent(self) -> dict[str, Any]:
        """Give what it has spent."""
        cpu_s = process_time() - self._cpu_s
        queued_ns = run_queue_ns()
        checked, retried = self._shared.counts
        delayed_ns = sum(after - self._queued_ns.get(thread, 0) for thread, after in queued_ns.items())
        lag = np.array(self._shared.engine.lag)
        return {
            "bodies_checked": checked - self._checked,
            "retries": retried - self._retried,
            "cpu_s": cpu_s,
            "delay_s": delayed_ns / 1e9 if self._queued_ns and queued_ns else None,
            "loop_lag_p99_s": float(np.percentile(lag, 99)) if len(lag) >= FEW_TICKS else None,
        }


def step_of(rate: float, figures: dict[str, Any], limit_s: float, error_limit: float) -> dict[str, Any]:
    """Say of one window of a search whether its rate held: kept, and p99 and errors within their limits."""
    p99_s = histogram.percentile(histogram.from_json(figures["response"]), 0.99)
    done = figures["requests"] + figures["errors"]
    errors_share = figures["errors"] / done if done else 1.0
    due, ended = figures["arrivals"]["due"], figures["arrivals"]["ended"]
    kept = not missed(due, ended, figures["in_flight_mean"])
    return {
        "rate": rate,
        "p99_s": p99_s,
        "errors_share": errors_share,
        "achieved_share": ended / due if due else 0.0,
        "held": kept and p99_s is not None and p99_s < limit_s and errors_share <= error_limit,
    }


def document(seen: Seen) -> dict[str, Any]:
    """Spell what was seen as the harness reads it."""
    return {
        "window_start_s": seen.start_s,
        "window_end_s": seen.end_s,
        "requests": seen.requests,
        "errors": seen.errors,
        "error_reasons": seen.error_reasons,
        "response": histogram.to_json(seen.response),
        "in_flight_mean": seen.in_flight_mean,
        "answered_by": seen.answered_by,
    }


def spawn(runner: LocalRunner, job: Job) -> None:
    """Start all users at once."""
    runner.start(job.connections, spawn_rate=job.connections)
    spawning: Any = runner.spawning_greenlet
    spawning.join()
    if not spawning.successful():
        raise UsageError(
            f"the users of {job.scenario} cannot be made: {_told(spawning.exception)}"
        ) from spawning.exception


def listen(environment: Environment, recorder: Recorder) -> None:
    """Tell the recorder of every failure that Locust hears of, whatever class of user met it."""

    def on_request(
        request_type: str, response_time: float, exception: BaseException | None = None, **_others: Any
    ) -> None:
        if exception is None:  # the tally hands these on
            return
        if request_type == OPENING:
            recorder.stranded(str(exception))
        else:
            known = isinstance(exception, CatchResponseError)  # others tell of addresses and the like
            recorder.failed(response_time / 1000, str(exception) if known else type(exception).__name__)

    def on_user_error(exception: BaseException, **_others: Any) -> None:
        recorder.failed(0.0, f"{type(exception).__name__} in the scenario")

    environment.events.request.add_listener(on_request)  # type: ignore[no-untyped-call]
    environment.events.user_error.add_listener(on_user_error)  # type: ignore[no-untyped-call]


def load_users(job: Job) -> list[type[Any]]:
    """Import a scenario and give its user classes; UsageError where it has none or is broken."""
    path, load = job.scenario, job.load
    # Under a name of its own, and its folder searched last: scenarios/json.py must not stand for the library's json.
    sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"scenario_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"the scenario {path} is no Python file; name one of scenarios/*.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UsageError(f"the scenario {path} cannot be loaded: {_told(error)}") from error
    classes = list(dict.fromkeys(value for value in vars(module).values() if is_user_class(value)))
    if not any(one.tasks for one in classes):
        raise UsageError(
            f"the scenario {path} has no user class with a @task or a mix; derive one from gatebench.swarm.EngineUser"
        )
    engines = [one for one in classes if issubclass(one, EngineUser)]
    if load.held and not (len(engines) == len(classes) and all(one.can_be_held() for one in engines)):
        raise UsageError(
            f"{load} needs connections to hold; derive the users of {path} from EngineUser, with an Echo, Events "
            "or Requests"
        )
    if not load.held and any(one.only_listens() for one in engines):
        raise UsageError(f"{load} needs users that ask, and those of {path} listen to events; take hold(CONNECTIONS)")
    if load.paced and len(engines) < len(classes):
        raise UsageError(f"{load} needs users that wait for nobody; derive those of {path} from EngineUser")
    return classes


def raise_open_files(job: Job) -> None:
    """Raise this process's limit on open files to what the load needs; MachineError where that is not allowed."""
    load, need = job.load, job.connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < need:
        raise MachineError(
            f"{load} needs {need} open files and this machine allows the generator {hard}; "
            f"raise the hard limit (`ulimit -Hn {need}` as root) or take a smaller load"
        )
    if resource.RLIM_INFINITY != soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


def run_queue_ns() -> dict[str, int]:
    """Give the time each thread of this process was ready to run and did not; nothing where the kernel keeps none."""
    delays: dict[str, int] = {}
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # a thread that has ended
            delays[path.parent.name] = int(path.read_text().split()[1])
    return delays


def sleep(seconds: float) -> None:
    """Sleep at least so long: gevent counts from when its loop last looked at the clock."""
    until = perf_counter() + seconds
    while (left_s := until - perf_counter()) > 0:
        gevent.sleep(left_s)


def _told(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
