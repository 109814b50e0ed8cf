"""Every processor of the table is started by `run all`, and known to those who look after them."""

from __future__ import annotations

import gc

from refrain.ops.run.command import spelled_out
from refrain.ops.run.loading import uncollected
from refrain.ops.run.processors import NAMES, ON_DEMAND
from refrain.schemas.topics import BY_NAME, CONSUMING, GROUPS, PROCESSORS
from refrain.streams.settings import Edge, Settings


def test_run_all_starts_every_processor_and_those_on_demand_where_they_are_enabled() -> None:
    plain, with_edge = Settings(), Settings(edge=Edge(enabled=True))
    assert set(spelled_out(["all"], plain)) == set(NAMES) - set(ON_DEMAND)
    assert spelled_out(["lookup", "all"], with_edge) == ["lookup", *NAMES]
    assert spelled_out(["edge"], plain) == ["edge"]
    assert {"compare", "verify"} <= set(spelled_out(["all"], plain))


def test_the_doctor_knows_what_every_processor_reads() -> None:
    assert set(NAMES) == set(PROCESSORS)
    assert set(GROUPS) == set(CONSUMING)
    for name, topic in GROUPS.items():
        assert name in BY_NAME[topic].readers


def test_what_is_loaded_is_not_looked_through_for_garbage_and_the_collector_is_as_it_was() -> None:
    frozen = gc.get_freeze_count()
    with uncollected():
        assert not gc.isenabled()
        kept: list[list[int]] = [[] for _ in range(1_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(kept)
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
