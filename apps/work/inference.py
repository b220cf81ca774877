"""The route `model`: a small matrix product, which stands in for the inference of a model. Nothing was ever learned.

Knows the weights' formula (apps/CONTRACT.md). NumPy is loaded by the first request that asks, and so takes no memory
elsewhere. All figures are whole numbers below 2**53, which float64 holds exactly: every machine answers alike.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, LABELS = 768, 10


def infer(x: int) -> dict[str, int]:
    """Pass an input through a hidden layer, and tell the label with the highest score (the first of equal ones)."""
    np, hidden, output = _model()
    place = np.arange(WIDTH)
    given = (x * place * place + place) % 1009 - 504
    scores = np.maximum(given.astype(float) @ hidden, 0) @ output
    label = int(scores.argmax())
    return {"label": label, "score": int(scores[label]), "x": x}


@cache
def _model() -> tuple[Any, NDArray[Any], NDArray[Any]]:
    """Load NumPy, and make the weights of the hidden layer and of the output."""
    import numpy as np  # noqa: PLC0415 - no other route uses it

    def weights(columns: int) -> NDArray[Any]:
        row, column = np.ogrid[:WIDTH, :columns]
        return ((row * row + 3 * row * column + 5 * column * column) % 521 - 260).astype(float)

    return np, weights(WIDTH), weights(LABELS)
