"""A model behind an OpenAI-compatible HTTP server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
from pydantic_core import from_json, to_json
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from refrain.schemas.forwards import Forward
from refrain.streams.addresses import CHAT_PATH
from refrain.streams.errors import RefusalCode, WrongSetup
from refrain.streams.messaging.credentials import Credentials
from refrain.streams.messaging.model_errors import error_in, is_transient_status, server_answered, server_silent
from refrain.streams.retry_after import pause_s
from refrain.streams.settings import Upstream
from refrain.streams.traces.interface import context_of_call
from refrain.streams.upstream.live_answer import BrokenStream, LiveAnswer, Relay, is_stream, tell_nobody
from refrain.streams.upstream.model import Answer, failed_answer

BACKOFF_MAX_S = 30.0
RETRY_AFTER_MAX_S = 300.0
"""A server that asks for a longer pause is not asked again for this forward."""
EXCERPT_CHARS_MAX = 200
MESSAGE_CHARS_MAX = 2_000
"""Characters of a server's message that are looked at."""
EXCERPT_WINDOW = 16
"""A run of so many characters that also stands in the request counts as its text."""
ERROR_BYTES_MAX = 65_536
NEVER_SENT = frozenset({"stream", "stream_options"})
NOT_THE_ROOT = "is upstream.base_url the root of an OpenAI-compatible API (most end with /v1)?"
NO_STREAM = frozenset({400, 405, 422, 501})
"""Statuses of servers that know no streams, or no `stream_options`: they are asked once more for a whole answer."""


class _Retry(Exception):
    """A failed try that may be retried, `after_s` from now at the earliest."""

    def __init__(self, answer: Answer, after_s: float = 0.0) -> None:
        super().__init__()
        self.answer = answer
        self.after_s = after_s


class _NotStreamed(Exception):
    """The server does not take the request as one for a stream; perhaps it takes it plain."""


class HttpModel:
    """POST {base_url}/chat/completions, retried on 408, 425, 429, 5xx and broken connections, never past the deadline.

    An error in a response of status 200 is one of the status, or of the words, that it gives as its code.

    Each try takes at most `timeout_ms`. Of a forward whose requester wants to hear of it, the answer is asked for as a
    stream, and `relay` gets each chunk as it comes, on the loop's thread; a try is made again only before the first
    one. What is returned is the whole answer in any case. `transport` and `sleep` (seconds) are for tests.
    """

    def __init__(
        self,
        settings: Upstream,
        now_ms: Callable[[], int],
        *,
        relay: Relay = tell_nobody,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._relay = relay
        self._now_ms = now_ms
        self._sleep = sleep
        self._url = _url(settings.base_url)
        self._credentials = Credentials(_secrets(settings, self._url))
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if settings.api_key is not None:
            headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        # At INFO it writes a line a call, with the URL.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=None,  # the whole try has one
            trust_env=False,
            limits=httpx.Limits(max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency),
            transport=transport,
        )

    async def answer(self, forward: Forward) -> Answer:
        """Call the server: its answer, or the problem after the last try."""
        sent = plain = {key: value for key, value in forward.body.items() if key not in NEVER_SENT}
        headers = {"Idempotency-Key": quote(forward.forward_id, safe="~:@/+=,"), **context_of_call()}
        live = None if forward.progress is None else LiveAnswer(forward.progress, self._relay)
        if live is not None:
            sent = plain | {"stream": True, "stream_options": {"include_usage": True}}
            headers["Accept"] = "text/event-stream, application/json"
        content = to_json(sent)
        tries = AsyncRetrying(
            retry=retry_if_exception_type(_Retry),
            stop=lambda state: self._stop(state, forward.deadline_at_ms),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            if live is not None:
                try:
                    return await tries(self._try, content, headers, forward.body, live)
                except _NotStreamed:
                    content = to_json(plain)
            return await tries(self._try, content, headers, forward.body, None)
        except _Retry as given_up:
            return given_up.answer

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _try(
        self, content: bytes, headers: dict[str, str], body: dict[str, Any], live: LiveAnswer | None
    ) -> Answer:
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1_000):
                async with self._client.stream("POST", self._url, content=content, headers=headers) as response:
                    data = await self._read(response, live)
        except TimeoutError:
            return failed_answer(RefusalCode.UPSTREAM, server_silent(self._settings.timeout_ms), "timeout")
        except (httpx.TransportError, httpx.DecodingError) as problem:
            text = f"the connection to the server failed ({type(problem).__name__}): is it up?"
            failed = failed_answer(RefusalCode.UPSTREAM, text, type(problem).__name__)
            if live is not None and live.relayed:
                # Another try would begin another answer, where somebody reads the beginning of this one.
                return failed
            raise _Retry(failed) from problem
        except BrokenStream as problem:
            return failed_answer(
                RefusalCode.UPSTREAM, f"the server's stream cannot be read: {problem}", "broken stream"
            )
        return self._answer_of(response, data, body, live)

    async def _read(self, response: httpx.Response, live: LiveAnswer | None) -> bytes | None:
        """The body; None where it is larger than it may be."""
        limit = self._settings.answer_bytes_max if response.is_success else ERROR_BYTES_MAX
        if live is not None and response.is_success and is_stream(response):
            return await live.read(response, limit)
        return await _read_bounded(response, limit)

    def _answer_of(
        self, response: httpx.Response, data: bytes | None, body: dict[str, Any], live: LiveAnswer | None
    ) -> Answer:
        """What the server said. Raises _Retry where another try may mend it, _NotStreamed where it takes no streams."""
        asked_pause_s = pause_s(response.headers, self._now_ms())
        if response.is_success:
            found, transient = self._answer_or_error(response.status_code, data, body, asked_pause_s)
        else:
            if live is not None and response.status_code in NO_STREAM:
                raise _NotStreamed
            head = server_answered(response.status_code, pause_s=asked_pause_s)
            text = self._with_excerpt(head, _message_in(data), body)
            if _is_elsewhere(response.status_code, data):
                text = f"{text}: {NOT_THE_ROOT}"
            found = failed_answer(RefusalCode.UPSTREAM, text, f"HTTP {response.status_code}")
            transient = is_transient_status(response.status_code)
        if transient:
            raise _Retry(found, asked_pause_s)
        return found

    def _answer_or_error(
        self, status: int, data: bytes | None, asked: dict[str, Any], asked_pause_s: float
    ) -> tuple[Answer, bool]:
        """The answer in a response of success and whether it is an error that another try may mend."""
        answer = _answer(data, self._settings.answer_bytes_max)
        error = None if answer.body is None else error_in(answer.body)
        if error is None:
            return answer, False
        head = server_answered(status, error, pause_s=asked_pause_s)
        text = self._with_excerpt(head, error.message, asked)
        failure = ", ".join([f"HTTP {status}", *([error.code] if error.code else [])])
        return failed_answer(RefusalCode.UPSTREAM, text, failure), error.is_transient

    def _with_excerpt(self, head: str, message: str, asked: dict[str, Any]) -> str:
        """The text with the beginning of the server's message behind it, unless that is empty or quotes the request.

        Credentials are struck from both.
        """
        said = " ".join(message[:MESSAGE_CHARS_MAX].split())
        # What is struck may have been a part of what is quoted.
        excerpts = said[:EXCERPT_CHARS_MAX], self._credentials.strike(said)[:EXCERPT_CHARS_MAX]
        known = self._credentials.strike(head)
        quotes = any(_quotes_request(excerpt, asked) for excerpt in excerpts)
        return f"{known}: {excerpts[1]}" if said and not quotes else known

    def _wait(self, state: RetryCallState) -> float:
        backoff = wait_random_exponential(multiplier=self._settings.backoff_ms / 1_000, max=BACKOFF_MAX_S)(state)
        return max(backoff, _retry_after_of(state))

    def _stop(self, state: RetryCallState, deadline_at_ms: int) -> bool:
        if state.attempt_number > self._settings.retries or _retry_after_of(state) > RETRY_AFTER_MAX_S:
            return True
        return self._now_ms() + state.upcoming_sleep * 1_000 >= deadline_at_ms


