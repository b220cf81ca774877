"""Other people's generators, as they are installed: wrk for rates, h2load for response times at a fixed rate.

Knows their options and what they print. Must not know what they are compared with.
"""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import dataclass

from gatebench.bench.outcome import Settings
from gatebench.bench.parties import SPARE_S, Server, run, share
from gatebench.errors import MachineError

EDGE_S = 0.1  # at the start and end of a program's run that is not its load


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A rate, and the share of one CPU that each side used for it."""

    rate: float
    generator_share: float | None
    server_share: float | None


def missing(name: str) -> bool:
    """Say whether a program is not installed."""
    return shutil.which(name) is None


def wrk(settings: Settings, server: Server, connections: int) -> Sample:
    """Let wrk press with one thread, for whole seconds, as it counts them."""
    seconds = max(1, round(settings.seconds))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"{server.url}/plaintext"]
    ran = run(settings, server, "wrk", command, limit_s=seconds + SPARE_S)
    said = ran.said.decode(errors="replace")
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    wrong = re.search(r"Socket errors: .*|Non-2xx.*", said)
    if rate is None or wrong:
        raise MachineError(f"wrk did not end well: {wrong[0] if wrong else ' '.join(said.split())}")
    begun_s, ended_s = ran.begun_s + EDGE_S, ran.ended_s - EDGE_S
    usage, window_s = ran.watch.read(begun_s, ended_s).usage, ended_s - begun_s
    return Sample(
        rate=float(rate[1]),
        generator_share=share(usage["generator"], window_s),
        server_share=share(usage["server"], window_s),
    )


def h2load(settings: Settings, server: Server, rate: float, seconds: float) -> list[float]:
    """Let h2load send HTTP/1.1 at a rate over one connection; give its time of each request in seconds.

    Its clock ticks no oftener than every 10 ms: above 100/s it sends bursts.
    """
    log = settings.scratch / "h2load.log"
    log.unlink(missing_ok=True)  # it would append
    whole = math.ceil(seconds)
    options = ["--h1", "-c1", "-t1", "-m1", f"--rps={rate:g}", f"-D{whole}", f"--log-file={log}"]
    command = ["h2load", *options, f"{server.url}/plaintext"]
    ran = run(settings, server, "h2load", command, limit_s=whole + SPARE_S)
    rows = [line.split("\t") for line in log.read_text(encoding="ascii").splitlines()] if log.exists() else []
    if not rows or any(status != "200" for _, status, *_ in rows):
        said = " ".join(ran.said.decode(errors="replace").split())
        raise MachineError(f"h2load did not end well: {said[-300:]}")
    return [float(took_us) / 1e6 for _, _, took_us, *_ in rows]
