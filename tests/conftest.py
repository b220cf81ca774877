"""What tests share: the tree, and real services that are started once and only where a test asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatebench import declare
from gatebench.backends.programs import scratch_folder
from gatebench.backends.services import Services, running
from gatebench.machine import usable_cpus

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def services(root: Path) -> Iterator[Services]:
    wanted = list(declare.services(root).values())
    with scratch_folder() as scratch, running(wanted, root=root, scratch=scratch, cpus=usable_cpus()) as started:
        yield started


@pytest.fixture(scope="session")
def postgres_url(services: Services) -> str:
    return services.urls["postgres"]


@pytest.fixture(scope="session")
def upstream_url(services: Services) -> str:
    return services.urls["upstream"]