def _url(base_url: str | None) -> httpx.URL:
    try:
        return httpx.URL((base_url or "").rstrip("/") + CHAT_PATH)
    except httpx.InvalidURL as wrong:
        raise WrongSetup(f"upstream.base_url is no URL: {wrong}") from wrong


def _secrets(settings: Upstream, url: httpx.URL) -> list[str]:
    """What a server may learn from a request and must not tell: the key, and what the URL holds before its host."""
    key = settings.api_key.get_secret_value() if settings.api_key is not None else ""
    return [key, url.userinfo.decode(errors="replace"), url.username, url.password]


async def _read_bounded(response: httpx.Response, limit: int) -> bytes | None:
    """Read the response's body; None, and no more is read, when it is longer than `limit` bytes."""
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > limit:
            return None
    return bytes(data)


def _answer(data: bytes | None, limit: int) -> Answer:
    if data is None:
        return failed_answer(RefusalCode.ANSWER_TOO_LARGE, f"the server's answer is larger than {limit} bytes")
    try:
        # Two levels more than it has: whoever reads the answer inside a message must not meet the depth limit.
        ((body,),) = from_json(b"[[" + data + b"]]", allow_inf_nan=False)
    except ValueError:
        return failed_answer(RefusalCode.UPSTREAM, f"the server's answer is not JSON: {NOT_THE_ROOT}")
    if not isinstance(body, dict):
        return failed_answer(RefusalCode.UPSTREAM, "the server's answer is not a JSON object")
    return Answer(body=body)


def _is_elsewhere(status: int, data: bytes | None) -> bool:
    """Whether an answer is one of a server that has no such API there, and not one that does not know the model."""
    return 300 <= status < 400 or (status in (404, 405) and "model" not in _message_in(data).lower())


def _message_in(data: bytes | None) -> str:
    """The error message of the server, in the form of OpenAI, of vLLM, or of FastAPI; empty for anything else."""
    try:
        body = from_json(data or b"")
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    error = error_in(body)
    said = error.message if error is not None else body.get("detail", body.get("message"))
    return said if isinstance(said, str) else ""


def _quotes_request(excerpt: str, body: dict[str, Any]) -> bool:
    """Whether an error message quotes the request, whose text must not travel on in errors."""
    runs = [excerpt[at : at + EXCERPT_WINDOW] for at in range(max(1, len(excerpt) - EXCERPT_WINDOW + 1))]
    for text in _texts(body.get("messages")):
        flat = " ".join(text.split())
        if (len(flat) >= 4 and flat in excerpt) or any(run in flat for run in runs):
            return True
    return False


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts_of_all(value.values())
    elif isinstance(value, list):
        yield from _texts_of_all(value)


def _texts_of_all(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        yield from _texts(value)


def _retry_after_of(state: RetryCallState) -> float:
    problem = state.outcome.exception() if state.outcome is not None else None
    return problem.after_s if isinstance(problem, _Retry) else 0.0
