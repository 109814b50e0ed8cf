"""edge: `requests` out, `responses` and `progress` in, HTTP before it."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from refrain.streams.client.asyncio_client import AsyncClient
from refrain.streams.client.exchange import Exchange, ReplyPlace
from refrain.streams.edge.access import Access, access_of
from refrain.streams.edge.app import Endpoint
from refrain.streams.edge.metrics import NAME, EdgeMetrics
from refrain.streams.edge.server import EdgeServer, allow_files, bound, serve
from refrain.streams.edge.upstream import Upstream
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.topic_check import require_topics
from refrain.streams.settings import Settings

TURN_S = 0.1
SWITCH_S = 0.0005
"""How long a thread may keep the interpreter from another that waits for it.

The exchange's decodes what comes while the loop's serves clients: with Python's 5 ms each call of the system by the
latter could cost it as much.
"""

logger = logging.getLogger(__name__)


def run_edge(context: WorkerContext, listening: Callable[[int], None] = lambda port: None) -> None:
    """Run until `stop`, then wait for open requests and leave.

    `listening` is called with the port. Raises WrongSetup for topics, keys or an address that are not as needed.
    """
    settings = context.settings
    in_place = {"requests": settings.classify.topic}
    require_topics(context.cluster, NAME, in_place)
    metrics = EdgeMetrics(context.metrics)
    access = access_of(settings)
    allow_files(settings.edge)
    upstream = Upstream(settings)
    partition = settings.edge.partition
    exchange = Exchange(
        settings,
        context.cluster,
        None if partition is None else ReplyPlace(None, partition),
        group=NAME,
        topic_of_tenant=True,
        progress=True,
        now_ms=context.now_ms,
    )
    try:
        if context.stop():
            return
        with bound(settings.edge) as one, _switching(SWITCH_S):
            metrics.port.set(one.getsockname()[1])
            listening(one.getsockname()[1])
            asyncio.run(_work(context, exchange, upstream, access, metrics, one))
    finally:
        exchange.close()


@contextmanager
def _switching(interval_s: float) -> Iterator[None]:
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


async def _work(
    context: WorkerContext,
    exchange: Exchange,
    upstream: Upstream,
    access: Access,
    metrics: EdgeMetrics,
    one: socket.socket,
) -> None:
    settings = context.settings
    server: EdgeServer

    def ready() -> bool:
        return exchange.problem is None and not context.outages.lasting and not server.should_exit

    async with AsyncClient(settings, exchange=exchange) as client:
        endpoint = Endpoint(settings, client, upstream, access, metrics, ready, context.traces)
        server = EdgeServer(endpoint.app(), settings.edge)
        serving = asyncio.create_task(serve(server, one))
        _tell(settings, exchange, one, access)
        try:
            while not context.stop() and not serving.done():
                if exchange.problem is not None:
                    raise exchange.problem
                # Before it is ready: whoever looks then sees what it hears.
                context.metrics.lag.labels(NAME, str(exchange.place.partition)).set(exchange.behind)
                context.ready()
                await asyncio.sleep(TURN_S)
        finally:
            server.should_exit = True
            await _drained(serving, context, settings.edge.drain_ms / 1_000)
            await upstream.close()
            await access.close()


async def _drained(serving: asyncio.Task[None], context: WorkerContext, drain_s: float) -> None:
    """Wait for the server's end; asking `stop` is the sign of life meanwhile."""
    for _ in range(math.ceil((drain_s + 2.0) / TURN_S)):
        if (await asyncio.wait([serving], timeout=TURN_S))[0]:
            break
        context.stop()
    if not serving.done():
        serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def _tell(settings: Settings, exchange: Exchange, one: socket.socket, access: Access) -> None:
    host, port = one.getsockname()[:2]
    logger.info("serves http://%s:%d/v1, hears partition %s of responses", host, port, exchange.place.partition)
    if access.keys is not None and len(access.keys) == 0 and settings.jwt.issuer is None:
        logger.warning("there is no key, so nobody is let in: `refrain edge keys add TENANT` makes one")
