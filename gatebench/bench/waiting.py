"""Many requests at once to a route that waits, from one generator core.

Knows how many are wanted. Must not know how a stack is served or the generator run.
"""

from __future__ import annotations

from pathlib import Path

from gatebench.bench.connections import SPARE_FILES
from gatebench.bench.outcome import Outcome, Settings, Target, ms, percent
from gatebench.bench.parties import drive
from gatebench.bench.stack import serving
from gatebench.bench.waiting_app import WAIT_S
from gatebench.machine import raise_open_files

WANTED = 10_000
WINDOW_S = 8.0
SLICE_S, LIMIT_S = 2 * WAIT_S, 6 * WAIT_S  # of the warm-up: a slice holds two waves of answers


def waiting(settings: Settings) -> Outcome:
    """Keep so many requests waiting for a window's length."""
    limit = raise_open_files()
    users = min(WANTED, limit - SPARE_FILES)
    found = Outcome(
        title=f"{users:,} concurrent requests to a route that waits {WAIT_S:g} s (uvicorn, one worker)",
        headings=("in flight", "answered", "errors", "p50", "p99", "generator CPU", "server CPU"),
    )
    with serving(settings, (Path(__file__).parent, "waiting_app:app")) as server:
        settings.told(f"{users:,} requests that wait")
        seen = drive(
            settings,
            "waiting",
            server,
            "closed",
            users,
            window_s=WINDOW_S,
            warmup_slice_s=SLICE_S,
            warmup_limit_s=LIMIT_S,
        )
    figures = seen.figures
    p50_s, p99_s = seen.percentile_s(0.5), seen.percentile_s(0.99)
    in_flight = figures["in_flight_mean"]
    found.rows.append(
        (
            f"{in_flight:,.0f}",
            f"{figures['requests']:,}",
            f"{figures['errors']:,}",
            ms(p50_s),
            ms(p99_s),
            percent(seen.generator_share),
            percent(seen.server_share),
        )
    )
    found.notes.append(f"a window of {WINDOW_S:g} s; each user asks again as soon as it is answered")
    if users < WANTED:
        found.notes.append(f"{WANTED:,} were wanted: the limit on open files is {limit:,} here")
    if figures["errors"]:
        found.notes.append(f"errors: {figures['error_reasons']}")
    found.targets.append(
        Target(
            what=f"{users:,} waiting requests all answered",
            wanted="no error",
            found=f"{figures['errors']:,} errors, {in_flight:,.0f} in flight on average",
            # The mean over the window is short of all by what passes between an answer and the next request.
            reached=not figures["errors"] and figures["requests"] > 0 and in_flight >= 0.95 * users,
        )
    )
    found.records.append(
        {
            "part": "waiting",
            "users": users,
            "in_flight_mean": in_flight,
            "answered": figures["requests"],
            "errors": figures["errors"],
            "p50_s": p50_s,
            "p99_s": p99_s,
            "generator_cpu_share": seen.generator_share,
            "server_cpu_share": seen.server_share,
        }
    )
    return found
