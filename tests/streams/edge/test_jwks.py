"""Keys that a provider serves: fetched when needed, kept when it is down, asked for no oftener than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from refrain.streams.edge.jwks import SET_BYTES_MAX, KeysUnavailable, UrlKeys
from tests.streams.edge.provider import jwks, settings_of_tokens

URL = "https://login.example.org/keys"


class Provider:
    """Serves `data`, or what `answer` makes; counts how often it is asked. Its clock is moved by hand."""

    def __init__(self) -> None:
        self.data = jwks("a")
        self.status = 200
        self.problem: Exception | None = None
        self.asked = 0
        self.hold: asyncio.Event | None = None
        self.now_s = 1_000.0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        assert request.url == URL
        if self.hold is not None:
            await self.hold.wait()
        if self.problem is not None:
            raise self.problem
        return httpx.Response(self.status, content=self._parts())

    async def _parts(self) -> AsyncIterator[bytes]:
        yield self.data


def with_keys(provider: Provider, work: Callable[[UrlKeys], Awaitable[Any]], **more: Any) -> Any:
    async def run() -> Any:
        chosen = settings_of_tokens(jwks_url=URL, **more)
        keys = UrlKeys(chosen, httpx.MockTransport(provider), clock=lambda: provider.now_s)
        try:
            return await work(keys)
        finally:
            await keys.close()

    return asyncio.run(run())


async def has(keys: UrlKeys, kid: str) -> bool:
    return await keys.find(kid, "ES256") is not None


def test_keys_are_fetched_once_and_for_an_unknown_one_again_within_the_bound() -> None:
    provider = Provider()

    async def work(keys: UrlKeys) -> None:
        assert await has(keys, "a")
        assert await has(keys, "a")
        assert provider.asked == 1
        provider.data = jwks("a", "b")
        assert not await has(keys, "b"), "not asked again so soon"
        assert provider.asked == 1
        provider.now_s += 10
        assert await has(keys, "b")
        for number in range(100):
            assert not await has(keys, f"guess-{number}")
        assert provider.asked == 2

    with_keys(provider, work)


def test_requests_at_the_same_time_share_one_fetching_and_one_that_leaves_does_not_end_it() -> None:
    provider = Provider()

    async def work(keys: UrlKeys) -> None:
        provider.hold = asyncio.Event()
        waiting = [asyncio.create_task(has(keys, "a")) for _ in range(20)]
        while not provider.asked:
            await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.gather(waiting[0], return_exceptions=True)
        provider.hold.set()
        assert all(await asyncio.gather(*waiting[1:]))
        assert provider.asked == 1

    with_keys(provider, work)


def test_known_keys_count_while_the_provider_is_down_and_no_longer_than_allowed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider = Provider()

    async def work(keys: UrlKeys) -> None:
        assert await has(keys, "a")
        provider.problem = httpx.ConnectError("down")
        provider.now_s += 600
        assert await has(keys, "a")
        await asyncio.sleep(0.01)
        assert not await has(keys, "b")
        provider.now_s += 86_400
        with pytest.raises(KeysUnavailable, match="ConnectError"):
            await has(keys, "a")
        asked = provider.asked
        with pytest.raises(KeysUnavailable):
            await has(keys, "a")
        assert provider.asked == asked, "asked again before the bound"
        provider.problem = None
        provider.now_s += 10
        assert await has(keys, "a")

    with_keys(provider, work)
    assert "those known count on" in caplog.text


def test_a_key_that_the_provider_takes_back_counts_until_the_next_fetching() -> None:
    provider = Provider()

    async def work(keys: UrlKeys) -> None:
        assert await has(keys, "a")
        provider.data = jwks("b")
        provider.now_s += 600
        assert await has(keys, "a"), "nobody waits for what is fetched in good time"
        while not await has(keys, "b"):
            await asyncio.sleep(0)
        assert not await has(keys, "a")

    with_keys(provider, work)


@pytest.mark.parametrize(
    ("status", "data", "problem", "said"),
    [
        (500, b"", None, "it answered 500"),
        (302, b"", None, "it answered 302"),
        (200, b"<html>", None, "no JWK set"),
        (200, b" " * (SET_BYTES_MAX + 1), None, "larger than"),
        (200, b"", httpx.ReadTimeout("slow"), "ReadTimeout"),
        (200, b"", TimeoutError(), "no answer within"),
    ],
)
def test_a_provider_that_serves_no_keys_is_unavailable(
    status: int, data: bytes, problem: Exception | None, said: str
) -> None:
    provider = Provider()
    provider.status, provider.data, provider.problem = status, data, problem

    async def work(keys: UrlKeys) -> None:
        with pytest.raises(KeysUnavailable, match=said):
            await has(keys, "a")

    with_keys(provider, work)
