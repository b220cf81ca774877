"""Which driver does the work: the choice of the stack's axes, from the environment.

Knows axes.toml, and that the driver `name` of `axis` is the module `axis_name` of work.sync or work.aio. Only what
was chosen is loaded, since nothing else is installed.
"""

from __future__ import annotations

import os
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType

AXES = tomllib.loads((Path(__file__).parent / "axes.toml").read_text(encoding="utf-8"))
PATIENCE_S = 60  # 64 users waiting for 16 connections are load, not an error


def chosen(side: str, axis: str) -> ModuleType:
    """Load the driver that GATEBENCH_<AXIS> names, or the axis' first."""
    drivers = AXES[side][axis]
    name = os.environ.get(f"GATEBENCH_{axis.upper()}") or next(iter(drivers))
    if name not in drivers:
        raise LookupError(f"work.{side} has no {axis} driver {name!r}; axes.toml has {', '.join(drivers)}")
    return import_module(f"work.{side}.{axis}_{name.replace('-', '_')}")


def pool_size() -> int:
    """Return how many connections a worker keeps to each service, at most."""
    return int(os.environ["GATEBENCH_POOL_SIZE"])
