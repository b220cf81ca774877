"""Plans of one part for tests, changed as if the part were the plan."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from gatebench.model import Part, Plan

OF_A_PART = {field.name for field in fields(Part)} - {"name", "title"}


def varied(plan: Plan, **changes: Any) -> Plan:
    """Give the plan with other values, those of its only part among them."""
    (part,) = plan.parts
    inner = {key: changes.pop(key) for key in [*changes] if key in OF_A_PART}
    return replace(plan, parts=(replace(part, **inner),), **changes)
