"""The route `model`: the matrix product that stands in for a model's inference, computed here as well.

Knows the weights' formula of apps/CONTRACT.md, and computes with whole numbers where apps have fractions, which no
order of adding and no library can make differ. Must not know sockets.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from gatebench.contract.forms import exactly
from gatebench.contract.visit import JSON, Request, Requests, Visit

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUTS = 1000
WIDTH, LABELS = 768, 10


def model(visit: Visit) -> Requests:
    """Ask about three different inputs."""
    for given in visit.inputs.sample(range(INPUTS), 3):
        label, score = best(given)
        form = exactly(f'{{"label":{label},"score":{score},"x":{given}}}')
        yield Request(target=f"/model?x={given}", kind=JSON, form=form)


def best(given: int) -> tuple[int, int]:
    """Compute the label of the highest score, and that score."""
    weights = _weights()
    figures = [(given * i * i + i) % 1009 - 504 for i in range(WIDTH)]
    hidden = (weights @ figures).clip(min=0)
    scores = [int(score) for score in weights[:LABELS] @ hidden]
    return scores.index(max(scores)), max(scores)


@cache
def _weights() -> NDArray[Any]:
    """Make the weights, 64-bit whole numbers, a row for each place that they lead to."""
    import numpy as np  # noqa: PLC0415 - it costs every start of the command line 0.1 s

    rows = [[(i * i + 3 * i * j + 5 * j * j) % 521 - 260 for i in range(WIDTH)] for j in range(WIDTH)]
    return np.array(rows, dtype=np.int64)
