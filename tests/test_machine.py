from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench import machine
from gatebench.errors import MachineError
from gatebench.model import Load


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


@pytest.mark.parametrize(("cpus", "wanted", "given"), [(2, 2, 1), (3, 2, 1), (4, 2, 2), (4, 9, 2), (16, 4, 4)])
def test_a_server_has_the_cpus_it_wants_as_far_as_two_are_left_for_the_others(
    cpus: int, wanted: int, given: int
) -> None:
    placement = machine.place(tuple(range(cpus)), server_cpus=wanted)
    assert len(placement.server) == given
    assert not {*placement.server} & {*placement.generator, *placement.services}


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


def test_connections_to_be_held_are_as_many_as_open_files_allow_and_other_loads_stay_as_they_are() -> None:
    limit = machine.raise_open_files()
    assert machine.fitting(Load.parse("hold(100)")) == Load.parse("hold(100)")
    held = machine.fitting(Load(kind="hold", size=999_999))
    assert held.size < min(limit, 999_999)
    machine.require_open_files(held.size)
    assert machine.fitting(Load(kind="closed", size=999_999)).size == 999_999


def test_facts_say_the_same_of_one_machine_twice() -> None:
    facts = machine.facts()
    assert facts == machine.facts()
    assert facts.cpus >= 1
    assert facts.memory_bytes > 2**20
