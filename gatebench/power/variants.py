"""The variants of an app: itself, its twin, and itself made slower by a known share; each an arm of a stack.

Knows stacks, and the folder in which a slower app is laid out. Must not know how it is measured, nor what was found.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gatebench.errors import UsageError
from gatebench.model import Choice, Stack
from gatebench.power import slowed

BASE, TWIN, SLEEPY, PROBE = "base", "aa", "sleepy", "probe"
SHARES: Mapping[str, float] = {"slow2": 0.02, "slow3": 0.03, "slow5": 0.05, "slow10": 0.10}  # of a request's CPU
VARIANTS = (TWIN, *SHARES, SLEEPY)
EVERY = 50  # one request of so many sleeps: 2 %
SLEEP_S = 0.1  # beyond what a request of the recorded load waits for its turn, or no percentile would move
PROBE_LOOPS = 4000  # turns by which the cost of one is measured; as long as a request of a small framework
TARGET = "gatebench_arm"  # the module that is laid beside the app


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What busy work costs, in shares of a request's CPU."""

    turn_share: float  # of one turn

    def loops(self, share: float) -> int:
        """Say how many turns cost this share of a request."""
        return round(share / self.turn_share)


def slowdown_of(variant: str, cost: Cost | None) -> slowed.Slowdown:
    """Say what a variant does beside the app's work; `cost` is needed where it is to be a share."""
    if variant == SLEEPY:
        return slowed.Slowdown(every=EVERY, sleep_s=SLEEP_S)
    if variant == PROBE:
        return slowed.Slowdown(loops=PROBE_LOOPS)
    if variant not in SHARES:
        return slowed.Slowdown()
    if cost is None:
        raise UsageError(f"What a turn of busy work costs is not known yet, so {variant} cannot be laid out.")
    return slowed.Slowdown(loops=cost.loops(SHARES[variant]))


def laid_out(stack: Stack, folder: Path) -> Stack:
    """Copy a stack's app into a folder, with what makes it slower beside it, and give the stack that has it there."""
    app = stack.app
    if stack.bridge or any(choice.target for choice in stack.choices):
        raise UsageError(f"{stack.name} cannot be slowed down: name a stack without bridge or another target.")
    copied = folder / app.folder.name
    shutil.copytree(app.folder, copied)
    if app.work:
        shutil.copytree(app.folder.parent / "work", folder / "work")
    shutil.copy2(slowed.__file__, copied / "gatebench_slowed.py")
    (copied / f"{TARGET}.py").write_text("import gatebench_slowed\n\napp = gatebench_slowed.arm()\n", "utf-8")
    return replace(stack, app=replace(app, folder=copied, target=f"{TARGET}:app"))


def arm(original: Stack, laid: Stack, name: str, slowdown: slowed.Slowdown) -> Stack:
    """Give an arm of this name. All arms go through the same wrapper, so that only the slowdown differs."""
    told = {
        "behind": original.app_target,
        "speaks": original.interface,
        "loops": str(slowdown.loops),
        "every": str(slowdown.every),
        "sleep_s": str(slowdown.sleep_s),
    }
    # What is an axis' default is not said in the stack's name: the arm's own is enough.
    choices = tuple(Choice(axis=axis, value=value, default=True) for axis, value in told.items())
    return replace(laid, arm=name, choices=(*laid.choices, *choices))
