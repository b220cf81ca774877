"""Plans as they are written: the TOML files of scenarios/plans/.

Knows their keys. Must not know what there is to be measured, nor in which order it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gatebench.errors import UsageError
from gatebench.model import Containment, Load, Measure, Network, Part, Plan
from gatebench.toml import Table, find, flag, load_toml, seconds, text, texts, whole
from gatebench.toml import table as declared_table

MOST_BLOCKS = 1000
BLOCKS = f"a whole number from 1 to {MOST_BLOCKS}"
NO_NAMES: tuple[str, ...] = ()
NO_TABLES: tuple[dict[str, Any], ...] = ()
TIMES = ("window_s", "warmup_slice_s", "warmup_limit_s")


def plans(root: Path) -> dict[str, Path]:
    """Find every plan: a file of scenarios/plans/."""
    return {path.stem: path for path in sorted((root / "scenarios" / "plans").glob("*.toml"))}


def load(root: Path, name: str) -> Plan:
    """Read the plan `name`; UsageError names file, key, what was found, what is expected."""
    path = find("plan", name, plans(root))
    table = load_toml(path, root)
    place = str(path.relative_to(root))
    included = table.take("include", "a list of plans, each once", each_once, default=NO_NAMES)
    plan = Plan(
        name=name,
        title=table.take("title", "a line of text", text),
        parts=tuple(_included(root, name, included)) if included else _parts(table, place, name),
        seed=table.take("seed", "a whole number from 1 to 2147483647", _seed),
        python=table.take(
            "python", 'a version of Python from 3.11, such as "3.13" or "3.14t"', _python, default=None
        ),
        container=_containment(table, place),
    )
    table.done()
    return plan


def _included(root: Path, name: str, included: Sequence[str]) -> Iterator[Part]:
    """Give the parts of other plans, one plan after the other."""
    for stage, other in enumerate(included):
        path = find(f"plan (in include of {name})", other, plans(root))
        if "include" in path.read_text(encoding="utf-8").split():
            raise UsageError(f"The plan {name} includes '{other}', which includes others; expected plans with parts.")
        yield from (replace(part, stage=stage) for part in load(root, other).parts)


def _parts(table: Table, place: str, name: str) -> tuple[Part, ...]:
    given = table.take("parts", "a list of tables [[parts]]", _tables, default=NO_TABLES)
    if not given:
        return (_part(table, place, name, title=None, usual=None),)
    usual = _usual(table)
    parts = []
    for number, one in enumerate(given, start=1):
        inner = Table(f"{place} [[parts]] {number}", one)
        own = inner.take("name", "a name of a-z, 0-9 and '_'", _name)
        title = inner.take("title", "a line of text", text)
        parts.append(_part(inner, f"{place} [[parts]] {own}", f"{name}.{own}", title=title, usual=usual))
        inner.done()
    twice = [part.name for part in parts if [other.name for other in parts].count(part.name) > 1]
    if twice:
        raise UsageError(f"{place}: two parts have the name '{twice[0]}'; expected names that differ.")
    return tuple(parts)


def _usual(table: Table) -> Mapping[str, Any]:
    """Read what holds for every part that does not say otherwise."""
    found: dict[str, Any] = {key: table.take(key, "seconds", seconds, default=None) for key in TIMES}
    found["blocks"] = table.take("blocks", BLOCKS, _blocks, default=None)
    found["server_cpus"] = table.take("server_cpus", "a whole number from 1", whole, default=1)
    found["knock"] = table.take("knock", "true or false", flag, default=False)
    return {key: value for key, value in found.items() if value is not None}


def _part(table: Table, place: str, name: str, *, title: str | None, usual: Mapping[str, Any] | None) -> Part:
    """Read a part from its own table, or from the whole file."""
    given = usual or {"server_cpus": 1, "knock": False}

    def otherwise(key: str) -> dict[str, Any]:
        return {"default": given[key]} if key in given else {}

    part = Part(
        name=name,
        title=title if title is not None else table.take("title", "a line of text", text),
        stacks=table.take("stacks", "a list of stacks, each once", each_once),
        measures=_measures(table, place),
        blocks=table.take("blocks", BLOCKS, _blocks, **otherwise("blocks")),
        window_s=table.take("window_s", "seconds", seconds, **otherwise("window_s")),
        warmup_slice_s=table.take("warmup_slice_s", "seconds", seconds, **otherwise("warmup_slice_s")),
        warmup_limit_s=table.take("warmup_limit_s", "seconds", seconds, **otherwise("warmup_limit_s")),
        server_cpus=table.take("server_cpus", "a whole number from 1", whole, **otherwise("server_cpus")),
        knock=table.take("knock", "true or false", flag, **otherwise("knock")),
    )
    if part.warmup_slice_s > part.warmup_limit_s:
        raise UsageError(
            f"{place}: the key 'warmup_slice_s' holds {part.warmup_slice_s:g}; "
            f"expected no more than 'warmup_limit_s', which is {part.warmup_limit_s:g}."
        )
    return part


def each_once(value: Any) -> tuple[str, ...] | None:
    """Take a list of texts of which none is there twice."""
    names = texts(value)
    return names if names and len(set(names)) == len(names) else None


def _tables(value: Any) -> tuple[dict[str, Any], ...] | None:
    return tuple(value) if isinstance(value, list) and value and all(isinstance(one, dict) for one in value) else None


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[a-z0-9_]{1,40}", value) else None


def _blocks(value: Any) -> int | None:
    return value if type(value) is int and 1 <= value <= MOST_BLOCKS else None


def _seed(value: Any) -> int | None:
    return value if type(value) is int and 1 <= value < 2**31 else None


def _python(value: Any) -> str | None:
    version = re.fullmatch(r"3\.(\d{1,2})(\.\d{1,2})?t?", value) if isinstance(value, str) else None
    return value if version and int(version[1]) >= 11 else None


def _containment(table: Table, place: str) -> Containment:
    """Read [container]; what it leaves out is as Containment has it."""
    given = Table(f"{place} [container]", table.take("container", "a table", declared_table, default={}))
    usual = Containment()
    read = Containment(
        base=given.take("base", "the name of an image", text, default=usual.base),
        network=given.take("network", '"host" or "bridge"', network, default=usual.network),
        memory_mib=given.take("memory_mib", "a whole number of MiB from 64", _at_least_64, default=usual.memory_mib),
        pids=given.take("pids", "a whole number of processes and threads from 64", _at_least_64, default=usual.pids),
    )
    given.done()
    return read


def _at_least_64(value: Any) -> int | None:
    """Take what lets a server start at all, and an engine accept it."""
    return value if type(value) is int and 64 <= value <= 4_000_000 else None


def network(value: Any) -> Network | None:
    """Take one of the two networks that containers may have."""
    return value if value in ("host", "bridge") else None


def _measures(table: Table, place: str) -> tuple[Measure, ...]:
    def read(value: Any) -> tuple[Measure, ...] | None:
        if not isinstance(value, dict) or not value:
            return None
        found = []
        for scenario, loads in value.items():
            for spelled in each_once(loads) or ("",):
                try:
                    found.append(Measure(scenario=scenario, load=Load.parse(spelled)))
                except ValueError:
                    raise UsageError(
                        f"{place}: the key 'measures.{scenario}' holds {loads!r}; "
                        'expected a list of loads, each once, such as ["closed(64)", "open(500)"].'
                    ) from None
        return tuple(found)

    return table.take("measures", "a table of scenarios, each with a list of loads", read)
