"""Calls the model: an event loop on a thread of its own, with a bounded number of calls under way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from refrain.schemas.forwards import Forward
from refrain.streams.errors import RefusalCode
from refrain.streams.runtime.background import BackgroundThread
from refrain.streams.runtime.barrier import passes, unforeseen
from refrain.streams.upstream.model import Answer, Model, failed_answer

CLOSE_WAIT_S = 5.0

logger = logging.getLogger(__name__)


class CallResult(NamedTuple):
    """The result of a forward. `called` is false when its deadline had passed before its turn."""

    id: str
    """By which the forward is known again (`call_id`)."""
    forward: Forward
    answer: Answer
    latency_ms: float
    called: bool


StepByStep = Callable[[str, Coroutine[Any, Any, Answer]], Awaitable[Answer]]
"""Runs the call of the forward of that id."""


class Calls:
    """Calls `make_model()`'s model for each forward, in order, `concurrency` at a time.

    `wanted` is asked at a forward's turn: one that nobody wants any more is left out. `finished` gets every other
    one. Both are called in the loop's thread and must be quick; `step_by_step` runs each call there. A call that raises
    costs its forward alone: that gets a failed answer. A model that cannot be made ends the loop, and `problem` holds
    why.
    """

    def __init__(
        self,
        make_model: Callable[[], Model],
        concurrency: int,
        wanted: Callable[[str], bool],
        finished: Callable[[CallResult], None],
        now_ms: Callable[[], int],
        step_by_step: StepByStep = lambda id_, call: call,
    ) -> None:
        self._step_by_step = step_by_step
        self._make_model = make_model
        self._concurrency = concurrency
        self._wanted = wanted
        self._finished = finished
        self._now_ms = now_ms
        self._loop = asyncio.new_event_loop()
        self._queue: asyncio.Queue[tuple[str, Forward]] = asyncio.Queue()
        self._closing = asyncio.Event()
        self._background = BackgroundThread("calls", self._run)

    def start(self, id_: str, forward: Forward) -> None:
        """Queue a forward, known by that id."""
        self._loop.call_soon_threadsafe(self._queue.put_nowait, (id_, forward))

    def close(self) -> None:
        """End the loop; calls still open are cancelled."""
        if self._background.alive:
            self._loop.call_soon_threadsafe(self._closing.set)
            self._background.join(CLOSE_WAIT_S)
        if not self._background.alive:
            self._loop.close()

    @property
    def problem(self) -> Exception | None:
        """The error that ended the loop, None while it works."""
        return self._background.problem

    def _run(self) -> None:
        self._loop.run_until_complete(self._work())

    async def _work(self) -> None:
        model = self._make_model()
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._call_in_turn(model)) for _ in range(self._concurrency)]
                await self._closing.wait()
                for worker in workers:
                    worker.cancel()
        finally:
            await model.close()

    async def _call_in_turn(self, model: Model) -> None:
        while True:
            id_, forward = await self._queue.get()
            if self._wanted(id_):
                self._finished(await self._call(model, id_, forward))

    async def _call(self, model: Model, id_: str, forward: Forward) -> CallResult:
        if self._now_ms() >= forward.deadline_at_ms:
            late = failed_answer(
                RefusalCode.DEADLINE, "nobody waits for the answer any more: ask again, or wait longer"
            )
            return CallResult(id_, forward, late, 0.0, called=False)
        started = time.perf_counter()
        answer = await self._step_by_step(id_, _answer(model, forward))
        return CallResult(id_, forward, answer, (time.perf_counter() - started) * 1_000, called=True)


async def _answer(model: Model, forward: Forward) -> Answer:
    """The model's answer, a failed one where the call raises what nobody foresaw."""
    try:
        return await model.answer(forward)
    except Exception as error:
        if passes(error):
            raise
        refusal = unforeseen(error)
        logger.warning("a call of the model failed: %s; its completion tells where", refusal.code.value)
        return failed_answer(refusal.code, refusal.text)
