"""What `Calls` asks and tells in its loop: which forwards are still called, their spans, steps and completions."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

from refrain.schemas.progress import ProgressPlace
from refrain.streams.kafka.interface import Poster
from refrain.streams.messaging.progress import TOPIC as PROGRESS
from refrain.streams.messaging.progress import piece
from refrain.streams.runtime.progress import Progress
from refrain.streams.traces.interface import Traces, calling, carrying
from refrain.streams.upstream.call_steps import Stepped
from refrain.streams.upstream.calls import CallResult
from refrain.streams.upstream.completions import completed
from refrain.streams.upstream.failures import failure_of
from refrain.streams.upstream.metrics import NAME, UpstreamMetrics
from refrain.streams.upstream.model import Answer
from refrain.streams.upstream.open_forwards import OpenForward, OpenForwards
from refrain.streams.upstream.outbox import Outbox

Receipt = CallResult | tuple[int, int]
"""What is acknowledged with a record of the outbox: a call, or partition and offset of a forward that is none."""


class CallHandling:
    """Handles the calls of one worker; all but `start_no_more` runs in the loop of `Calls`."""

    def __init__(
        self,
        open_forwards: OpenForwards,
        outbox: Outbox[Receipt],
        pieces: Poster,
        steps: Progress,
        traces: Traces,
        metrics: UpstreamMetrics,
    ) -> None:
        """`pieces` takes pieces of answers; `steps` notes the forward of which a step runs."""
        self._open = open_forwards
        self._outbox = outbox
        self._pieces = pieces
        self._steps = steps
        self._traces = traces
        self._metrics = metrics
        self._starts = True

    def start_no_more(self) -> None:
        """Leave out every forward whose call has not begun."""
        self._starts = False

    def wanted(self, id_: str) -> bool:
        """Whether a forward is to be called, whose turn it is; if so, its call begins."""
        under_way = self._open.get(id_)
        if under_way is None or not self._starts:
            return False
        under_way.started = True
        return True

    def relay(self, place: ProgressPlace, attempt: int, chunk: dict[str, Any]) -> None:
        """Send a piece of an answer on its way."""
        self._metrics.shared.sent.labels(NAME, PROGRESS).inc()
        # Nobody relies on a piece: the response has the whole answer.
        self._pieces.post(piece(place, attempt, chunk), lambda why: None)

    def step_by_step(self, id_: str, call: Coroutine[Any, Any, Answer]) -> Awaitable[Answer]:
        """The call of a forward, with each step noted, in a span where its request is traced."""
        under_way = self._open.get(id_)
        # Asked once: the thread that polls may take the last place away meanwhile.
        place = None if under_way is None else under_way.place
        if under_way is None or place is None:
            return call
        if under_way.context:
            call = self._traced(under_way, call)
        return Stepped(call, self._steps, *place)

    def finished(self, called: CallResult) -> None:
        """Queue the completion of a call."""
        under_way = self._open.get(called.id)
        context = () if under_way is None else under_way.context
        place = None if under_way is None else under_way.place
        self._outbox.put(lambda: [carrying(each, context) for each in completed(called)], called, place)

    async def _traced(self, under_way: OpenForward, call: Coroutine[Any, Any, Answer]) -> Answer:
        """The call in a span of its own, which the model's server is told to go on with."""
        span = self._traces.begin(NAME, under_way.context, "client")
        if span is None:
            under_way.context = ()
            return await call
        under_way.context = span.headers
        try:
            with calling(span.headers):
                answer = await call
            span.tell(model=self._metrics.model_label(under_way.model))
            failure = failure_of(answer)
            if failure is not None:
                span.fail(self._metrics.failure_label(failure))
            return answer
        finally:
            span.end()
