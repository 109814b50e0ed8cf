"""The HTTP server, in the event loop of the worker's main thread."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Edge

BACKLOG = 2_048


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
                server_header=False,
                date_header=True,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=max(1, round(settings.drain_ms / 1_000)),
                ws="none",
            )
        )
        # A failed handshake or a broken request is its client's affair, and may quote it.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the worker."""
        yield


def bound(settings: Edge) -> socket.socket:
    """A listening socket. Raises WrongSetup where the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((settings.host, settings.port))
        one.listen(BACKLOG)
        one.setblocking(False)
    except OSError as error:
        raise WrongSetup(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}: set edge.port to a free one,"
            " or to 0 for any"
        ) from error
    return one


async def serve(server: EdgeServer, listening: socket.socket) -> None:
    """Serve on a socket until `should_exit`, then wait for open requests and end."""
    await server.serve(sockets=[listening])
