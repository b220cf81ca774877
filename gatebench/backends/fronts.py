"""What stands in front of two stacks: nginx's configuration, and the words that start it.

Knows the placeholders of compose/fronts/nginx.conf.template. Must not know stacks, nor how a process is started.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gatebench.backends.programs import HOST, Program, Serving
from gatebench.backends.services import Services
from gatebench.errors import UsageError
from gatebench.model import Mixed, Placement, Setting, Stack

HEADER = "X-Backend"  # in which it tells who has answered, "wsgi" or "asgi"
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")  # nginx's own braces have white space beside them
SHARE = "{wsgi_share}"


def render(
    template: str, *, host: str, port: int, wsgi_port: int, asgi_port: int, wsgi_share: float, scratch: Path | str
) -> str:
    """Fill the template; `wsgi_share` is in percent, with two decimals, of what belongs to neither stack by its path.

    nginx knows no share of nothing: for 0 that line is left out.
    """
    share = round(wsgi_share, 2)
    if not 0 <= share <= 100:
        raise UsageError(f"The share of the WSGI stack is {wsgi_share}; expected percent, from 0 to 100.")
    given = {
        "host": host,
        "port": str(port),
        "wsgi_port": str(wsgi_port),
        "asgi_port": str(asgi_port),
        "wsgi_share": f"{share:.2f}",
        "scratch": str(scratch),
    }

    def filled(found: re.Match[str]) -> str:
        if found[1] not in given:
            known = ", ".join("{" + name + "}" for name in given)
            raise UsageError(f"The front's template has {found[0]}, which nothing fills; known are {known}.")
        return given[found[1]]

    code = (line for line in template.splitlines() if not line.lstrip().startswith("#"))
    kept = (line for line in code if share or SHARE not in line)
    return "".join(f"{PLACEHOLDER.sub(filled, line)}\n" for line in kept)


def command(config_path: Path) -> list[str]:
    """Give the words that start it in the foreground; no path of Debian's own is opened."""
    return ["nginx", "-e", "stderr", "-p", f"{config_path.parent}/", "-c", str(config_path)]


class Server(Protocol):
    """A backend, as far as two stacks and a front need one."""

    def serve(self, stack: Stack, placement: Placement, services: Services) -> AbstractContextManager[Serving]:
        """Start a stack."""
        ...

    def serve_front(
        self, mixed: Mixed, placement: Placement, ports: tuple[int, int]
    ) -> AbstractContextManager[Serving]:
        """Start the front of two stacks that answer on these ports, WSGI first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Three:
    """The front and both stacks, as if they were one program."""

    parts: Mapping[str, Program]

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(pid for part in self.parts.values() for pid in part.pids)

    def fault(self) -> str | None:
        found = ((name, part.fault()) for name, part in self.parts.items())
        return next((f"({name}) {fault}" for name, fault in found if fault), None)

    def log(self) -> str:
        return " | ".join(f"{name}: {part.log()}" for name, part in self.parts.items())


@contextlib.contextmanager
def serving(server: Server, mixed: Mixed, placement: Placement, services: Services) -> Iterator[Serving]:
    """Start both stacks, then the front, on the CPUs of the server; on leaving, end all."""
    with (
        server.serve(mixed.wsgi, placement, services) as wsgi,
        server.serve(mixed.asgi, placement, services) as asgi,
        server.serve_front(mixed, placement, (wsgi.port, asgi.port)) as front,
    ):
        programs = {mixed.front.name: front.program, mixed.wsgi.name: wsgi.program, mixed.asgi.name: asgi.program}
        took = wsgi.ready_s + asgi.ready_s + front.ready_s
        yield Serving(host=front.host, port=front.port, program=_Three(parts=programs), ready_s=took)


def words(mixed: Mixed, port: int, ports: tuple[int, int], scratch: str) -> list[str]:
    """Give what writes the configuration and becomes the front: the same as a process and in a container."""
    config = Path(scratch, "nginx.conf")
    text = render(
        mixed.front.template,
        host=HOST,
        port=port,
        wsgi_port=ports[0],
        asgi_port=ports[1],
        wsgi_share=100 * mixed.wsgi_share,
        scratch=scratch,
    )
    script = 'printf %s "$1" > "$0" && shift && exec "$@"'
    return ["sh", "-c", script, str(config), text, *command(config)]


def described(parts: Mapping[str, Mapping[str, Mapping[str, Setting]]]) -> dict[str, dict[str, Setting]]:
    """Say of both stacks what a backend says of each, by stack."""
    found: dict[str, dict[str, Setting]] = {}
    for name, facts in parts.items():
        for part, values in facts.items():
            found.setdefault(part, {}).update({f"{name} {key}": value for key, value in values.items()})
    return found
