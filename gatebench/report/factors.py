"""The factors of the published rows as figures.

Knows verdicts and how to draw them. Must not know how a page looks.
"""

from __future__ import annotations

from collections.abc import Mapping

from gatebench.claims import advantage
from gatebench.model import Claim, Comparison, Estimate
from gatebench.report.drawing import rows as drawing
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.ledger import label_of
from gatebench.report.wording import Picture, bounded, shorter


def forests(found: Found, say: Language) -> tuple[Picture, ...]:
    """Draw the factors of the rows that have a published one: the interval, the blocks, and what was published.

    What is done and what it takes are figures of their own: their factors lie far apart.
    """
    first: dict[Claim, tuple[Comparison, Estimate]] = {}
    for verdict in found.verdicts:
        each = verdict.comparison
        if verdict.claim.factor and each and each.ratio and not (each.wsgi_at_limit and each.asgi_at_limit):
            first.setdefault(verdict.claim, (each, advantage(verdict.claim, each.ratio)))
    means = say("How many times better ASGI is. Line: 95 % interval; dots: blocks; dashed: the published factor.")
    heads = {False: say("Requests and connections"), True: say("Memory, threads and time")}
    made = []
    for place, (less, head) in enumerate(heads.items()):
        claims = {claim: each for claim, each in first.items() if claim.lower_is_better == less}
        if claims:
            caption = f"{head}. {means}" if len({claim.lower_is_better for claim in first}) > 1 else means
            svg = drawing.factors(f"forest-{place}", _groups(found, claims, say), caption, say)
            made.append(Picture(svg=svg, caption=caption))
    return tuple(made)


def _groups(found: Found, first: Mapping[Claim, tuple[Comparison, Estimate]], say: Language) -> list[drawing.Group]:
    pairs = list(dict.fromkeys(_pair(compared) for compared, _ in first.values()))
    return [
        drawing.Group(
            title=label_of(claim, say),
            lines=[
                drawing.Line(
                    label=_pair(compared),
                    estimate=estimate,
                    blocks=_factors(found, compared, upside_down=claim.lower_is_better),
                    series=pairs.index(_pair(compared)),
                    figure=bounded(estimate, compared, say).value,
                )
            ],
            published=claim.factor,
        )
        for claim, (compared, estimate) in first.items()
    ]


def _pair(compared: Comparison) -> str:
    """Name a pair as far as a figure has room: which settings there were, the row says."""
    return " / ".join(shorter(stack) for stack in (compared.asgi, compared.wsgi))


def _factors(found: Found, compared: Comparison, *, upside_down: bool) -> dict[int, float]:
    """Give the factor of each block in which both have a figure."""
    keys = ((compared.part, stack, compared.scenario, compared.load) for stack in (compared.wsgi, compared.asgi))
    wsgi, asgi = (found.cell(key).values(compared.metric) for key in keys)
    both = sorted(wsgi.keys() & asgi.keys())
    return {block: wsgi[block] / asgi[block] if upside_down else asgi[block] / wsgi[block] for block in both}
