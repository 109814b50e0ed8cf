"""The loop of stateless processors: how much a step is given at once, and what it is told of each poll."""

from __future__ import annotations

from collections.abc import Sequence

from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.stateless import Behind, Step, run_stateless
from refrain.streams.settings import Settings

NOW_MS = 12


class Sized(Step):
    """Wants so many records of each poll, and writes down what it is told and given."""

    def __init__(self, *wanted: int) -> None:
        self._wanted = iter(wanted)
        self.limits: set[int] = set()
        self.polled_: list[tuple[int, dict[int, int], int]] = []
        self.processed: list[int] = []

    def wanted(self, batch_max: int) -> int:
        self.limits.add(batch_max)
        return next(self._wanted)

    def polled(self, batch: Sequence[Record], behind: Behind, now_ms: int) -> None:
        assert len(self.processed) == sum(size > 0 for size, _, _ in self.polled_), "each batch is told before it comes"
        self.polled_.append((len(batch), dict(behind()), now_ms))

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        self.processed.append(len(batch))
        return []


class Whole(Step):
    """Says nothing of sizes."""

    def __init__(self) -> None:
        self.processed: list[int] = []

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        self.processed.append(len(batch))
        return []


def run(step: Step, *, records: int, rounds: int, batch_max: int) -> None:
    cluster = MemoryCluster(lambda: NOW_MS, {"requests": 1})
    cluster.append([Outgoing("requests", b"k", b"x")] * records)
    left = iter(range(rounds + 1))
    context = WorkerContext(
        Settings(),
        cluster,
        Metrics(),
        stop=lambda: next(left) == rounds,
        ready=lambda: None,
        now_ms=lambda: NOW_MS,
    )
    run_stateless("p", cluster.consumer("requests", "p"), cluster.producer(), step, context, batch_max=batch_max)


def test_a_step_is_given_as_many_records_as_it_wants() -> None:
    step = Sized(1, 3, 2, 7)
    run(step, records=8, rounds=4, batch_max=50)
    assert step.processed == [1, 3, 2, 2]
    assert step.limits == {50}


def test_a_step_is_told_of_each_poll_with_what_is_left() -> None:
    step = Sized(2, 2, 2)
    run(step, records=3, rounds=3, batch_max=50)
    assert step.polled_ == [(2, {0: 1}, NOW_MS), (1, {0: 0}, NOW_MS), (0, {0: 0}, NOW_MS)]


def test_a_step_that_says_nothing_is_given_whole_batches() -> None:
    step = Whole()
    run(step, records=8, rounds=3, batch_max=5)
    assert step.processed == [5, 3]
