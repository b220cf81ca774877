"""The published comparison as claims: every row of data/claims.toml, in order, with what settles it.

Knows the form of that file. Must not know anything that was measured.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from gatebench.model import Claim

KINDS = {  # of tables whose rows do not say it themselves
    "frameworks": "capability",
    "framework_facts": "fact",
    "servers": "order",
    "drivers": "order",
    "mixed_deployment": "fact",
}
HOW = {"ratio": "ratio", "capability": "spoken", "fact": "fact", "opinion": "opinion"}  # by kind
LISTED: dict[str, dict[str, Any]] = {  # what settles the items of a table's lists
    "frameworks": {"how": "runs", "parts": ["servers.frameworks"]},
    "framework_facts": {"said": "Not checked here: a fact of the package index, and stars of about 2024."},
    "servers": {"how": "ranked", "parts": ["servers.order"], "scenario": "plain", "metric": "rate_rps"},
    "mixed_deployment": {"how": "stages", "parts": ["migration.stages"]},
}
ABOUT = ("app", "server", "bridges", "stacks", "among")  # keys that name what a row is about


def load() -> tuple[Claim, ...]:
    """Give every row of every published table, in order."""
    text = resources.files("gatebench").joinpath("data", "claims.toml").read_text(encoding="utf-8")
    return tuple(
        _claim(table, key, row)
        for table, entries in tomllib.loads(text).items()
        for name, entry in entries.items()
        for key, row in _rows(table, name, entry)
    )


def _rows(table: str, key: str, entry: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give an entry of a table as rows: itself, or one a list's item."""
    if isinstance(entry, dict):
        yield key, entry
        return
    for item in entry:
        row = {**LISTED[table], **item}
        if "stage" in item:
            label = f"Stage {item['stage']} of a migration: {item['note']}"
            shares = {side: f"{100 * item[side]:.0f} %" for side in ("wsgi", "asgi")}
            yield f"{key}.{item['stage']}", {**row, "label": label, "stacks": [f"stage={item['stage']}"], **shares}
        else:
            yield f"{key}.{item['name']}", {**row, "label": item["name"], key: _published(item)}


def _published(item: Mapping[str, Any]) -> str:
    if "year" in item:
        return f"{item['year']}, {item['stars']} stars"
    return f"{item['stars']} of 5 stars" if "stars" in item else "listed"


def _claim(table: str, key: str, row: Mapping[str, Any]) -> Claim:
    factor, stars = row.get("factor"), row.get("stars")
    kind = row.get("kind") or KINDS[table]
    label, label_zh = row["label"], row.get("label_zh")
    if "effort" in row:
        label = f"{label} (effort to move: {row['effort']} of 5)"
        label_zh = label_zh and f"{label_zh} (遷移工夫 {row['effort']}/5)"
    return Claim(
        table=table,
        key=key,
        kind=kind,
        label=label,
        label_zh=label_zh,
        unit=row.get("unit"),
        wsgi=_shown(row.get("wsgi")),
        asgi=_shown(row.get("asgi", row.get("through"))),
        factor=float(factor) if isinstance(factor, int | float) else None,
        at_least=row.get("factor_is") == "at least",
        lower_is_better=row.get("lower_is_better", False),
        how=row.get("how") or HOW.get(kind),
        parts=tuple(row.get("parts", ())),
        also=tuple(row.get("also", ())),
        scenarios=_several(row.get("scenario")),
        load=row.get("load"),
        metric=row.get("metric"),
        names=tuple(name for about in ABOUT for name in _several(row.get(about))),
        protocols=_several(row.get("protocol")),
        stars=stars if isinstance(stars, int) else None,
        defined=tuple(row.get("defined", ())),
        limit=row.get("limit"),
        said=row.get("said"),
        see=row.get("see"),
        near=row.get("near"),
    )


def _several(value: str | list[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def _shown(value: Any) -> str | None:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else value
