"""Load-generating HTTP client of `bench edge`: requests at a rate, and the time to the first piece of a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp

from refrain.streams.errors import ClusterFailed

CONNECTIONS = 256
TIMEOUT_S = 60.0
OUTCOME = "x-refrain-outcome"


class TimedAnswer(NamedTuple):
    """Answer to one request: its latency, or the time to the first piece of its stream."""

    latency_ms: float
    outcome: str
    """As the endpoint tells it; empty where another server answered."""


async def ask(
    base_url: str, bodies: Sequence[Mapping[str, Any]], rate: float, headers: Mapping[str, str]
) -> list[TimedAnswer]:
    """Ask all at `rate` a second; answers in their order. Raises ClusterFailed where one is an error."""
    async with _session(headers) as session:
        begin = time.perf_counter()
        tasks = []
        for number, body in enumerate(bodies):
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(_whole(session, base_url, body)))
        return list(await asyncio.gather(*tasks))


async def first_pieces(
    base_url: str, bodies: Sequence[Mapping[str, Any]], headers: Mapping[str, str]
) -> list[TimedAnswer]:
    """Stream all, one after the other; times until the first text of each. Raises ClusterFailed."""
    async with _session(headers) as session:
        return [await _first(session, base_url, {**body, "stream": True}) for body in bodies]


def _session(headers: Mapping[str, str]) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers=headers,
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
    )


async def _whole(session: aiohttp.ClientSession, base_url: str, body: Mapping[str, Any]) -> TimedAnswer:
    started = time.perf_counter()
    async with session.post(f"{base_url}/chat/completions", json=body) as response:
        await _check(response)
        await response.read()
        return TimedAnswer((time.perf_counter() - started) * 1_000, response.headers.get(OUTCOME, ""))


async def _first(session: aiohttp.ClientSession, base_url: str, body: Mapping[str, Any]) -> TimedAnswer:
    started, first_ms = time.perf_counter(), None
    async with session.post(f"{base_url}/chat/completions", json=body) as response:
        await _check(response)
        async for line in response.content:
            if first_ms is None and line.startswith(b"data: {"):
                first_ms = (time.perf_counter() - started) * 1_000
        if first_ms is None:
            raise ClusterFailed(f"{base_url} streamed nothing")
        return TimedAnswer(first_ms, response.headers.get(OUTCOME, ""))


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        raise ClusterFailed(f"{response.url.origin()} answered {response.status}: look at its log")
