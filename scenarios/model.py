"""A small matrix product in NumPy, a quarter of a millisecond of CPU, which stands in for the inference of a model.

Runs under `gatebench run`, and under plain `locust -f scenarios/model.py -H URL`. The answers that must come are
computed here, in plain Python and before the load begins; that takes 40 ms each, and so few inputs are asked about.
"""

from operator import mul

from gatebench.swarm import EngineUser, Expect, Judge, Request, Whole

SCENARIO = {
    "version": 1,
    "title": "Stand-in for a model: a matrix product",
    "routes": ["model"],
    "services": [],
    "error_limit": 0.001,
}

INPUTS = 10
X = Whole(0, INPUTS - 1)
WIDTH, LABELS = 768, 10


def answers() -> list[bytes]:
    """Compute the answer to each input, as the contract has it."""
    places = range(WIDTH)
    weights = [[(i * i + 3 * i * j + 5 * j * j) % 521 - 260 for i in places] for j in places]
    made = []
    for x in range(INPUTS):
        given = [(x * i * i + i) % 1009 - 504 for i in places]
        hidden = [max(0, sum(map(mul, given, row))) for row in weights]
        scores = [sum(map(mul, hidden, row)) for row in weights[:LABELS]]
        made.append(b'{"label":%d,"score":%d,"x":%d}' % (scores.index(max(scores)), max(scores), x))
    return made


ANSWERS = answers()


def is_answer(body: bytes, x: str) -> bool:
    """Say whether an answer is the one that was computed here."""
    return body == ANSWERS[int(x)]


class Caller(EngineUser):
    """Asks about a random input every time."""

    mix = (Request(("/model?x=", X), name="/model", expect=Expect(body=Judge(is_answer, (X,)))),)
