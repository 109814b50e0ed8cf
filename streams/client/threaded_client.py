"""The client for threads: any number of them may ask by one client."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import TracebackType
from typing import Self

from refrain.schemas.progress import Progress
from refrain.schemas.requests import Request
from refrain.streams import time_of_day
from refrain.streams.client.connecting import Connecting
from refrain.streams.client.making import PAUSE_S, TRIED_AGAIN, Body, request_for
from refrain.streams.client.reply import WHY_NONE, Failure, NotAnswered, Reply, answered
from refrain.streams.kafka.interface import Headers


class _Waiting:
    """The listener of one request: puts what it hears into a future, unless its owner has cancelled that."""

    def __init__(self) -> None:
        self.future: Future[Reply] = Future()

    def replied(self, reply: Reply) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(reply)

    def progressed(self, progress: Progress) -> None:
        return

    def failed(self, why: NotAnswered) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(why)


class Client(Connecting):
    """A client that waits: `with Client("broker:9092") as client: client.ask(body)`.

    It connects when it is made, and raises WrongSetup for topics that are missing, Unanswered when no broker answers.
    """

    _at_once = True

    def close(self) -> None:
        """Disconnect; who still waits gets NotAnswered. A second call does nothing."""
        self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, asked: Request | Body, *, timeout_s: float = 60.0, headers: Headers = ()) -> Future[Reply]:
        """Send a request, or a chat-completions body, and go on; the future has the reply, or raises NotAnswered.

        `timeout_s` gives the request its deadline; how long the future is waited for is up to its owner.
        """
        return self._send(asked, timeout_s, headers)[1]

    def ask(self, asked: Request | Body, *, timeout_s: float = 60.0, headers: Headers = ()) -> Reply:
        """Ask and wait for the answer. Raises NotAnswered where there is none, with the code that says why."""
        until_s = time.monotonic() + timeout_s
        for attempt in range(1, self._attempts + 1):
            try:
                id_, future = self._send(asked, until_s - time.monotonic(), headers)
                return answered(self._wait(id_, future, until_s))
            except NotAnswered as why:
                pause_s = PAUSE_S * 2 ** (attempt - 1)
                again = why.code in TRIED_AGAIN and attempt < self._attempts
                if not again or time.monotonic() + pause_s >= until_s:
                    raise
            time.sleep(pause_s)
        raise NotAnswered(Failure.NOT_SENT, "no attempt is allowed: set attempts to at least 1")

    def ask_all(
        self, asked: Iterable[Request | Body], *, timeout_s: float = 60.0, in_flight_max: int = 100
    ) -> list[Reply | NotAnswered]:
        """Ask all, at most `in_flight_max` at a time, each for up to `timeout_s`; replies and failures in their order.

        None is sent a second time.
        """
        out: list[Reply | NotAnswered] = []
        under_way: deque[tuple[bytes, Future[Reply], float]] = deque()
        for each in asked:
            if len(under_way) >= in_flight_max:
                out.append(self._result(*under_way.popleft()))
            under_way.append((*self._send(each, timeout_s, ()), time.monotonic() + timeout_s))
        return [*out, *(self._result(*one) for one in under_way)]

    def _send(self, asked: Request | Body, timeout_s: float, headers: Headers) -> tuple[bytes, Future[Reply]]:
        waiting = _Waiting()
        request = request_for(asked, timeout_s, time_of_day.now_ms())
        return self._exchange.send(request, waiting, headers), waiting.future

    def _result(self, id_: bytes, future: Future[Reply], until_s: float) -> Reply | NotAnswered:
        try:
            return answered(self._wait(id_, future, until_s))
        except NotAnswered as why:
            return why

    def _wait(self, id_: bytes, future: Future[Reply], until_s: float) -> Reply:
        left_s = max(0.0, until_s - time.monotonic())
        try:
            return future.result(left_s)
        except FutureTimeoutError:
            self._exchange.forget(id_)
            raise NotAnswered(Failure.NO_RESPONSE, f"no response came in time: {WHY_NONE}") from None
