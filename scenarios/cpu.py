"""Ten thousand rounds of arithmetic, about a millisecond of pure Python: work that no waiting hides.

Runs under `gatebench run`, and under plain `locust -f scenarios/cpu.py -H URL`.
"""

from gatebench.swarm import EngineUser, Expect, Judge, Request, Whole

SCENARIO = {"version": 1, "title": "Arithmetic", "routes": ["cpu"], "services": [], "error_limit": 0.001}

ROUNDS = 10_000
FACTOR, MORE, MODULUS = 1_103_515_245, 12_345, 2_147_483_648
X = Whole(0, MODULUS - 1)

# All rounds together are one step of the same form, so that the generator need not go through them.
factor, more = 1, 0
for _ in range(ROUNDS):
    factor, more = factor * FACTOR % MODULUS, (more * FACTOR + MORE) % MODULUS


def is_last(body: bytes, x: str) -> bool:
    """Say whether a body is what x has become."""
    return body == b"%d" % ((factor * int(x) + more) % MODULUS)


class Reckoner(EngineUser):
    """Has another number turned round every time."""

    mix = (Request((f"/cpu?n={ROUNDS}&x=", X), name="/cpu", expect=Expect(body=Judge(is_last, (X,)))),)
