"""What is declared, as a page: every stack with its settings and protocols, and the pairs that cannot run, with why.

Knows declarations and Markdown. Must not know this machine: the page is the same everywhere, and a test holds
docs/stacks.md against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from gatebench.model import Choice, Service, Stack, resolved
from gatebench.stacks import OWN, Stacks, pairs

HEAD = """# Stacks

Made by `gatebench list --markdown` from what is declared in `apps/` and `compose/`; a test keeps it so. An app on a
server of its interface is a stack, `app+server`; nothing lists the pairs. What differs from the default stands in
brackets, `app+server[axis=value,…]`. Which versions all have is in `requirements/stacks.txt`, and `gatebench list
--versions` shows it; `gatebench check` speaks [the contract](../apps/CONTRACT.md) to each.
"""


def markdown(stacks: Stacks, services: Mapping[str, Service]) -> str:
    """Write the whole page."""
    return "\n".join(
        [
            HEAD,
            *_apps(stacks),
            *_axes(stacks),
            *_bridges(stacks),
            *_fronts(stacks),
            *_services(services.values()),
            *_servers(stacks),
            *_cannot(stacks),
        ]
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'|'.join('---' for _ in headings)}|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _apps(stacks: Stacks) -> Iterator[str]:
    yield "## Apps\n"
    rows = [
        (f"`{app.name}`", app.interface.upper(), _code(app.requirements), _reasons(app.lacks))
        for app in stacks.apps.values()
    ]
    yield from _table(("app", "interface", "requires, beside its drivers", "lacks"), rows)


def _axes(stacks: Stacks) -> Iterator[str]:
    yield "## Axes\n"
    yield "The first value is the default. A driver is an axis of all apps whose work is done in the same way.\n"
    rows = [
        (f"every app whose work is `{side}`", f"`{axis}`", _values(choices))
        for side, axes in (stacks.work.axes.items() if stacks.work else ())
        for axis, choices in axes.items()
    ]
    rows += [
        (f"`{app.name}`", f"`{axis}`", _values(choices))
        for app in stacks.apps.values()
        for axis, choices in app.axes.items()
    ]
    yield from _table(("of", "axis", "values"), rows)


def _values(choices: Iterable[Choice]) -> str:
    said = []
    for choice in choices:
        work = f", does its work `{choice.work}`" if choice.work else ""
        instead = "".join(f", with {other} for {one}" for one, other in choice.instead.items())
        said.append(f"`{choice.value}`{work}{instead}")
    return "; ".join(said)


def _bridges(stacks: Stacks) -> Iterator[str]:
    yield "## Bridges\n"
    yield "An app on a server of the other interface, as in `flask+uvicorn[bridge=a2wsgi]`.\n"
    rows = [
        (
            f"`{bridge.name}`",
            taken.upper(),
            f"every {'ASGI' if taken == 'wsgi' else 'WSGI'} server",
            _reasons(takes.lacks),
        )
        for bridge in stacks.bridges.values()
        for taken, takes in bridge.takes.items()
    ]
    rows += [
        (f"`{OWN}`", taken.upper(), f"`{server.name}`, which takes such apps itself", _reasons(takes.lacks))
        for server in stacks.servers.values()
        for taken, takes in server.takes.items()
    ]
    yield from _table(("bridge", "takes apps of", "on", "lacks then"), rows)


def _reasons(lacks: Mapping[str, str]) -> str:
    return "; ".join(f"`{route}`: {reason}" for route, reason in lacks.items())


def _fronts(stacks: Stacks) -> Iterator[str]:
    yield "## Two stacks behind one front\n"
    for front in stacks.fronts.values():
        spelled = f"`{front.name}[asgi=STACK,stage=STAGE,wsgi=STACK]`"
        yield f"{spelled}, as a migration has it: {_settings(front.settings)}.\n"
        rows = [(stage, f"{share:.0%}", f"{1 - share:.0%}") for stage, share in front.stages.items()]
        yield from _table(("stage", "to WSGI", "to ASGI"), rows)


def _services(services: Iterable[Service]) -> Iterator[str]:
    yield "## Services\n"
    rows = []
    for service in services:
        process = _code(service.needs.values()) or _code(service.requirements)
        container = (
            f"`{service.image}`, or {_code(service.packages)}" if service.image else _code(service.requirements)
        )
        rows.append((f"`{service.name}`", f"`{service.variable}`", process, container, _settings(service.settings)))
    yield from _table(("service", "named by", "as a process", "in a container", "settings"), rows)


def _servers(stacks: Stacks) -> Iterator[str]:
    every = pairs(stacks)
    for server in stacks.servers.values():
        yield f"## {server.name}\n"
        tls = " over TLS only" if server.tls else ""
        offers = f"{server.interface.upper()}; offers {', '.join(server.protocols)}{tls}"
        needs = f"; as a process it needs {_code(server.needs.values())}" if server.needs else ""
        yield f"{offers}{needs}.\n"
        yield f"Settings: {_settings(resolved(server.settings))}.\n"
        for name, profile in server.profiles.items():
            started = f"; started by `{' '.join(profile.command)}`" if profile.command else ""
            yield f"Profile `{name}`: {_settings(resolved(profile.settings))}{started}.\n"
        if server.lacks:
            yield f"Lacks {_reasons(server.lacks)}.\n"
        for app, lacks in server.lacks_with.items():
            yield f"With `{app}` it lacks {_reasons(lacks)}.\n"
        yield f"Stacks: {_named(stack for stack in every if stack.server is server)}.\n"


def _named(stacks: Iterable[Stack]) -> str:
    return ", ".join(f"`{stack.name}`" for stack in stacks)


def _cannot(stacks: Stacks) -> Iterator[str]:
    yield "## Pairs that cannot run\n"
    rows = [(f"`{stack.name}`", stack.cannot) for stack in map(stacks.one, stacks) if stack.cannot]
    rows += [
        (f"`{server.name}` with any app but {_code(server.only)}", "it serves nothing else")
        for server in stacks.servers.values()
        if server.only
    ]
    yield from _table(("pair", "why"), rows)


def _settings(settings: Mapping[str, object]) -> str:
    return ", ".join(
        f"{key} {str(value).lower() if isinstance(value, bool) else value}" for key, value in settings.items()
    )


def _code(words: Iterable[str]) -> str:
    return " ".join(f"`{word}`" for word in dict.fromkeys(words))
