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

from gatebench.gate import LEAST, MARGINS
from gatebench.model import Estimate, GateWord
from gatebench.power.fits import scatters
from gatebench.power.noise import Scatter, effective, run_together
from gatebench.power.peers import PEERS, Peer, alarms
from gatebench.power.pieces import METRICS, Recorded, Recording
from gatebench.power.trying import LEVEL, Rules, Said, Share, affordable, drawn, shares, windows
from gatebench.power.variants import SHARES, TWIN
from gatebench.stats import ratio

SEED = 20261124
SHORT_GATE = LEAST  # blocks of the windows that are short enough for a piece to hold some
GRID = (0.0, 0.01, 0.015, *(step / 400 for step in range(8, 17)), 0.045, 0.05, 0.06, 0.08, 0.1, 0.12)  # of the curve
SMALL = 0.02  # the slowdown that the gate is not made for
SMALL_MARGINS, SMALL_BLOCKS = (0.005, 0.01), (25, 50, 75, 100, 150, 200)

Curve = Mapping[str, Sequence[tuple[float, Share]]]  # condition -> slowdowns, and the share of gates that fail


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
    in_time: Share  # of those that fail: within the budget, their confirmation and all else included
    minutes: float  # that they took, in the mean
    tried: int
    pieces: int  # that the variant was recorded in


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """What a variant really cost, by the blocks themselves."""

    condition: str
    variant: str
    pieces: int
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
    same: Mapping[GateWord, Share]  # of identical arms
    slower: Mapping[GateWord, Share]


def chance_of(settings: Settings, *what: str) -> np.random.Generator:
    """Give chance of its own to each experiment, so that none changes another."""
    return np.random.default_rng([settings.seed, *(ord(letter) for letter in " ".join(what))])


def injected(recording: Recording) -> list[Injected]:
    """Tell of every variant what it cost."""
    return [
        Injected(
            condition=one.condition,
            variant=one.variant,
            pieces=len(one.by_piece),
            pairs=len(one.pairs),
            void=one.void,
            changes={name: _change(one.ratios[:, column]) for column, name in enumerate(METRICS)},
        )
        for one in recording.found.values()
    ]


def _change(logs: np.ndarray) -> Estimate | None:
    return ratio([(1.0, math.exp(value)) for value in logs if not math.isnan(value)])


def rules(blocks: int, margins: Mapping[str, float] = MARGINS) -> Rules:
    """Give a gate's rules."""
    return Rules(metrics=METRICS, margins=margins, blocks=blocks)


def _tried(one: Recorded, settings: Settings, laid: Rules, said: Sequence[Said], worth: float | None = None) -> Tried:
    seconds = [each.seconds(one.block_s or 0.0) for each in said]
    fails = [each.word == "fail" and took <= settings.budget_s for each, took in zip(said, seconds, strict=True)]
    return Tried(
        condition=one.condition,
        variant=one.variant,
        blocks=laid.blocks,
        shares=shares(said, worth),
        in_time=Share(count=sum(fails) * (worth or len(said)) / len(said), tried=worth or len(said)),
        minutes=float(np.mean(seconds)) / 60,
        tried=len(said),
        pieces=len(one.by_piece),
    )


def _laid(one: Recorded, settings: Settings) -> Rules:
    return rules(affordable(settings.budget_s, one.block_s or math.inf))


def simulated(recording: Recording, settings: Settings) -> list[Tried]:
    """Judge gates drawn from each variant's scatter, around its middle."""
    return [_drawn_from(recording, settings, *told, "simulated") for told in scatters(recording).items()]


def apart(recording: Recording, settings: Settings) -> list[Tried]:
    """Judge the same gates, were sessions as far apart, and drifting as much, as the recorded pieces allow."""
    return [_drawn_from(recording, settings, *told, "apart") for told in scatters(recording, LEVEL).items()]


def _drawn_from(recording: Recording, settings: Settings, key: tuple[str, str], scatter: Scatter, kind: str) -> Tried:
    one = recording.found[key]
    settings.told(f"gates drawn: {' '.join(key)}")
    laid, chance = _laid(one, settings), chance_of(settings, kind, *key)
    gates, fresh = _with_confirmation(partial(scatter.draw, chance=chance), settings.gates, laid.blocks)
    return _tried(one, settings, laid, drawn(gates, fresh, laid, np.nan_to_num(scatter.middle)))


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
        gates, fresh = (run_together(one.by_piece, settings.gates // 2, laid.blocks, chance) for _ in range(2))
        worth = effective(len(one.pairs), laid.blocks, float(scatter.kept[0]))
        found.append((_tried(one, settings, laid, drawn(gates, fresh, laid), worth), worth))
    return found


def disjoint(recording: Recording, settings: Settings) -> list[Tried]:
    """Judge disjoint windows of recorded blocks: of the budget's length where there are two, and short ones."""
    found = []
    for one in recording.found.values():
        for laid in dict.fromkeys((_laid(one, settings).blocks, SHORT_GATE)):
            said = windows(one.by_piece, rules(laid))
            if said:
                found.append(_tried(one, settings, rules(laid), said))
    return found


def compared(recording: Recording) -> list[OfPeer]:
    """Let peers judge the same runs, and the gate short windows of them."""
    found = []
    for one in recording.found.values():
        said = windows(one.by_piece, rules(SHORT_GATE))
        if said:
            told = shares(said)
            title = f"gatebench, {SHORT_GATE} blocks in duets, as many to confirm: fail"
            found.append(_of_peer(title, one, told["fail"]))
            found.append(_of_peer("the same: unsure, which asks for more blocks", one, told["unsure"]))
        found += [_of_peer(peer.title, one, share) for peer in PEERS if (share := _share(peer, one)) is not None]
    return found


def _share(peer: Peer, one: Recorded) -> Share | None:
    raised = alarms(peer, one.pairs)
    return Share(count=sum(raised), tried=len(raised)) if raised else None


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


def curve(recording: Recording, settings: Settings) -> Curve:
    """Give the share found for rising slowdowns, with the twin's scatter."""
    found: dict[str, list[tuple[float, Share]]] = {}
    for (variant, condition), scatter in scatters(recording).items():
        if variant != TWIN:
            continue
        one = recording.found[variant, condition]
        laid, slope = _laid(one, settings), slopes(recording, condition)
        for share in GRID:
            settings.told(f"the curve, {condition}, {share:.0%}")
            chance = chance_of(settings, "curve", condition, str(share))
            pairs = _with_confirmation(partial(scatter.draw, chance=chance), settings.gates // 2, laid.blocks)
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
                gates, fresh = (each[:, :, :1] for each in _with_confirmation(drawing, settings.gates, blocks))
                same, slower = (shares(drawn(gates, fresh, laid, math.log1p(share))) for share in (0.0, SMALL))
                seconds = Said(word="unsure", blocks=blocks).seconds(one.block_s or 0.0)
                found.append(
                    Small(
                        condition=condition,
                        margin=margin,
                        blocks=blocks,
                        minutes=seconds / 60,
                        same=same,
                        slower=slower,
                    )
                )
    return found
