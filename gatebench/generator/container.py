"""The load generator in a container: where the host cannot share its network, and load must start beside the server.

Knows a container's standard streams. Must not know what the figures mean.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests

from gatebench.backends.containers.backend import Contained, ContainerBackend
from gatebench.generator import Figures, Generator, Job, answered, overdue
from gatebench.machine import require_open_files
from gatebench.model import Placement

SCENARIOS = Path("/srv/scenarios")  # where the image has them


@dataclass(slots=True)
class _Contained:
    contained: Contained

    @property
    def pids(self) -> tuple[int, ...]:
        return self.contained.pids

    def measure(self, job: Job) -> Figures:
        require_open_files(job.load.connections)
        inside = replace(job, scenario=SCENARIOS / job.scenario.name)
        container, engine = self.contained.container, self.contained.engine
        with engine.asked("handing the load generator its job"):
            pipe: Any = container.attach_socket(params={"stdin": 1, "stream": 1})
            connection: socket.socket = pipe._sock  # noqa: SLF001 - what the SDK gives can only be read
            with contextlib.closing(connection), contextlib.closing(pipe):
                connection.sendall(inside.document().encode())
                connection.shutdown(socket.SHUT_WR)
            try:
                code = container.wait(timeout=job.limit_s)["StatusCode"]
            except (requests.Timeout, requests.ConnectionError) as error:
                if "timed out" in str(error).lower():
                    raise overdue(job, self.contained.log()) from error
                raise
            answer = container.logs(stdout=True, stderr=False)
        return answered(answer, f"ended with exit code {code}", self.contained.log())


@dataclass(slots=True)
class ContainedLocust:
    """Starts the generator's image on the network of the backend's servers."""

    backend: ContainerBackend
    name: str = "locust"

    @contextlib.contextmanager
    def start(self, placement: Placement) -> Iterator[Generator]:
        """Start the generator; it loads Locust while the server starts, and then waits for its job."""
        image, words = self.backend.images.generator(), ["python", "-m", "gatebench.swarm"]
        with self.backend.started(
            image, "generator", "generator", words, cpus=placement.generator, stdin=True
        ) as contained:
            yield _Contained(contained)
