from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench import machine
from gatebench.errors import MachineError


@given(st.sets(st.integers(0, 63), min_size=2))
def test_server_and_generator_never_share_where_there_are_two_cpus(cpus: set[int]) -> None:
    placement = machine.place(tuple(sorted(cpus)))
    assert not set(placement.server) & set(placement.generator)
    assert not set(placement.server) & set(placement.services)
    assert {*placement.server, *placement.generator, *placement.services} == cpus


def test_on_two_cpus_services_run_beside_the_generator_and_it_is_said() -> None:
    placement = machine.place((0, 1))
    assert placement.services == placement.generator
    assert placement.shared == "services run beside the generator"


def test_on_four_cpus_all_are_apart() -> None:
    assert machine.place((0, 1, 2, 3)).shared is None


def test_on_one_cpu_all_share_it_and_it_is_said() -> None:
    assert "share every CPU" in (machine.place((5,)).shared or "")


def test_a_plan_that_wants_more_cpus_than_there_are_is_refused() -> None:
    with pytest.raises(MachineError, match="lower 'server_cpus'"):
        machine.place((0, 1), server_cpus=2)


def test_pinning_ends_with_its_block() -> None:
    before = os.sched_getaffinity(0)
    one = min(before)
    with machine.pinned((one,)):
        assert os.sched_getaffinity(0) == {one}
    assert os.sched_getaffinity(0) == before


def test_more_connections_than_open_files_are_refused_with_what_helps() -> None:
    limit = machine.raise_open_files()
    with pytest.raises(MachineError, match=rf"ulimit -n {limit + 100}"):
        machine.require_open_files(limit)
    machine.require_open_files(10)


def test_facts_say_the_same_of_one_machine_twice() -> None:
    facts = machine.facts()
    assert facts == machine.facts()
    assert facts.cpus >= 1
    assert facts.memory_bytes > 2**20
