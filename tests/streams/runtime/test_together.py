"""Several loops of one worker are one to whoever looks at it: alive, ready and ended together."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.together import Loop, run_together
from refrain.streams.settings import Settings


def run(loops: list[Loop], stop: Callable[[], bool], ready: Callable[[], None] = lambda: None) -> None:
    context = WorkerContext(Settings(), MemoryCluster(lambda: 1, {}), Metrics(), stop, ready, now_ms=lambda: 1)
    run_together(context, loops)


def test_all_loops_run_until_the_worker_is_to_stop() -> None:
    both = threading.Barrier(2, timeout=20)
    turns = [0, 0]

    def loop_of(number: int) -> Loop:
        def loop(context: WorkerContext) -> None:
            both.wait()
            while not context.stop():
                turns[number] += 1
                context.ready()

        return loop

    told: list[bool] = []
    run([loop_of(0), loop_of(1)], lambda: len(told) > 2, lambda: told.append(True))
    assert min(turns) > 0


def test_a_loop_that_stands_still_is_no_sign_of_life_and_makes_nobody_ready() -> None:
    asked: list[bool] = []
    goes, rounds = threading.Event(), threading.Event()

    def stands(context: WorkerContext) -> None:
        rounds.wait(20)
        assert asked == []
        goes.set()
        while not context.stop():
            pass

    def turns(context: WorkerContext) -> None:
        for number in range(10_000):
            context.ready()
            if context.stop():
                return
            if number == 1_000:
                rounds.set()
                goes.wait(20)
        while not context.stop():
            pass

    def stop() -> bool:
        asked.append(True)
        return True

    run([stands, turns], stop, lambda: pytest.fail("one of them is not ready"))
    assert asked


def test_what_ends_one_loop_ends_the_worker() -> None:
    def fails(context: WorkerContext) -> None:
        raise ClusterFailed("gone")

    def goes_on(context: WorkerContext) -> None:
        while not context.stop():
            pass

    with pytest.raises(ClusterFailed, match="gone"):
        run([goes_on, fails], lambda: False)
