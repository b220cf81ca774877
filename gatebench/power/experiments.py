"""The experiments: what gates say of blocks drawn and recorded, what peers say of the same, and what 2 % would take.

Knows recordings and how gates are tried. Everything here follows from the recording and one seed. Must not know how
it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from gatebench.errors import UntrustedError
from gatebench.gate import MARGINS
from gatebench.model import Estimate, GateWord
from gatebench.power.noise import Scatter, effective, fitted, run_together
from gatebench.power.peers import PEERS, Peer, alarms, independent
from gatebench.power.pieces import METRICS, Recorded, Recording
from gatebench.power.trying import Rules, Said, Share, affordable, drawn, shares, windows
from gatebench.power.variants import SHARES, TWIN
from gatebench.stats import ratio

SEED = 20261124
SHORT_GATE = 20  # blocks of the windows that are short enough for a recording of an hour to hold some
GRID = (*(step / 200 for step in range(13)), 0.08, 0.1, 0.12)  # slowdowns of the curve
SMALL = 0.02  # the slowdown that the gate is not made for
SMALL_MARGINS, SMALL_BLOCKS = (0.005, 0.01), (25, 50, 100, 200, 400)
SMALL_GATES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How much is tried."""

    gates: int = 2000  # drawn of each kind
    budget_s: float = 300.0
    seed: int = SEED
    told: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Gates of one variant under one condition, tried in one way."""

    condition: str
    variant: str
    blocks: int  # that each may take
    shares: Mapping[GateWord, Share]
    minutes: float  # that they took, in the mean
    tried: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """What a variant really cost, by the blocks themselves."""

    condition: str
    variant: str
    pairs: int
    void: int
    changes: Mapping[str, Estimate | None]  # metric -> variant / base


@dataclass(frozen=True, slots=True, kw_only=True)
class OfPeer:
    """How often a peer raises an alarm on one variant."""

    title: str
    condition: str
    variant: str
    share: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Small:
    """What gates with a small margin and many blocks say of no slowdown, and of a small one."""

    condition: str
    margin: float
    blocks: int
    minutes: float  # of the gate, its confirmation not among them
    false_alarms: Share
    found: Share


def chance_of(settings: Settings, *what: str) -> np.random.Generator:
    """Give chance of its own to each experiment, so that none changes another."""
    return np.random.default_rng([settings.seed, *(ord(letter) for letter in " ".join(what))])


def injected(recording: Recording) -> list[Injected]:
    """Tell of every variant what it cost."""
    return [
        Injected(
            condition=one.condition,
            variant=one.variant,
            pairs=len(one.pairs),
            void=one.void,
            changes={name: _change(one.ratios[:, column]) for column, name in enumerate(METRICS)},
        )
        for one in recording.found.values()
    ]


def _change(logs: np.ndarray) -> Estimate | None:
    return ratio([(1.0, math.exp(value)) for value in logs if not math.isnan(value)])


def scatters(recording: Recording) -> dict[tuple[str, str], Scatter]:
    """Fit every variant that has blocks enough."""
    found = {}
    for key, one in recording.found.items():
        try:
            found[key] = fitted(one.by_piece)
        except UntrustedError:
            continue
    return found


def rules(blocks: int, margins: Mapping[str, float] = MARGINS) -> Rules:
    """Give a gate's rules."""
    return Rules(metrics=METRICS, margins=margins, blocks=blocks)


def _tried(one: Recorded, laid: Rules, said: Sequence[Said], worth: float | None = None) -> Tried:
    seconds = float(np.mean([each.seconds(one.block_s or 0.0) for each in said]))
    return Tried(
        condition=one.condition,
        variant=one.variant,
        blocks=laid.blocks,
        shares=shares(said, worth),
        minutes=seconds / 60,
        tried=len(said),
    )


def _laid(one: Recorded, settings: Settings) -> Rules:
    return rules(affordable(settings.budget_s, one.block_s or math.inf))


def simulated(recording: Recording, settings: Settings) -> list[Tried]:
    """Judge gates drawn from each variant's scatter: the twin's around nothing, others' around their middle."""
    found = []
    for key, scatter in scatters(recording).items():
        one = recording.found[key]
        settings.told(f"gates drawn: {' '.join(key)}")
        laid, chance = _laid(one, settings), chance_of(settings, "simulated", *key)
        middle = np.zeros_like(scatter.middle) if one.variant == TWIN else np.nan_to_num(scatter.middle)
        gates, fresh = _with_confirmation(partial(scatter.draw, chance=chance), settings.gates, laid.blocks)
        found.append(_tried(one, laid, drawn(gates, fresh, laid, middle)))
    return found


