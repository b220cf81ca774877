"""Log-linear histograms of microseconds: below 0.4 % relative error, mergeable, sparse.

Pure arithmetic. Must not know runs, files or clocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gatebench.model import Histogram

BITS = 7  # 128 buckets an octave: a bucket is at most 1/128 wide, its middle at most 1/256 off


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
    """Count values given in seconds; negative ones are a ValueError."""
    counts: dict[int, int] = {}
    total, sum_us = 0, 0.0
    for value in values:
        if value < 0:
            raise ValueError(f"a duration of {value} s is negative")
        us = value * 1e6
        index = bucket(round(us))
        counts[index] = counts.get(index, 0) + 1
        total += 1
        sum_us += us
    return Histogram(counts=counts, total=total, sum_us=sum_us)


def merge(parts: Iterable[Histogram]) -> Histogram:
    """Add histograms; exact, and in any order the same."""
    counts: dict[int, int] = {}
    total, sum_us = 0, 0.0
    for part in parts:
        for index, count in part.counts.items():
            counts[index] = counts.get(index, 0) + count
        total += part.total
        sum_us += part.sum_us
    return Histogram(counts=counts, total=total, sum_us=sum_us)


def percentile(histogram: Histogram, q: float) -> float | None:
    """Give the q-quantile in seconds, or None below 10/(1-q) samples, where it would be a guess."""
    if histogram.total < round(10 / (1 - q)):
        return None
    rank, seen = q * histogram.total, 0
    for index in sorted(histogram.counts):
        seen += histogram.counts[index]
        if seen >= rank:
            return middle_us(index) / 1e6
    return None


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
        "sum_us": round(histogram.sum_us, 1),
    }


def from_json(data: Mapping[str, object]) -> Histogram:
    """Read what `to_json` wrote; ValueError where it is of another shape."""
    buckets, counts, sum_us = data.get("buckets"), data.get("counts"), data.get("sum_us")
    if data.get("bits") != BITS or not isinstance(buckets, list) or not isinstance(counts, list):
        raise ValueError(f"a histogram needs bits = {BITS}, buckets and counts")
    if len(buckets) != len(counts) or not all(type(n) is int and n >= 0 for n in (*buckets, *counts)):
        raise ValueError("a histogram's buckets and counts must be whole numbers, one count a bucket")
    if not isinstance(sum_us, int | float) or isinstance(sum_us, bool) or not 0 <= sum_us < float("inf"):
        raise ValueError("a histogram's sum_us must be a number of microseconds")
    return Histogram(counts=dict(zip(buckets, counts, strict=True)), total=sum(counts), sum_us=float(sum_us))
