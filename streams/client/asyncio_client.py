"""The client for asyncio: any number of requests under way in one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Self

from refrain.schemas.progress import Progress
from refrain.schemas.requests import Request
from refrain.streams import time_of_day
from refrain.streams.client.connecting import Connecting
from refrain.streams.client.exchange import Exchange
from refrain.streams.client.live_text import LiveText
from refrain.streams.client.making import PAUSE_S, TRIED_AGAIN, Body, request_for
from refrain.streams.client.reply import WHY_NONE, Failure, NotAnswered, Reply, answered
from refrain.streams.kafka.interface import Headers
from refrain.streams.messaging.chunks import pieces


class Pending:
    """A request under way. Await its `reply`, or `next` for all that is heard of it; `cancel` it in the end."""

    def __init__(self, exchange: Exchange, request: Request, headers: Headers, *, progress: bool) -> None:
        self._exchange = exchange
        self._loop = asyncio.get_running_loop()
        self._heard: asyncio.Queue[Reply | Progress | NotAnswered] = asyncio.Queue()
        self._id = exchange.send(request, self, headers, progress=progress)

    async def next(self, timeout_s: float) -> Reply | Progress | None:
        """What is heard next; the reply is the last. None where nothing is in `timeout_s`. Raises NotAnswered."""
        try:
            async with asyncio.timeout(timeout_s):
                heard = await self._heard.get()
        except TimeoutError:
            return None
        if isinstance(heard, NotAnswered):
            raise heard
        return heard

    async def reply(self, timeout_s: float) -> Reply:
        """The reply, with whatever the response holds. Raises NotAnswered, also where none comes in `timeout_s`."""
        until_s = self._loop.time() + timeout_s
        while True:
            heard = await self.next(max(0.0, until_s - self._loop.time()))
            if isinstance(heard, Reply):
                return heard
            if heard is None:
                raise NotAnswered(Failure.NO_RESPONSE, f"no response within {timeout_s:.3g} s: {WHY_NONE}")

    def cancel(self) -> None:
        """Wait no more. What the model answers is kept all the same."""
        self._exchange.forget(self._id)

    # --- the listener, on the exchange's thread

    def replied(self, reply: Reply) -> None:
        self._tell(reply)

    def progressed(self, progress: Progress) -> None:
        self._tell(progress)

    def failed(self, why: NotAnswered) -> None:
        self._tell(why)

    def _tell(self, heard: Reply | Progress | NotAnswered) -> None:
        try:
            self._loop.call_soon_threadsafe(self._heard.put_nowait, heard)
        except RuntimeError:
            # The loop is closed: nobody waits.
            return


class AsyncClient(Connecting):
    """A client for asyncio: `async with AsyncClient("broker:9092") as client: await client.ask(body)`.

    Nothing is connected before `open`.
    """

    _progress = True

    async def open(self) -> Self:
        """Connect. Raises WrongSetup for topics that are missing, Unanswered when no broker answers."""
        await asyncio.to_thread(self._connect)
        return self

    async def close(self) -> None:
        """Disconnect; who still waits gets NotAnswered. A second call does nothing."""
        await asyncio.to_thread(self._disconnect)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def under_way(self) -> int:
        """The number of requests that wait for a response."""
        return 0 if self._connected is None else self._connected.open

    def send(
        self, asked: Request | Body, *, timeout_s: float = 60.0, headers: Headers = (), progress: bool = False
    ) -> Pending:
        """Send a request, or a chat-completions body, and go on; `timeout_s` gives it its deadline.

        With `progress` it is heard how the request was decided, and the model's answer piece by piece. Raises
        NotAnswered(CLOSED) when the client is not open, pydantic.ValidationError for a body that is none.
        """
        exchange = self._exchange
        request = request_for(asked, timeout_s, time_of_day.now_ms())
        return Pending(exchange, request, headers, progress=progress)

    async def ask(self, asked: Request | Body, *, timeout_s: float = 60.0, headers: Headers = ()) -> Reply:
        """Ask and wait for the answer. Raises NotAnswered where there is none, with the code that says why."""
        until_s = time.monotonic() + timeout_s
        for attempt in range(1, self._attempts + 1):
            left_s = until_s - time.monotonic()
            pending = self.send(asked, timeout_s=left_s, headers=headers)
            try:
                return answered(await pending.reply(left_s))
            except NotAnswered as why:
                pause_s = PAUSE_S * 2 ** (attempt - 1)
                again = why.code in TRIED_AGAIN and attempt < self._attempts
                if not again or time.monotonic() + pause_s >= until_s:
                    raise
            finally:
                pending.cancel()
            await asyncio.sleep(pause_s)
        raise NotAnswered(Failure.NOT_SENT, "no attempt is allowed: set attempts to at least 1")

    async def stream(self, asked: Request | Body, *, timeout_s: float = 60.0) -> AsyncIterator[str]:
        """Ask, and yield the text of the first choice in pieces: of the model as it makes them, of the cache at once.

        Raises NotAnswered where there is no answer, or none any more.
        """
        until_s = time.monotonic() + timeout_s
        pending = self.send(asked, timeout_s=timeout_s, progress=True)
        live = LiveText()
        try:
            while True:
                heard = await pending.next(max(0.0, until_s - time.monotonic()))
                if heard is None:
                    raise NotAnswered(Failure.NO_RESPONSE, f"no answer within {timeout_s:g} s: {WHY_NONE}")
                if isinstance(heard, Progress):
                    piece = live.take(heard)
                    if piece:
                        yield piece
                    continue
                for piece in pieces(live.rest(answered(heard).text)):
                    yield piece
                return
        finally:
            pending.cancel()

    async def ask_all(
        self, asked: Iterable[Request | Body], *, timeout_s: float = 60.0, in_flight_max: int = 100
    ) -> list[Reply | NotAnswered]:
        """Ask all, at most `in_flight_max` at a time, each for up to `timeout_s`; what came of each, in order."""
        turns = asyncio.Semaphore(in_flight_max)

        async def one(each: Request | Body) -> Reply | NotAnswered:
            async with turns:
                try:
                    return await self.ask(each, timeout_s=timeout_s)
                except NotAnswered as why:
                    return why

        return list(await asyncio.gather(*(one(each) for each in asked)))
