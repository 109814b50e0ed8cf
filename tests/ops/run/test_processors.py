"""Every processor of the table is started by `run all`, and known to those who look after them."""

from __future__ import annotations

from refrain.ops.run.command import spelled_out
from refrain.ops.run.processors import NAMES
from refrain.schemas.topics import BY_NAME, GROUPS, PROCESSORS


def test_run_all_starts_every_processor() -> None:
    assert spelled_out(["all"]) == list(NAMES)
    assert spelled_out(["lookup", "all"]) == ["lookup", *NAMES]
    assert {"compare", "verify"} <= set(NAMES)


def test_the_doctor_knows_what_every_processor_reads() -> None:
    assert set(GROUPS) == set(NAMES) == set(PROCESSORS)
    for name, topic in GROUPS.items():
        assert name in BY_NAME[topic].readers
