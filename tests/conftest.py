"""What tests share: the tree, and real services that are started once and only where a test asks for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatebench import declare
from gatebench.backends.containers.engine import Engine, find
from gatebench.backends.containers.images import Images
from gatebench.backends.process import starter
from gatebench.backends.programs import scratch_folder
from gatebench.backends.services import Services, running
from gatebench.backends.serving import missing
from gatebench.errors import MachineError
from gatebench.machine import usable_cpus
from gatebench.model import Containment

ROOT = Path(__file__).parent.parent

# Where a test leaves the choice open, an engine that happens to run does not decide what is tested.
os.environ.setdefault("GATEBENCH_BACKEND", "process")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def services(root: Path) -> Iterator[Services]:
    """Start those services whose programs are on this machine."""
    wanted = [service for service in declare.services(root).values() if not missing(service.needs)]
    with scratch_folder() as scratch, running(wanted, starter(root, scratch, usable_cpus())) as started:
        yield started


@pytest.fixture(scope="session")
def postgres_url(services: Services) -> str:
    return services.urls["postgres"]


@pytest.fixture(scope="session")
def upstream_url(services: Services) -> str:
    return services.urls["upstream"]


@pytest.fixture(scope="session")
def engine(root: Path) -> Engine:
    """The Docker engine of this machine; a test is skipped where none answers, or has nothing to build images on."""
    version = ".".join(map(str, sys.version_info[:2]))
    try:
        found = find()
        Images(engine=found, root=root, scratch=root, python=version, wanted=Containment()).base()
    except MachineError as error:
        pytest.skip(str(error))
    return found