def _with_confirmation(
    draw: Callable[[int, int], np.ndarray], gates: int, blocks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw gates with as many fresh blocks, of one session each."""
    every = draw(gates, 2 * blocks)
    return every[:, :blocks], every[:, blocks:]


def bootstrapped(recording: Recording, settings: Settings) -> list[tuple[Tried, float]]:
    """Judge gates put together from runs of recorded blocks; with how many windows these blocks are worth."""
    found = []
    for key, scatter in scatters(recording).items():
        one = recording.found[key]
        settings.told(f"recorded blocks in runs: {' '.join(key)}")
        laid, chance = _laid(one, settings), chance_of(settings, "bootstrap", *key)
        gates, fresh = (run_together(one.ratios, settings.gates // 2, laid.blocks, chance) for _ in range(2))
        worth = max(1.0, effective(len(one.pairs), laid.blocks, float(scatter.kept[0])))
        found.append((_tried(one, laid, drawn(gates, fresh, laid), worth), worth))
    return found


def disjoint(recording: Recording, settings: Settings) -> list[Tried]:
    """Judge disjoint windows of recorded blocks: of the budget's length where there are two, and short ones."""
    found = []
    for one in recording.found.values():
        for laid in dict.fromkeys((_laid(one, settings).blocks, SHORT_GATE)):
            said = windows(one.ratios, rules(laid))
            if said:
                found.append(_tried(one, rules(laid), said))
    return found


def compared(recording: Recording) -> list[OfPeer]:
    """Let peers judge the same runs, and the gate short windows of them."""
    found = []
    for one in recording.found.values():
        said = windows(one.ratios, rules(SHORT_GATE))
        if said:
            title = f"gatebench, {SHORT_GATE} blocks in duets, fails confirmed"
            found.append(_of_peer(title, one, shares(said)["fail"]))
        found += [_of_peer(peer.title, one, share) for peer in PEERS if (share := _share(peer, one)) is not None]
    return found


def _share(peer: Peer, one: Recorded) -> Share | None:
    raised = alarms(peer, one.pairs)
    if not raised:
        return None
    worth = independent(peer, len(raised))
    return Share(count=sum(raised) / len(raised) * worth, tried=worth)


def _of_peer(title: str, one: Recorded, share: Share) -> OfPeer:
    return OfPeer(title=title, condition=one.condition, variant=one.variant, share=share)


def slopes(recording: Recording, condition: str) -> np.ndarray:
    """Say by how much the log of each metric moves, for each unit that the leading one's does."""
    middles = np.array([_middles(one.ratios) for one in recording.of(condition) if one.variant in SHARES])
    if not len(middles):
        return np.array([1.0] + [0.0] * (len(METRICS) - 1))
    leading = middles[:, :1]
    return np.asarray((middles * leading).sum(axis=0) / (leading**2).sum(axis=0))


def _middles(ratios: np.ndarray) -> list[float]:
    """Give each metric's median; 0 of one that no block has, since nothing is known to move it."""
    known = [column[~np.isnan(column)] for column in ratios.T]
    return [float(np.median(column)) if len(column) else 0.0 for column in known]


def curve(recording: Recording, settings: Settings) -> dict[str, list[tuple[float, Share]]]:
    """Give the share found for rising slowdowns, with the twin's scatter: condition -> slowdown and share."""
    found: dict[str, list[tuple[float, Share]]] = {}
    for (variant, condition), scatter in scatters(recording).items():
        if variant != TWIN:
            continue
        one = recording.found[variant, condition]
        laid, slope = _laid(one, settings), slopes(recording, condition)
        for share in GRID:
            settings.told(f"the curve, {condition}, {share:.0%}")
            chance = chance_of(settings, "curve", condition, str(share))
            pairs = _with_confirmation(partial(scatter.draw, chance=chance), settings.gates // 4, laid.blocks)
            said = drawn(*pairs, laid, math.log1p(share) * slope)
            found.setdefault(condition, []).append((share, shares(said)["fail"]))
    return found


def small(recording: Recording, settings: Settings) -> list[Small]:
    """Say what it would take to find 2 %: smaller margins of the leading metric alone, and more blocks."""
    found = []
    for (variant, condition), scatter in scatters(recording).items():
        if variant != TWIN:
            continue
        one = recording.found[variant, condition]
        for margin in SMALL_MARGINS:
            for blocks in SMALL_BLOCKS:
                settings.told(f"what 2 % takes, {condition}, {blocks} blocks")
                laid = Rules(metrics=METRICS[:1], margins={METRICS[0]: margin}, blocks=blocks)
                chance = chance_of(settings, "small", condition, str(margin), str(blocks))
                drawing = partial(scatter.draw, chance=chance)
                gates, fresh = _with_confirmation(drawing, min(SMALL_GATES, settings.gates), blocks)
                fails = [
                    shares(drawn(gates[:, :, :1], fresh[:, :, :1], laid, math.log1p(share)))["fail"]
                    for share in (0.0, SMALL)
                ]
                seconds = Said(word="unsure", blocks=blocks).seconds(one.block_s or 0.0)
                found.append(
                    Small(
                        condition=condition,
                        margin=margin,
                        blocks=blocks,
                        minutes=seconds / 60,
                        false_alarms=fails[0],
                        found=fails[1],
                    )
                )
    return found
