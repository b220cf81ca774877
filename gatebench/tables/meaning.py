"""Which metrics mean something under which load, and which of them tell stacks apart.

Knows loads and the names of metrics. Must not know runs.
"""

from __future__ import annotations

from gatebench.model import Load

ANSWERED = ("rate_rps", "response_p50_s", "response_p99_s", "cpu_us_per_request", "cpu_share", "pss_bytes")
RESOURCES = ("rss_bytes", "pss_at_rest_bytes", "threads", "processes")
SWITCHES = ("switches_per_request", "switches_voluntary_per_request", "switches_involuntary_per_request")
WAITING = (*ANSWERED, "served_at_once", "late", "refused", "timed_out", *RESOURCES, *SWITCHES)  # in a loop, by design
HELD = ("connections", "late", "refused", "timed_out", "pss_bytes", "pss_per_connection_bytes", *RESOURCES)
KNOCKED = ("connect_rest_p50_s", "connect_rest_p99_s", "connect_load_p50_s", "connect_load_p99_s")
CONTAINED = ("group_memory_bytes",)  # told of containers, and not compared: their page cache is chance


def metrics_of(load: str, *, waits: bool = False, knock: bool = False) -> tuple[str, ...]:
    """Name the metrics that mean something under a load.

    `waits`: each request waits by design; `knock`: fresh connections are opened beside the load.
    """
    parsed = Load.parse(load)
    if parsed.kind == "speak":
        return ()
    own = HELD if parsed.held else WAITING if parsed.looped and waits else ANSWERED
    return (*own, *KNOCKED) if knock else own


def compared_of(load: str, *, waits: bool = False, knock: bool = False) -> tuple[str, ...]:
    """Name the metrics that tell stacks apart under a load.

    A rate that was given to both does not; nor does the share of the CPU where each goes at a rate of its own.
    """
    parsed = Load.parse(load)
    given = "rate_rps" if parsed.kind in ("open", "poisson") else "cpu_share"
    return tuple(metric for metric in metrics_of(load, waits=waits, knock=knock) if metric != given)
