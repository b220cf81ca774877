"""Scenarios: what users do. Their files are read, never imported: Locust patches whoever imports it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatebench.declare.places import folder_of, named
from gatebench.errors import UsageError
from gatebench.model import (
    Scenario,
)
from gatebench.toml import (
    Table,
    flag,
    seconds,
    share,
    text,
    texts,
    whole,
)


def scenarios(root: Path) -> dict[str, Scenario]:
    """Find every Locust file of scenarios/; it is read, never imported: Locust patches whoever imports it."""
    return {path.stem: _scenario(path, root) for path in sorted(folder_of(root, "scenarios").glob("*.py"))}


def _scenario(path: Path, root: Path) -> Scenario:
    place = str(path.relative_to(root))
    declared = Table(f"{place} SCENARIO", _literal(path, place))
    scenario = Scenario(
        name=named(path, root),
        path=path,
        version=declared.take("version", "a whole number from 1", whole),
        title=declared.take("title", "a line of text", text),
        routes=declared.take("routes", "a list of the contract's routes", texts),
        services=declared.take("services", "a list of services", texts, default=()),
        error_limit=declared.take("error_limit", "a share from 0 to below 1", share, default=0.001),
        front=declared.take("front", "true or false", flag, default=False),
        holds=declared.take("holds", "true or false", flag, default=False),
        waits_s=declared.take("waits_s", "seconds", seconds, default=None),
    )
    declared.done()
    return scenario


def _literal(path: Path, place: str) -> Mapping[str, Any]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=place)
    except (SyntaxError, ValueError, OSError) as error:
        raise UsageError(f"{place}: this is not Python: {error}.") from error
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["SCENARIO"]:
            try:
                value = ast.literal_eval(node.value)
            except (ValueError, TypeError) as error:
                raise UsageError(f"{place}: SCENARIO must be a plain literal: {error}.") from error
            if isinstance(value, dict) and all(isinstance(key, str) for key in value):
                return value
    raise UsageError(
        f"{place}: holds no SCENARIO; expected a literal such as "
        'SCENARIO = {"version": 1, "title": "…", "routes": ["plaintext"]} at its top level.'
    )
