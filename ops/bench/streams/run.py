"""Runs `bench streams`: opens all, asks for more, breaks some off, and lets the others end."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np
import psutil

from refrain.ops.bench.streams.clients import StreamClient, healthy_ms, opened
from refrain.ops.bench.streams.endpoint import EndpointProcess, endpoint
from refrain.streams.errors import ClusterFailed, WrongSetup

OPENING = 64
"""Streams that are asked for at a time."""
WARM = 50
SPARE_FILES = 1_200
"""Of the endpoint's process beside the streams: connections of its own bound, and files."""
LOOK_S = 0.5
GONE_S = 30.0
"""How long a place may take to be free."""
HEALTH = (b"/healthz", b"/readyz")


class StreamsPlan(NamedTuple):
    """Plan of the bench."""

    streams: int
    """Open at the same time, which is what the endpoint allows."""
    more: int
    """Asked for beyond that."""
    every_s: float
    """Seconds between two pieces of a streamed answer."""
    leaving: float
    """Share of clients that break off."""


def run(plan: StreamsPlan, tell: Callable[[str], None]) -> dict[str, Any]:
    """Run the bench. Raises ClusterFailed where a stream breaks that should not, or something is left in the end."""
    _allow_files(plan.streams)
    with endpoint(plan.streams, plan.every_s) as server:
        return asyncio.run(_measure(server, plan, tell))


async def _measure(server: EndpointProcess, plan: StreamsPlan, tell: Callable[[str], None]) -> dict[str, Any]:
    memory = psutil.Process(server.pid).memory_info
    await _leave(await _open(server, min(WARM, plan.streams)))
    await _until_open(server, 0)
    before = memory().rss
    async with _health_watched(server.port) as health:
        tell(f"opening {plan.streams} streams")
        begun_s = time.perf_counter()
        streams = await _open(server, plan.streams)
        opening_s = time.perf_counter() - begun_s
        await asyncio.sleep(2 * plan.every_s)
        held = memory().rss
        tell(f"asking for {plan.more} more")
        refused = await _open(server, plan.more, wanted=429)
        await _leave(refused)
        leaving = streams[: round(plan.leaving * plan.streams)]
        tell(f"breaking {len(leaving)} off")
        freed_s = await _break_off(server, leaving, plan.streams - len(leaving))
        again = await _open(server, len(leaving))
        tell("letting all end")
        staying = [*streams[len(leaving) :], *again]
        await _end(server, staying, plan.every_s)
    await _until_open(server, 0)
    return {
        "streams": plan.streams,
        "opened_per_s": round(plan.streams / opening_s),
        "first_piece_p50_ms": _p([client.first_ms for client in streams], 50),
        "memory_per_stream_kb": round((held - before) / plan.streams / 1_000, 1),
        "memory_mb": round(held / 1e6),
        "refused": len(refused),
        "refused_p99_ms": _p([client.first_ms for client in refused], 99),
        "left": len(leaving),
        "freed_s": round(freed_s, 2),
        "ended": len(staying),
        "health_p50_ms": _p(health, 50),
        "health_max_ms": _p(health, 100),
    }


@asynccontextmanager
async def _health_watched(port: int) -> AsyncIterator[list[float]]:
    """Ask for the endpoint's health until the block ends; how long each answer took (ms)."""
    told: list[float] = []
    stop = asyncio.Event()
    watching = asyncio.create_task(_watch(port, told, stop))
    try:
        yield told
    finally:
        stop.set()
        await watching


async def _break_off(server: EndpointProcess, leaving: Sequence[StreamClient], left: int) -> float:
    """Break streams off; how long (s) it took from then on until `left` were under way."""
    await _leave(leaving)
    left_s = time.perf_counter()
    await _until_open(server, left)
    return time.perf_counter() - left_s


async def _end(server: EndpointProcess, staying: Sequence[StreamClient], every_s: float) -> None:
    """Let all streams end. Raises ClusterFailed where one broke off before."""
    server.finish()
    await asyncio.wait_for(asyncio.gather(*(client.closed for client in staying)), GONE_S + 20 * every_s)
    broken = sum(not client.whole for client in staying)
    if broken:
        raise ClusterFailed(f"{broken} of {len(staying)} streams broke off before their end")


async def _open(server: EndpointProcess, count: int, wanted: int = 200) -> list[StreamClient]:
    """Ask for streams; each has begun with the status that is wanted. Raises ClusterFailed where one has another."""
    turns = asyncio.Semaphore(OPENING)

    async def one() -> StreamClient:
        async with turns:
            client = await opened(server.port)
            await client.begun
            return client

    clients = list(await asyncio.gather(*(one() for _ in range(count))))
    others = Counter(client.begun.result() for client in clients if client.begun.result() != wanted)
    if others:
        raise ClusterFailed(f"of {count} requests not all were answered by {wanted}: {dict(others)}")
    if wanted == 429 and not all(b"retry-after: " in client.head for client in clients):
        raise ClusterFailed("a request too many was not told when to come back")
    return clients


async def _leave(clients: Sequence[StreamClient]) -> None:
    """Break streams off."""
    for client in clients:
        client.leave()
    await asyncio.gather(*(client.closed for client in clients))


async def _watch(port: int, told: list[float], stop: asyncio.Event) -> None:
    while not stop.is_set():
        for path in HEALTH:
            told.append(await healthy_ms(port, path))
        await asyncio.sleep(LOOK_S)


async def _until_open(server: EndpointProcess, wanted: int) -> None:
    """Wait until so many requests are under way. Raises ClusterFailed where others keep their places."""
    until_s = time.monotonic() + GONE_S
    while (found := await asyncio.to_thread(server.open)) != wanted:
        if time.monotonic() > until_s:
            raise ClusterFailed(f"{found} requests are under way after {GONE_S:.0f} s, and should be {wanted}")
        await asyncio.sleep(0.05)


def _allow_files(streams: int) -> None:
    """Raise the limit of open files, which the endpoint's process has from this one. Raises WrongSetup."""
    needed = streams + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise WrongSetup(f"{streams} streams need {needed} open files, and {hard} are allowed: raise `ulimit -Hn`")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _p(values: Sequence[float], percent: int) -> float:
    return round(float(np.percentile(values, percent)), 1) if values else 0.0
