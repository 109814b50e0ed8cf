"""Runs several loops of one worker, each on a thread of its own, as if they were one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from refrain.streams.runtime.background import BackgroundThread
from refrain.streams.runtime.context import WorkerContext

LOOK_S = 0.05
"""How often is looked at the loops."""
END_S = 30.0
"""How long loops may take to end in order."""

Loop = Callable[[WorkerContext], None]


class _Seat:
    """What one loop is given in place of the worker's stop and ready, and what it made of them."""

    def __init__(self, done: threading.Event) -> None:
        self._done = done
        self.turned = False
        self.is_ready = False

    def stop(self) -> bool:
        self.turned = True
        return self._done.is_set()

    def ready(self) -> None:
        self.is_ready = True


def run_together(context: WorkerContext, loops: Sequence[Loop]) -> None:
    """Run the loops until the context's `stop`, or until one ends; raises what it raised.

    `stop` is asked, and so the worker seen to live, only when each loop has come round since: one that stands still is
    found as that of a single loop is. The worker is ready when all of them are.
    """
    done = threading.Event()
    seats = [_Seat(done) for _ in loops]
    threads = [
        BackgroundThread(f"loop-{number}", partial(loop, replace(context, stop=seat.stop, ready=seat.ready)))
        for number, (loop, seat) in enumerate(zip(loops, seats, strict=True))
    ]
    while not done.is_set() and all(thread.alive for thread in threads):
        if all(seat.is_ready for seat in seats):
            context.ready()
        if all(seat.turned for seat in seats):
            for seat in seats:
                seat.turned = False
            if context.stop():
                break
        done.wait(LOOK_S)
    done.set()
    for thread in threads:
        thread.join(END_S)
    problem = next((thread.problem for thread in threads if thread.problem is not None), None)
    if problem is not None:
        raise problem
