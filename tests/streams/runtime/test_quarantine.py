"""A stateless processor sets aside a record that has ended it twice, and works every other one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.progress import progress_of
from refrain.streams.runtime.stateless import Step, run_stateless
from refrain.streams.settings import Settings

POISON = b"the text that ends a worker"


class Killed(BaseException):
    """The process ends here."""


class Copies(Step):
    """Copies records; a poisoned one ends the process."""

    def __init__(self, ended: list[int]) -> None:
        self._ended = ended

    def process(self, batch: Sequence[Record]) -> Sequence[Outgoing]:
        for record in batch:
            if record.value == POISON:
                self._ended.append(record.offset)
                raise Killed
        return [Outgoing("comparisons", None, record.value, (), 0) for record in batch]


def life(cluster: MemoryCluster, folder: Path, batch_max: int, ended: list[int]) -> bool:
    """One worker's life; False when it is killed."""
    rounds = itertools.count()
    context = WorkerContext(
        Settings(),
        cluster,
        Metrics(),
        stop=lambda: next(rounds) > 30,
        ready=lambda: None,
        now_ms=lambda: 1,
        progress=lambda group, topic: progress_of(folder, group, cluster.topic_id(topic), cluster.partitions(topic)),
    )
    try:
        run_stateless("copy", cluster.consumer("observations", "copy"), cluster.producer(), Copies(ended), context,
                      batch_max=batch_max)  # fmt: skip
    except Killed:
        return False
    return True


@pytest.mark.parametrize("batch_max", [1, 4, 100])
@pytest.mark.parametrize("poison", [(0,), (5,), (11,), (3, 4), (0, 6, 11)])
def test_a_poisoned_record_ends_two_workers_and_is_set_aside(
    tmp_path: Path, batch_max: int, poison: tuple[int, ...]
) -> None:
    cluster = MemoryCluster(lambda: 1, {"observations": 1, "comparisons": 1, "dead-letters": 1})
    values = [POISON if number in poison else b"%d" % number for number in range(12)]
    cluster.append([Outgoing("observations", None, value, (), 0) for value in values])
    ended: list[int] = []
    while not life(cluster, tmp_path, batch_max, ended):
        assert len(ended) <= 2 * len(poison)
    assert {record.value for record in cluster.records("comparisons")} == set(values) - {POISON}
    letters = cluster.records("dead-letters")
    assert {int(dict(each.headers)["refrain.dead.offset"] or b"") for each in letters} == set(poison)
    assert all((dict(each.headers)["refrain.dead.reason"] or b"").startswith(b"quarantined: ") for each in letters)
    assert all(each.value is None and each.key is None for each in letters)
