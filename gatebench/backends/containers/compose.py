"""The compose file that starts one stack with its services by hand: text, made of the declarations.

Knows the words that both generations of compose share, and lets the container backend say how each container is
started and confined. Must not know an engine, nor loads or results: nothing is started here.
"""

from __future__ import annotations

import json
import os
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gatebench import declare, envs
from gatebench.backends.containers.backend import confinement, server_command, server_told, service_command
from gatebench.backends.containers.engine import LABEL
from gatebench.backends.containers.images import packages, required, tag
from gatebench.backends.programs import HOST, PLAIN
from gatebench.backends.services import url_of, variables
from gatebench.errors import UsageError
from gatebench.model import Containment, Service, Stack

BASE = "python:3.11-slim"  # as compose/Dockerfile has it: the file must not depend on who prints it
STACK = "stack"
PORT = 8000
PORTS = {"postgresql": 15432, "mysql": 13306, "redis": 16379, "http": 18080}  # the next of a kind has the next
SEED = "/srv/seed.sql"
OFTEN = {"interval": "3s", "timeout": "3s", "retries": 20}
WIDTH = 118
HEADER = """\
# One stack with its services, started by hand: to look at, not to measure (health checks run meanwhile, and nobody
# has CPUs of its own). Made by `gatebench compose {stack}`, with the words and the confinement of
# the container backend; in compose/compose.yaml, a test keeps it in step. The older `docker-compose` takes it, too.
#
#   docker compose -p gatebench -f compose/compose.yaml up
#   curl '{address}/plaintext'
#   docker compose -p gatebench -f compose/compose.yaml down
#
# Any other stack: write its file beside this one, since paths start from there.
#   gatebench compose raw_asgi+uvicorn > compose/other.yaml
#
{images}
#   gatebench check --stack {stack} --backend container
#   {given}docker compose -p gatebench -f compose/compose.yaml up
#
# All are on the host's network and listen on its loopback only. Their ports are free to change, each wherever it
# stands below: {ports}.
"""


IMAGES = """\
Images are built with BuildKit, which an engine before 23.0 uses where DOCKER_BUILDKIT=1 is set. GATEBENCH_BASE
names another image to build on{others}. Where none can be pulled, or packages are reached by an index or a
certificate of your own, gatebench builds them, and compose takes what it finds:"""


def render(
    stack: Stack,
    services: Mapping[str, Service],
    *,
    wanted: Containment | None = None,
    ports: Mapping[str, int] | None = None,
) -> str:
    """Write the compose file of a stack; `ports` names others than usual, by service, the stack's as "stack"."""
    if STACK in services:
        raise UsageError(f"compose/services/{STACK}.toml: a compose file calls the stack so; choose another name.")
    services = _used(stack, services)
    on = {**_usual_ports(services), **(ports or {})}
    confined = _confined(wanted or Containment())
    parts: dict[str, Any] = {STACK: _stack(stack, services, on) | confined}
    for service in services.values():
        parts[service.name] = _service(service, on[service.name]) | confined
        if service.seed is not None:
            parts[_seed_name(service)] = _seed(service, on[service.name]) | confined
    for name, part in parts.items():
        part["labels"] = {LABEL: "compose", f"{LABEL}.name": stack.name if name == STACK else name}
    return _header(stack, services, on) + "\n" + "".join(f"{line}\n" for line in _lines({"services": parts}))


def _used(stack: Stack, services: Mapping[str, Service]) -> dict[str, Service]:
    """Leave out what this stack has no use for: who stands in for another service, or for whom another stands in."""
    shared = declare.work(stack.server.folder.parent)
    sides = [stack.app.axes, *(shared.axes.values() if shared else ())]
    choices = [choice for axes in sides for values in axes.values() for choice in values]
    stand_ins = {name for choice in choices for name in choice.instead.values()}
    used = {stack.service(name) for name in services if name not in stand_ins}
    return {name: service for name, service in services.items() if name in used}


def _header(stack: Stack, services: Mapping[str, Service], ports: Mapping[str, int]) -> str:
    official = [service for service in services.values() if service.image]
    others = "".join(f", {_variable(service)} another {service.name}" for service in official)
    return HEADER.format(
        stack=stack.name,
        address=f"http://{HOST}:{ports[STACK]}",
        images=textwrap.fill(IMAGES.format(others=others), WIDTH, initial_indent="# ", subsequent_indent="# "),
        given="".join(f"export {_variable(service)}={tag(service.name)}\n#   " for service in official),
        ports=", ".join(f"{ports[name]} ({name})" for name in (STACK, *services)),
    )


def _usual_ports(services: Mapping[str, Service]) -> dict[str, int]:
    following, found = dict(PORTS), {STACK: PORT}
    for service in services.values():
        found[service.name] = following[service.kind]
        following[service.kind] += 1
    return found


def _stack(stack: Stack, services: Mapping[str, Service], ports: Mapping[str, int]) -> dict[str, Any]:
    urls = {service.variable: url_of(service, ports[service.name]) for service in services.values()}
    # What its image's own health check asks for.
    ready = f"{stack.scheme}://{HOST}:{ports[STACK]}{stack.ready}"
    told = {**server_told(stack, urls), "GATEBENCH_READY": ready}
    lines = _required(stack.server.folder, stack.requirements)
    arguments = {"APP": stack.app.name, "STACK": stack.name, "REQUIREMENTS": lines, **packages(stack)}
    needed: dict[str, Any] = {}
    for service in services.values():
        healthy = _asks(service, ports[service.name]) is not None
        needed[service.name] = {"condition": "service_healthy" if healthy else "service_started"}
        if service.seed is not None:
            needed[_seed_name(service)] = {"condition": "service_completed_successfully"}
    return {
        **_built(stack.name, "stack", arguments),
        **({"depends_on": needed} if needed else {}),
        **_run(server_command(stack, HOST, ports[STACK]), told),
    }


