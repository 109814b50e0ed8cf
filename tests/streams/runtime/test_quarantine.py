"""A stateless processor sets aside a record that has ended it twice, and works every other one."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.progress import progress_of
from refrain.streams.runtime.stateless import Step, run_stateless
from refrain.streams.settings import Settings

POISON = b"the text that ends a worker"


TOPICS = {"observations": 1, "comparisons": 1, "responses": 1, "dead-letters": 1}


class Killed(BaseException):
    """The process ends here."""


class Copies(Step):
    """Copies records; a poisoned one ends the process, and `deadly` ones even when they are read to tell of them."""

    def __init__(self, ended: list[int], deadly: Collection[int] = ()) -> None:
        self._ended = ended
        self._deadly = deadly

    def tell(self, record: Record, refusal: Refusal) -> Sequence[Outgoing]:
        if record.offset in self._deadly:
            self._ended.append(record.offset)
            raise Killed
        return [Outgoing("responses", None, b"%d" % record.offset, (), 0)]

    def process(self, batch: Sequence[Record]) -> Sequence[Outgoing]:
        for record in batch:
            if record.value == POISON:
                self._ended.append(record.offset)
                raise Killed
        return [Outgoing("comparisons", None, record.value, (), 0) for record in batch]


def life(cluster: MemoryCluster, folder: Path, batch_max: int, ended: list[int], deadly: Collection[int] = ()) -> bool:
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
        step = Copies(ended, deadly)
        consumer = cluster.consumer("observations", "copy")
        run_stateless("copy", consumer, cluster.producer(), step, context, batch_max=batch_max)
    except Killed:
        return False
    return True


@pytest.mark.parametrize("batch_max", [1, 4, 100])
@pytest.mark.parametrize("poison", [(0,), (5,), (11,), (3, 4), (0, 6, 11)])
def test_a_poisoned_record_ends_two_workers_and_is_set_aside(
    tmp_path: Path, batch_max: int, poison: tuple[int, ...]
) -> None:
    cluster = MemoryCluster(lambda: 1, TOPICS)
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
    told = [each.value for each in cluster.records("responses")]
    assert set(told) == {b"%d" % number for number in poison}, "who waits is told"


@pytest.mark.parametrize("batch_max", [1, 4, 100])
@pytest.mark.parametrize("deadly", [(3,), (0, 3), (0, 6, 11)])
def test_of_a_record_that_ends_its_worker_even_when_it_is_told_of_nobody_is_told(
    tmp_path: Path, batch_max: int, deadly: tuple[int, ...]
) -> None:
    cluster = MemoryCluster(lambda: 1, TOPICS)
    poison = {0, 3, 6, 11}
    values = [POISON if number in poison else b"%d" % number for number in range(12)]
    cluster.append([Outgoing("observations", None, value, (), 0) for value in values])
    ended: list[int] = []
    while not life(cluster, tmp_path, batch_max, ended, deadly):
        assert len(ended) <= 3 * len(poison)
    assert {record.value for record in cluster.records("comparisons")} == set(values) - {POISON}
    letters = cluster.records("dead-letters")
    assert {int(dict(each.headers)["refrain.dead.offset"] or b"") for each in letters} == poison
