"""Notes which forward is in hand on the thread that calls models, step by step.

Many calls are under way there, and wait for their answers most of the time: to wait ends no process. What can end it
is a step between two waits, and the thread works one step at a time. So a note around each step tells the one forward
at which a worker ended, however many were open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from refrain.streams.runtime.progress import Progress

T = TypeVar("T")


class Stepped(Generic[T]):
    """An awaitable that runs a call, with the offset of its forward noted while one of its steps runs."""

    def __init__(self, call: Coroutine[Any, Any, T], progress: Progress, partition: int, offset: int) -> None:
        self._call = call
        self._progress = progress
        self._place = partition, offset

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._call.__await__()
        failure: BaseException | None = None
        sent: Any = None
        while True:
            self._progress.begin_step(*self._place)
            try:
                awaited = steps.send(sent) if failure is None else steps.throw(failure)
            except StopIteration as end:
                self._progress.end_steps(*self._place)
                result: T = end.value
                return result
            except BaseException as error:
                if _ends_the_call_alone(error):
                    self._progress.end_steps(*self._place)
                else:
                    # The note stays as it is, whatever becomes of the other calls meanwhile.
                    self._progress.close()
                raise
            self._progress.end_step(*self._place)
            failure = sent = None
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - it is the call's: thrown into it at its next step
                failure = error


def _ends_the_call_alone(error: BaseException) -> bool:
    """Whether the worker goes on after that, so that nothing is noted of the forward."""
    return isinstance(error, asyncio.CancelledError | GeneratorExit) or (
        isinstance(error, Exception) and not isinstance(error, MemoryError)
    )