def _service(service: Service, port: int) -> dict[str, Any]:
    asks = _asks(service, port)
    return {
        **_image(service),
        **_run(service_command(service, HOST, port), variables(service), service.user),
        **({"healthcheck": _escaped({"test": asks}) | OFTEN} if asks else {}),
    }


def _asks(service: Service, port: int) -> list[str] | None:
    """Give the words of its health check; None where none would surely run in it: it is neither built nor known."""
    url = url_of(service, port)
    if service.kind == "postgresql":
        return ["CMD", "pg_isready", "--quiet", "--dbname", url]
    if service.kind == "mysql":
        return ["CMD", *_mariadb(url), "--execute", "select 1"]
    if service.kind == "redis":
        return ["CMD", "redis-cli", "-h", HOST, "-p", str(port), "ping"]
    if service.image is not None:
        return None
    return ["CMD", "python", "-c", f"import urllib.request as r; r.urlopen('{url}/health', timeout=2)"]


def _mariadb(url: str) -> list[str]:
    """Give the words that speak to a database of MariaDB."""
    told = urlsplit(url)
    return [
        *("mariadb", "--no-defaults", f"--host={told.hostname}", f"--port={told.port}", f"--user={told.username}"),
        f"--database={told.path.removeprefix('/')}",
    ]


def _seed(service: Service, port: int) -> dict[str, Any]:
    """Fill the database once it answers, and again at every `up`: nothing of it outlives its container."""
    url = url_of(service, port)
    if service.kind == "mysql":
        name = urlsplit(url).path.removeprefix("/")
        again = f"(echo 'drop database {name}; create database {name}; use {name};' && cat {SEED})"
        words = ["sh", "-c", f"{again} | {shlex.join(_mariadb(url))}"]
    else:
        again = "drop schema if exists public cascade; create schema public"
        words = [
            *("psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1"),
            *("--command", again, "--file", SEED, url),
        ]
    # The long form: where the file is missing, the short one would make a folder in its place.
    mount = {"type": "bind", "source": _beside(service), "target": SEED, "read_only": True}
    return {
        **_image(service),
        "depends_on": {service.name: {"condition": "service_healthy"}},
        **_run(words, {}, service.user),
        "volumes": [mount],
    }


def _seed_name(service: Service) -> str:
    return f"{service.name}.seed"  # no service's own name has a full stop


def _beside(service: Service) -> str:
    """Name the file with the seed as seen from compose/, which relative paths start from."""
    return f"./{os.path.relpath(service.seed or '', service.folder.parent)}"


def _image(service: Service) -> dict[str, Any]:
    if service.image is not None:
        return {"image": f"${{{_variable(service)}:-{service.image}}}"}
    lines = _required(service.folder.parent, service.requirements)
    return _built(service.name, "service", {"SERVICE": service.name, "REQUIREMENTS": lines})


def _required(compose: Path, requirements: Sequence[str]) -> str:
    """Spell what is to be installed with the versions of the lock, which a build by hand sees."""
    return required(envs.lock_of(compose.parent), requirements)


def _variable(service: Service) -> str:
    return f"{LABEL}_{service.name}_image".upper().replace("-", "_")


def _built(name: str, target: str, arguments: Mapping[str, str]) -> dict[str, Any]:
    return {
        "image": tag(name),
        "build": {
            "context": "..",
            "dockerfile": "compose/Dockerfile",
            "target": target,
            "args": {**arguments, "BASE": f"${{GATEBENCH_BASE:-{BASE}}}"},
        },
    }


def _run(words: Sequence[str], told: Mapping[str, str], user: str | None = None) -> dict[str, Any]:
    run: dict[str, Any] = _escaped(
        {
            "entrypoint": [words[0]],
            "command": list(words[1:]),
            "environment": {**PLAIN, **told},
            **({"user": user} if user else {}),
        }
    )
    return {**run, "network_mode": "host"}


def _confined(wanted: Containment) -> dict[str, Any]:
    """Give the confinement as compose spells it."""
    given = confinement(wanted)
    return {**given, "tmpfs": [f"{place}:{options}" for place, options in given["tmpfs"].items()]}


def _escaped(value: Any) -> Any:
    """Keep compose from putting variables in the place of what a declaration says."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value]


def _lines(table: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Write a table as YAML: blocks for tables, and JSON, which is YAML too, for all else."""
    indent = "  " * depth
    for number, (key, value) in enumerate(table.items()):
        if depth == 1 and number:
            yield ""
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _lines(value, depth + 1)
        else:
            yield from _wrapped(f"{indent}{key}: ", value)


def _wrapped(key: str, value: Any) -> Iterator[str]:
    line = key + _json(value)
    if not isinstance(value, list) or len(line) <= WIDTH:
        yield line
        return
    yield f"{key}["
    indent = " " * (len(key) - len(key.lstrip()) + 2)
    line = indent
    for number, item in enumerate(value):
        word = _json(item) + ("]" if number == len(value) - 1 else ", ")
        if line != indent and len(line) + len(word.rstrip()) > WIDTH:
            yield line.rstrip()
            line = indent
        line += word
    yield line


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
