"""The process backend: stacks and services as plain processes, pinned to CPUs, in sessions of their own.

Knows how a stack's command and surroundings are made. Must not know loads, scenarios or results.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from gatebench import envs
from gatebench.backends.programs import HOST, Serving, answers, started, surroundings
from gatebench.backends.resources import Watch
from gatebench.backends.services import Services, running
from gatebench.declare import fill
from gatebench.model import Placement, Service, Setting, Stack


@dataclass(slots=True)
class ProcessBackend:
    """Starts everything as processes of this user, with files under a private folder."""

    root: Path
    scratch: Path
    name: str = "process"
    _environments: dict[str, envs.Environment] = field(default_factory=dict)

    def prepare(self, stack: Stack) -> Mapping[str, str]:
        """Build the stack's environment where there is none, and give the versions in it."""
        requirements = (*stack.app.requirements, *stack.server.requirements)
        self._environments[stack.name] = envs.prepare(self.root, "stacks", stack.name, requirements)
        return self._environments[stack.name].versions

    @contextlib.contextmanager
    def serve(self, stack: Stack, placement: Placement, services: Services) -> Iterator[Serving]:
        """Start the stack and wait until it answers; on leaving, end it."""
        environment = self._environments[stack.name]
        apps = stack.app.folder.parent
        variables = {
            **surroundings(),
            **services.variables,
            "GATEBENCH_POOL_SIZE": str(stack.server.settings["pool_size"]),
            "PYTHONPATH": f"{apps}{os.pathsep}{stack.app.folder}",
        }

        def command(port: int) -> list[str]:
            given: dict[str, Setting] = {"python": str(environment.python), "host": HOST, "port": port}
            return fill(stack.server.command, {**stack.server.settings, **given, "target": stack.app.target})

        with started(
            stack.name,
            command,
            ready=lambda port: answers(f"http://{HOST}:{port}/plaintext"),
            cpus=placement.server,
            variables=variables,
            folder=stack.app.folder,
            logs=self.scratch,
        ) as serving:
            yield serving

    @contextlib.contextmanager
    def serve_nothing(self, placement: Placement, *, close: bool, websocket: bool) -> Iterator[Serving]:
        """Start the do-nothing server where a stack would be, to see how fast the generator is by itself."""
        options = [*(["--close"] * close), *(["--websocket"] * websocket)]
        with started(
            "nothing",
            lambda port: [sys.executable, "-m", "gatebench.nothing", "--port", str(port), *options],
            ready=lambda port: answers(f"http://{HOST}:{port}/plaintext"),
            cpus=placement.server,
            variables=surroundings(),
            folder=self.scratch,
            logs=self.scratch,
        ) as serving:
            yield serving

    def services(self, wanted: Sequence[Service], placement: Placement) -> AbstractContextManager[Services]:
        """Start the services, or take those that the environment names; on leaving, end what was started."""
        return running(wanted, root=self.root, scratch=self.scratch, cpus=placement.services)

    def watch(self, placement: Placement, serving: Serving, services: Services, generator: int) -> Watch:
        """Make the watch over a trial's parties."""
        watch = Watch(placement)
        watch.add("server", [serving.pid])
        watch.add("generator", [generator])
        watch.add("services", services.pids)
        return watch
