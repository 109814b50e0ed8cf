"""The HTTP server, in the event loop of the worker's main thread."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from refrain.streams.edge.connection import HEAD_BYTES_MAX, Connection, connection_of, connections_max
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Edge

BACKLOG = 2_048
TICKS = 10
FILES_BESIDE = 256
"""Files of the worker beside its connections: topics, logs, the interpreter."""

logger = logging.getLogger(__name__)


class EdgeServer(uvicorn.Server):
    """Serves until `should_exit`; signals are the worker's business."""

    def __init__(self, app: Starlette, settings: Edge) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                # A line a request would hold paths and queries.
                access_log=False,
                lifespan="off",
                http=connection_of(settings),
                h11_max_incomplete_event_size=HEAD_BYTES_MAX,
                server_header=False,
                date_header=True,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=max(1, round(settings.drain_ms / 1_000)),
                ws="none",
                proxy_headers=False,
            )
        )
        # A failed handshake or a broken request is its client's affair, and may quote it.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)

    async def on_tick(self, counter: int) -> bool:
        """Look at every connection, once a second. `counter` is uvicorn's, ten a second."""
        if counter % TICKS == 0:
            now_s = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now_s)
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the worker."""
        yield


def allow_files(settings: Edge) -> None:
    """Raise the process's limit of open files to what the settings may need; warn where that is not allowed.

    A request may hold two: its client's connection, and one to the model's server.
    """
    needed = connections_max(settings) + settings.in_flight_max + FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < needed:
        logger.warning(
            "at most %d files may be open, and edge.in_flight_max and edge.connections_max may need %d: raise the limit"
            " (ulimit -n), or lower them",
            most,
            needed,
        )


def bound(settings: Edge) -> socket.socket:
    """A listening socket. Raises WrongSetup where the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # By the name of its protocol asyncio knows connections that are not to wait for the client's acknowledgement of
    # the last piece before they send the next: up to 40 ms, once for each answer and piece.
    one = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((settings.host, settings.port))
        one.listen(BACKLOG)
        one.setblocking(False)
    except OSError as error:
        one.close()
        elsewhere = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        do = "edge.host to an address of this machine" if elsewhere else "edge.port to a free one, or to 0 for any"
        text = f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}: set {do}"
        raise WrongSetup(text) from error
    return one


async def serve(server: EdgeServer, listening: socket.socket) -> None:
    """Serve on a socket until `should_exit`, then wait for open requests and end."""
    await server.serve(sockets=[listening])
