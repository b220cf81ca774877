"""Log-linear histograms of microseconds: below 0.4 % relative error, mergeable, sparse.

Pure arithmetic. Must not know runs, files or clocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from gatebench.model import Histogram

BITS = 7  # 128 buckets an octave: a bucket is at most 1/128 wide, its middle at most 1/256 off
LONGEST_US = 2**40  # nearly thirteen days; what claims to be longer is no response time
MOST = 2**53  # more than this is no count, and floats would no longer tell neighbours apart


def bucket(us: int) -> int:
    """Give the bucket of a value in whole microseconds; values below 256 have a bucket of their own."""
    shift = max(0, us.bit_length() - BITS - 1)
    return (shift << BITS) + (us >> shift)


def middle_us(index: int) -> float:
    """Give the middle of a bucket in microseconds."""
    shift = max(0, (index >> BITS) - 1)
    low = (index - (shift << BITS)) << shift
    return low + ((1 << shift) - 1) / 2


def of_seconds(values: Iterable[float]) -> Histogram:
    """Count values given in seconds; what is negative, no number or absurdly long is a ValueError."""
    exact_us = (values if isinstance(values, np.ndarray) else np.fromiter(values, dtype=float)) * 1e6
    if not (good := (exact_us >= 0) & (exact_us < LONGEST_US)).all():
        raise ValueError(f"{exact_us[~good][0] / 1e6} s is no duration of a request")
    us = np.rint(exact_us).astype(np.int64)
    # The exponent that frexp gives of a whole number is its bit length, as in `bucket`.
    shift = np.maximum(0, np.frexp(us.astype(float))[1] - BITS - 1)
    buckets, counts = np.unique((shift << BITS) + (us >> shift), return_counts=True)
    return Histogram(
        counts=dict(zip(buckets.tolist(), counts.tolist(), strict=True)),
        total=len(us),
        sum_us=math.fsum(exact_us.tolist()),
    )


def merge(parts: Iterable[Histogram]) -> Histogram:
    """Add histograms; exact, and in any order the same."""
    parts = tuple(parts)
    counts: dict[int, int] = {}
    for part in parts:
        for index, count in part.counts.items():
            counts[index] = counts.get(index, 0) + count
    # fsum rounds once, at the end: adding floats one by one would depend on their order.
    return Histogram(
        counts=counts, total=sum(part.total for part in parts), sum_us=math.fsum(part.sum_us for part in parts)
    )


def samples_needed(q: float) -> int:
    """Say how many samples the q-quantile needs to be more than a guess: 10/(1-q)."""
    if not 0 < q < 1:
        raise ValueError(f"{q} is no quantile between 0 and 1")
    return round(10 / (1 - q))


def percentile(histogram: Histogram, q: float) -> float | None:
    """Give the q-quantile in seconds, or None where there are too few samples for it."""
    if histogram.total < samples_needed(q):
        return None
    # The smallest value with a share of q at or below it; the slack undoes 0.07 * 100 > 7.
    rank, seen = math.ceil(q * histogram.total * (1 - 1e-12)), 0
    for index in sorted(histogram.counts):
        seen += histogram.counts[index]
        if seen >= rank:
            return middle_us(index) / 1e6
    raise ValueError("a histogram's total is not the sum of its counts")


def mean(histogram: Histogram) -> float | None:
    """Give the exact mean in seconds, or None of nothing."""
    return histogram.sum_us / histogram.total / 1e6 if histogram.total else None


def to_json(histogram: Histogram) -> dict[str, object]:
    """Give the form that results files hold: buckets sorted, counts beside them."""
    order = sorted(histogram.counts)
    return {
        "bits": BITS,
        "buckets": order,
        "counts": [histogram.counts[index] for index in order],
        "sum_us": histogram.sum_us,
    }


def from_json(data: Mapping[str, object]) -> Histogram:
    """Read what `to_json` wrote; ValueError where it is of another shape."""
    buckets, counts, sum_us = data.get("buckets"), data.get("counts"), data.get("sum_us")
    if data.get("bits") != BITS or not isinstance(buckets, list) or not isinstance(counts, list):
        raise ValueError(f"a histogram needs bits = {BITS}, buckets and counts")
    if len(buckets) != len(counts) or not all(type(n) is int and 0 <= n < MOST for n in (*buckets, *counts)):
        raise ValueError("a histogram's buckets and counts must be whole numbers, one count a bucket")
    # Ascending, so that none is named twice; bounded, since a bucket's width is a power of its number.
    if buckets != sorted(set(buckets)) or (buckets and buckets[-1] > bucket(LONGEST_US)):
        raise ValueError(f"a histogram's buckets must ascend and end at {bucket(LONGEST_US)}")
    if not isinstance(sum_us, int | float) or isinstance(sum_us, bool) or not 0 <= sum_us < MOST * LONGEST_US:
        raise ValueError("a histogram's sum_us must be a number of microseconds")
    return Histogram(counts=dict(zip(buckets, counts, strict=True)), total=sum(counts), sum_us=float(sum_us))
