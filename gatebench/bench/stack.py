"""Raw ASGI on uvicorn, the stack that the benchmark borrows from the harness: with its own app, or with another.

Knows how a declared stack is prepared and served. Must not know what is measured with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gatebench.backends.process import ProcessBackend
from gatebench.backends.services import Services
from gatebench.bench.outcome import Settings
from gatebench.bench.parties import Server
from gatebench.session import Tree

NAME = "raw_asgi+uvicorn"
NO_SERVICES = Services(urls={}, variables={}, pids=(), facts={})


@contextlib.contextmanager
def serving(settings: Settings, target: tuple[Path, str] | None = None) -> Iterator[Server]:
    """Serve it with one worker; `target` names another app by its folder and by module:name."""
    stack = Tree.load(settings.root).stacks.one(NAME)
    backend = ProcessBackend(root=settings.root, scratch=settings.scratch)
    settings.told(f"environment of {NAME}")
    backend.prepare(stack)
    if target is not None:
        stack = replace(stack, app=replace(stack.app, folder=target[0], target=target[1]))
    with backend.serve(stack, settings.placement, NO_SERVICES) as found:
        yield Server(found.program.pids, found.port)
