"""WebSocket connections opened and kept by one generator process, and what each costs it and the server.

Knows how many are wanted. Must not know how a stack is served or the generator run.
"""

from __future__ import annotations

from gatebench.bench.outcome import Outcome, Settings, Target, ms, percent
from gatebench.bench.parties import Measured, Server, drive, share
from gatebench.bench.stack import NAME, serving
from gatebench.machine import raise_open_files
from gatebench.model import Usage

WANTED = 20_000
SPARE_FILES = 500
FEW = 100  # what both sides weigh with hardly any connections is measured with so many
FEW_WINDOW_S, WINDOW_S = 2.0, 10.0  # each connection echoes once in a window
LEAST_PER_S = 2000
FULL = 0.95  # a server that uses so much of its CPU cannot open more


def connections(settings: Settings) -> Outcome:
    """Hold a few connections, then all of them; the difference in memory is what they cost."""
    limit = raise_open_files()
    count = min(WANTED, limit - SPARE_FILES)
    found = Outcome(
        title=f"WebSocket connections held by one generator process against {NAME}, one worker",
        headings=(
            "offered",
            "opened",
            "kept",
            "opened/s",
            "generator per connection",
            "server per connection",
            "echoes",
            "p50",
            "p99",
        ),
    )
    with serving(settings) as server:
        few = _hold(settings, server, FEW, FEW_WINDOW_S)
        seen = _hold(settings, server, count, WINDOW_S)
    held, figures = seen.figures["connections"], seen.figures
    per_s = held["opened"] / held["opening_s"]
    busy = share(seen.warmup, held["opening_s"])  # of the server's CPU, while they were opened; before, it is idle
    more = held["opened"] - few.figures["connections"]["opened"]
    generator, its_server = _cost(few.generator, seen.generator, more), _cost(few.server, seen.server, more)
    p50_s, p99_s = seen.percentile_s(0.5), seen.percentile_s(0.99)
    found.rows.append(
        (
            *(f"{held[key]:,}" for key in ("offered", "opened", "kept")),
            f"{per_s:,.0f}",
            _kib(generator),
            _kib(its_server),
            f"{figures['requests']:,}",
            ms(p50_s),
            ms(p99_s),
        )
    )
    if count < WANTED:
        found.notes.append(
            f"{WANTED:,} were wanted: the limit on open files is {limit:,} here, less {SPARE_FILES} for the rest; "
            f"`ulimit -Hn {WANTED + SPARE_FILES}` as root raises it"
        )
    found.notes.append(
        f"each echoes once in {WINDOW_S:g} s; memory: proportional set size with all less that with {FEW}"
    )
    if figures["errors"]:
        found.notes.append(f"errors: {figures['error_reasons']}")
    kept = held["opened"] == held["kept"] == count and not figures["errors"]
    found.targets = [
        Target(what="opened and kept", wanted=f"{count:,}", found=f"{held['kept']:,}", reached=kept),
        Target(
            what="opened per second, if the server can",
            wanted=f"at least {LEAST_PER_S:,}",
            found=f"{per_s:,.0f}, with {percent(busy)} of the server's CPU",
            reached=True if per_s >= LEAST_PER_S else None if busy is not None and busy >= FULL else False,
        ),
    ]
    found.records.append(
        {
            "part": "connections",
            **held,
            "opened_per_s": per_s,
            "server_cpu_share_opening": busy,
            "generator_bytes_per_connection": generator,
            "server_bytes_per_connection": its_server,
            "echoes": figures["requests"],
            "errors": figures["errors"],
            "p50_s": p50_s,
            "p99_s": p99_s,
            "server_cpu_share": seen.server_share,
            "generator_cpu_share": seen.generator_share,
        }
    )
    return found


def _hold(settings: Settings, server: Server, count: int, window_s: float) -> Measured:
    settings.told(f"{count:,} connections")
    return drive(settings, "echo", server, "hold", count, window_s=window_s)


def _cost(few: Usage, many: Usage, more: int) -> float | None:
    """Give the bytes that each further connection takes."""
    if few.pss_peak_bytes is None or many.pss_peak_bytes is None or more <= 0:
        return None
    return (many.pss_peak_bytes - few.pss_peak_bytes) / more


def _kib(size: float | None) -> str:
    return "-" if size is None else f"{size / 1024:.1f} KiB"
