"""Processes: jobs on partitions of one cluster, each in a process that has a client of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from ctypes import c_longlong
from typing import Any, TypeVar

from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Cluster
from refrain.streams.settings import Settings

POLL_S = 0.2
NICENESS = 10
"""Those who answer questions go first."""

Job = TypeVar("Job")
Result = TypeVar("Result")
Step = Callable[[int], None]
"""Called for each step of a job."""
Work = Callable[[Cluster, Job, Step], Result]
Progress = Callable[[int], None]
"""Told how many steps all jobs have done together."""


def in_processes(
    settings: Settings, work: Work[Job, Result], jobs: Sequence[Job], processes: int, progress: Progress
) -> Iterator[tuple[int, Result]]:
    """Do jobs in processes that share nothing but counters; yields results as they come, with their job's place.

    `work` is a function of a module, and jobs and results can be pickled. What a job raises is raised here; the
    processes end at once then, and where this one is interrupted.
    """
    context = multiprocessing.get_context("spawn")
    counters = context.Array(c_longlong, len(jobs))
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(processes, context, _begin, (settings, counters)) as pool:
        try:
            with uninterrupted():
                places = {pool.submit(_one, work, place, job): place for place, job in enumerate(jobs)}
            for done in _as_done(places, lambda: progress(sum(counters[:]))):
                yield places[done], done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def _as_done(futures: dict[Future[Result], int], look: Callable[[], None]) -> Iterator[Future[Result]]:
    """Each that is done, as soon as it is; `look` is called now and then."""
    left = set(futures)
    while left:
        done, left = wait(left, POLL_S, FIRST_COMPLETED)
        look()
        yield from done


_SHARED: list[tuple[Cluster, Any]] = []
"""In a process of the pool: its cluster, and the steps that each job has done, which all processes share."""


def _begin(settings: Settings, counters: Any) -> None:
    _SHARED.append((KafkaCluster(settings), counters))
    os.nice(NICENESS)


def _one(work: Work[Job, Result], place: int, job: Job) -> Result:
    ((cluster, counters),) = _SHARED

    def step(_: int) -> None:
        counters[place] += 1

    return work(cluster, job, step)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Processes that are begun in the block have no Ctrl-C of their own, which they would answer with a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
