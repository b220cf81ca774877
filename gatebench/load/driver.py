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
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import gevent
import locust
from locust.env import Environment
from locust.exception import CatchResponseError
from locust.runners import LocalRunner
from locust.util.load_locustfile import is_user_class

from gatebench import histogram
from gatebench.errors import MachineError, UsageError
from gatebench.load.echo import HANDSHAKE_S, KEPT_S, OPENING, Hold
from gatebench.load.job import FORMAT, Job
from gatebench.load.recorder import Recorder, Seen
from gatebench.load.users import Shared, WebSocketUser
from gatebench.model import Load

OFFER_S = 6.0  # held connections are offered no longer
STOP_S = 1.0  # a user that takes longer to stop is left to the end of the process
STUCK_S = 10.0  # beyond the sum of its parts, a measurement will not end by itself
TICK_S = 0.02
SPARE_FILES = 64  # open files beside the users' connections


def measure(job: Job) -> dict[str, Any]:
    """Do the job and give its figures; UsageError or MachineError where it cannot be done."""
    raise_open_files(job.load)
    classes = load_users(job.scenario, job.load)
    parts_s = HANDSHAKE_S + OFFER_S + job.warmup_limit_s + job.window_s + KEPT_S + STOP_S
    faulthandler.dump_traceback_later(parts_s + STUCK_S, exit=True)
    random.seed(job.seed)  # Locust chooses tasks by the global one
    gc.collect()
    gc.freeze()  # what has been imported need not be looked through again

    environment = Environment(user_classes=classes, host=job.host)
    shared, recorder = Shared.of(environment), Recorder()
    shared.seed, shared.timeout_s = job.seed, job.timeout_s
    runner = environment.create_local_runner()
    listen(environment, recorder)
    begun_s = perf_counter()
    if job.load.kind == "hold":
        shared.hold = Hold(job.window_s)
    spawn(runner, job)
    open_connections(shared)
    if shared.hold is None:
        warmup = recorder.warm_up(slice_s=job.warmup_slice_s, limit_s=job.warmup_limit_s, sleep=sleep)
    else:
        warmup = perf_counter() - begun_s, True  # the opening warms up, and there is no rate to settle
    figures = {"format": FORMAT, "locust": locust.__version__, "users": job.load.size}
    figures |= {"warmup_s": warmup[0], "warmup_settled": warmup[1]}
    figures |= window(job, runner, shared, recorder)
    figures["connections"] = kept_connections(job, shared)
    with gevent.Timeout(STOP_S, False):
        runner.quit()
    faulthandler.cancel_dump_traceback_later()
    return figures


def window(job: Job, runner: LocalRunner, shared: Shared, recorder: Recorder) -> dict[str, Any]:
    """Open the window, let it pass, close it; give what was seen in it and what it cost this process."""
    checked, retried = _counts(shared)
    cpu_s, queued_ns = process_time(), run_queue_ns()
    recorder.open_window()
    if shared.hold is not None:
        shared.hold.begin()
    sleep(job.window_s)
    if shared.hold is None:
        for _ in range(job.load.size - runner.user_count - recorder.stranded_users):
            recorder.stranded("user ended before the window did")
    seen = recorder.close_window([c.in_flight_since for c in shared.clients if c.in_flight_since is not None])
    spent_s, queued_after_ns = process_time(), run_queue_ns()
    checked_after, retried_after = _counts(shared)
    delayed_ns = sum(after - queued_ns.get(thread, 0) for thread, after in queued_after_ns.items())
    return {
        **_seen(seen),
        "bodies_checked": checked_after - checked,
        "retries": retried_after - retried,
        "cpu_s": spent_s - cpu_s,
        "delay_s": delayed_ns / 1e9 if queued_ns and queued_after_ns else None,
    }


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        "window_start_s": seen.start_s,
        "window_end_s": seen.end_s,
        "requests": seen.requests,
        "errors": seen.errors,
        "error_reasons": seen.error_reasons,
        "response": histogram.to_json(seen.response),
        "in_flight_mean": seen.in_flight_mean,
    }


def _counts(shared: Shared) -> tuple[int, int]:
    return sum(c.bodies_checked for c in shared.clients), sum(c.retries for c in shared.clients)


def kept_connections(job: Job, shared: Shared) -> dict[str, int] | None:
    """Wait for the last turns' echoes and count; None where no connections were held."""
    if shared.hold is None:
        return None
    until = perf_counter() + KEPT_S
    while perf_counter() < until and any(c.in_flight_since is not None for c in shared.clients):
        gevent.sleep(TICK_S)
    return {"offered": job.load.size, "opened": shared.hold.opened, "kept": shared.hold.kept}


def spawn(runner: LocalRunner, job: Job) -> None:
    """Start all users at once."""
    runner.start(job.load.size, spawn_rate=job.load.size)
    spawning: Any = runner.spawning_greenlet
    spawning.join()
    if not spawning.successful():
        raise UsageError(
            f"the users of {job.scenario} cannot be made: {_told(spawning.exception)}"
        ) from spawning.exception


def open_connections(shared: Shared) -> None:
    """Wait until every user that needs a connection to begin has one, or none comes any more."""
    hold = shared.hold
    until = perf_counter() + OFFER_S
    while shared.opening and perf_counter() < until:
        if hold is not None and perf_counter() - hold.last_opened_s > HANDSHAKE_S:
            break  # the server takes no more: those in line need not be tried
        gevent.sleep(TICK_S)
    if hold is not None:
        hold.turn_away()


def listen(environment: Environment, recorder: Recorder) -> None:
    """Tell the recorder of every request that Locust hears of, whatever class of user made it."""

    def on_request(
        request_type: str, response_time: float, exception: BaseException | None = None, **_others: Any
    ) -> None:
        if exception is None:
            recorder.answered(response_time / 1000)
        elif request_type == OPENING:
            recorder.stranded(str(exception))
        else:
            known = isinstance(exception, CatchResponseError)  # others tell of addresses and the like
            recorder.failed(response_time / 1000, str(exception) if known else type(exception).__name__)

    def on_user_error(exception: BaseException, **_others: Any) -> None:
        recorder.failed(0.0, f"{type(exception).__name__} in the scenario")

    environment.events.request.add_listener(on_request)  # type: ignore[no-untyped-call]
    environment.events.user_error.add_listener(on_user_error)  # type: ignore[no-untyped-call]


def load_users(path: Path, load: Load) -> list[type[Any]]:
    """Import a scenario and give its user classes; UsageError where it has none or is broken."""
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
            f"the scenario {path} has no user class with a @task; derive one from gatebench.load.HttpUser"
        )
    if load.kind == "hold" and not all(issubclass(one, WebSocketUser) for one in classes):
        raise UsageError(f"{load} needs connections to hold; derive the users of {path} from WebSocketUser")
    return classes


def raise_open_files(load: Load) -> None:
    """Raise this process's limit on open files to what the load needs; MachineError where that is not allowed."""
    need = load.size + SPARE_FILES
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
