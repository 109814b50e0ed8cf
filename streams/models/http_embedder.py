"""The HTTP embedder: an OpenAI-compatible endpoint for embeddings, or that of text-embeddings-inference (TEI)."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np
from pydantic_core import from_json, to_json
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from refrain.streams import time_of_day
from refrain.streams.errors import ModelUnavailable, WrongSetup
from refrain.streams.models.hashing_embedder import signs_and_marks
from refrain.streams.models.token_window import TokenWindow
from refrain.streams.retry_after import pause_s
from refrain.streams.settings import Embedding
from refrain.streams.vectors import Floats

logger = logging.getLogger(__name__)

BACKOFF_MAX_S = 5.0
RESPONSE_BYTES_MAX = 256_000_000
_REFUSED_TEXTS = (400, 413, 422)
"""Statuses of a request whose texts the endpoint cannot take."""
_TEI = "/embed"
_PIECE = re.compile(r"[A-Za-z0-9]{1,4}|[^\sA-Za-z0-9]")


class HttpEmbedder:
    """An embedder behind HTTP. It has no token vectors, and knows its model's window by an estimate.

    Each request is tried again on 429, 5xx and broken connections. One that has answered as the settings say and then
    answers otherwise (a key that was changed, a page of a gateway) is away, and not set up wrongly. `transport` and
    `sleep` (seconds) are for tests.
    """

    def __init__(
        self,
        settings: Embedding,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connects to nothing yet. Raises WrongSetup when the settings do not say what is asked, and as what."""
        if settings.identity is None or settings.dimensions is None:
            raise WrongSetup("embedding.backend http needs embedding.identity and embedding.dimensions: set both")
        self.identity = f"{settings.identity}/http"
        self.dim = settings.dimensions
        self._settings = settings
        self._url, self._is_tei = _endpoint(settings.url)
        self._name = f"the embeddings endpoint at {_shown(self._url)}"
        self._has_answered = False
        self._sleep = sleep
        self._window = TokenWindow(EstimatingTokenizer(), settings.window_tokens)
        # At INFO it writes a line a call, with the URL.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._client = httpx.Client(
            headers=_headers(settings), timeout=settings.timeout_ms / 1_000, trust_env=False, transport=transport
        )

    def embed(self, texts: Sequence[str]) -> Floats:
        """Embed n texts as vectors (n, dim), in requests of `batch_max` texts; a text that is refused has a row of NaN.

        Raises ModelUnavailable when the endpoint does not answer for now, WrongSetup when it is not as the settings
        say.
        """
        rows: Floats = np.zeros((len(texts), self.dim), dtype=np.float32)
        # The endpoint may pad to the longest of a request.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for at in range(0, len(order), self._settings.batch_max):
            places = order[at : at + self._settings.batch_max]
            rows[places] = self._embed([texts[place] for place in places])
        return rows

    def embed_tokens(self, texts: Sequence[str]) -> list[Floats]:
        """No token vectors: an endpoint gives the vectors of whole texts only."""
        return [np.zeros((0, self.dim), dtype=np.float32) for _ in texts]

    def fits(self, text: str) -> bool:
        return self._window.fits(text)

    def head(self, text: str) -> str:
        return self._window.head(text)

    def unread(self, text: str) -> tuple[str, ...]:
        """The signs beyond ASCII and the marks on letters, which many vocabularies do not have."""
        return signs_and_marks(text)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _embed(self, texts: list[str]) -> Floats:
        try:
            vectors = self._vectors(self._asked(texts), len(texts))
            self._has_answered = True
            return vectors
        except WrongSetup as wrong:
            if self._has_answered:
                raise ModelUnavailable(str(wrong)) from wrong
            raise
        except _TextsRefused as refused:
            if len(texts) > 1:
                return np.concatenate([self._embed([text]) for text in texts])
            logger.error("a text has no vector (status %d): it is only matched exactly", refused.status)
            return np.full((1, self.dim), np.nan, dtype=np.float32)

    def _asked(self, texts: list[str]) -> Any:
        """The endpoint's answer, after as many tries as it takes."""
        tries = Retrying(
            retry=retry_if_exception_type(_Transient),
            stop=stop_after_attempt(self._settings.retries + 1),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return tries(self._try, to_json(self._request(texts)))
        except _Transient as given_up:
            raise ModelUnavailable(f"{self._name} {given_up}: is it up?") from given_up

    def _request(self, texts: list[str]) -> dict[str, Any]:
        return {"inputs": texts, "truncate": True} if self._is_tei else {"model": self._settings.model, "input": texts}

    def _try(self, content: bytes) -> Any:
        try:
            with self._client.stream("POST", self._url, content=content) as response:
                data = self._read_bounded(response)
        except (httpx.TransportError, httpx.DecodingError) as problem:
            raise _Transient(f"cannot be reached ({type(problem).__name__})") from problem
        status = response.status_code
        if response.is_success:
            return self._json(data)
        if status in (408, 429) or status >= 500:
            raise _Transient(f"answers {status}", pause_s(response.headers, time_of_day.now_ms()))
        if status in _REFUSED_TEXTS:
            raise _TextsRefused(status)
        raise WrongSetup(f"{self._name} answers {status}: check embedding.url, model and api_key")

    def _vectors(self, answer: Any, count: int) -> Floats:
        """The vectors in an answer, in the order of the texts."""
        try:
            rows = np.asarray(answer if self._is_tei else _in_order(answer["data"]), dtype=np.float32)
        except (KeyError, TypeError, ValueError) as wrong:
            raise WrongSetup(f"{self._name} answers with something else: check embedding.url") from wrong
        if rows.shape != (count, self.dim):
            raise WrongSetup(
                f"{self._name} gives numbers of shape {rows.shape} for {count} texts, expected"
                f" {(count, self.dim)}: check embedding.dimensions and embedding.model"
            )
        return rows

    def _read_bounded(self, response: httpx.Response) -> bytes:
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > RESPONSE_BYTES_MAX:
                raise WrongSetup(f"{self._name} answers with more than any vectors take: check embedding.url")
        return bytes(data)

    def _json(self, data: bytes) -> Any:
        try:
            return from_json(data)
        except ValueError as wrong:
            raise WrongSetup(f"{self._name} answers with no JSON: check embedding.url") from wrong

    def _wait(self, state: RetryCallState) -> float:
        backoff = wait_random_exponential(multiplier=self._settings.backoff_ms / 1_000, max=BACKOFF_MAX_S)(state)
        problem = state.outcome.exception() if state.outcome is not None else None
        return max(backoff, min(problem.after_s, BACKOFF_MAX_S)) if isinstance(problem, _Transient) else backoff


class EstimatingTokenizer:
    """Counts tokens without a vocabulary: four Latin letters or digits a token, or one other character."""

    is_fast = True
    unk_token_id = -1

    def num_special_tokens_to_add(self) -> int:
        return 2

    def __call__(self, text: str, **_: Any) -> dict[str, list[Any]]:
        """Tokenize a text: ids, which are all the same, and the span of characters of each."""
        spans = [found.span() for found in _PIECE.finditer(text)]
        return {"input_ids": [0] * len(spans), "offset_mapping": spans}


class _Transient(Exception):
    """A failed try that may be made again, `after_s` from now at the earliest."""

    def __init__(self, text: str, after_s: float = 0.0) -> None:
        super().__init__(text)
        self.after_s = after_s


class _TextsRefused(Exception):
    """The endpoint cannot take one of the texts."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


def _endpoint(text: str | None) -> tuple[httpx.URL, bool]:
    """The URL that is asked, and whether it is TEI's own."""
    root = (text or "").rstrip("/")
    is_tei = root.endswith(_TEI)
    try:
        url = httpx.URL(root if is_tei or root.endswith("/embeddings") else f"{root}/embeddings")
    except httpx.InvalidURL as wrong:
        raise WrongSetup(f"embedding.url is no URL: {wrong}") from wrong
    if url.scheme not in ("http", "https") or not url.host:
        raise WrongSetup("embedding.url must be an API's root, such as http://127.0.0.1:8080/v1")
    return url, is_tei


def _shown(url: httpx.URL) -> str:
    """The URL without what may be a secret: whoever stands before its host, and its query."""
    return str(url.copy_with(userinfo=b"", query=None))


def _headers(settings: Embedding) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if settings.api_key is not None:
        headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
    return headers


def _in_order(rows: list[dict[str, Any]]) -> list[list[float]]:
    """The vectors by the index of their text; without an index they are in order already."""
    places = [row.get("index", place) for place, row in enumerate(rows)]
    if sorted(places) != list(range(len(rows))):
        raise ValueError("the indexes are not those of the texts")
    return [rows[at]["embedding"] for at in np.argsort(places)]
