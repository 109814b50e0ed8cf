"""The model's server as the endpoint reaches it: what is passed on as it comes, and back as it comes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from collections.abc import Set as AbstractSet

import httpx

from refrain.streams.edge.problems import HttpProblem
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Settings

NOT_PASSED = frozenset(
    {
        "host", "authorization", "x-api-key", "api-key", "cookie", "content-length", "connection", "keep-alive",
        "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "trailer", "transfer-encoding",
        "upgrade", "http2-settings", "expect", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
        "set-cookie", "server", "date",
    }
)  # fmt: skip
"""Headers that are of one connection, or of the client and the endpoint alone."""


class Upstream:
    """The server of `upstream.base_url`. `transport` is for tests."""

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Raises WrongSetup when `upstream.base_url` is not a URL."""
        chosen = settings.upstream
        self.known = chosen.base_url is not None
        try:
            self._root = httpx.URL((chosen.base_url or "http://nowhere.invalid").rstrip("/"))
        except httpx.InvalidURL as wrong:
            raise WrongSetup(f"upstream.base_url is no URL: {wrong}") from wrong
        headers = {}
        if chosen.api_key is not None:
            headers["Authorization"] = f"Bearer {chosen.api_key.get_secret_value()}"
        logging.getLogger("httpx").setLevel(logging.WARNING)
        most = settings.edge.in_flight_max
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(chosen.timeout_ms / 1_000, connect=min(10.0, chosen.timeout_ms / 1_000)),
            trust_env=False,
            limits=httpx.Limits(max_connections=most, max_keepalive_connections=most),
            transport=transport,
        )

    async def call(
        self, method: str, path: str, query: bytes, headers: Iterable[tuple[str, str]], content: bytes
    ) -> httpx.Response:
        """The server's response, its body not read yet: close it. Raises HttpProblem(502, 503)."""
        if not self.known:
            raise HttpProblem(503, "no_upstream", "no model's server is known: set upstream.base_url")
        url = self._root.copy_with(raw_path=self._root.raw_path.rstrip(b"/") + path.encode("ascii") + query)
        request = self._client.build_request(method, url, content=content, headers=list(passed_on(headers)))
        try:
            return await self._client.send(request, stream=True)
        except httpx.HTTPError as problem:
            text = f"the model's server cannot be reached ({type(problem).__name__}): is it up?"
            raise HttpProblem(502, "upstream_failed", text, headers={"x-should-retry": "true"}) from problem

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def passed_on(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of a client's headers that the model's server gets."""
    told = list(headers)
    dropped = NOT_PASSED | named_by_connection(told)
    return [(name, value) for name, value in told if not _is_own(name, dropped)]


def passed_back(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the server's headers that the client gets."""
    dropped = (NOT_PASSED - {"content-length"}) | named_by_connection(headers.items())
    return {name: value for name, value in headers.items() if not _is_own(name, dropped)}


def named_by_connection(headers: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The headers, in lower case, that `Connection` says are of that connection alone (RFC 9110, 7.6.1)."""
    values = (value for name, value in headers if name.lower() == "connection")
    return frozenset(option.strip().lower() for value in values for option in value.split(","))


def _is_own(name: str, dropped: AbstractSet[str]) -> bool:
    return name.lower() in dropped or name.lower().startswith("x-refrain-")


async def parts_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body of a response as it comes; it is closed at the end."""
    try:
        async for part in response.aiter_raw():
            yield part
    finally:
        await response.aclose()
