"""Health of a worker: /healthz (liveness), /readyz (readiness) and /metrics on an HTTP server of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Http

logger = logging.getLogger(__name__)

SILENT_S_MAX = 30.0
"""A main loop that has not come round for longer counts as stuck."""
START_S_MAX = 300.0
"""How long a worker may take to its first round: it may have to load a model."""
REQUEST_TIMEOUT_S = 5.0


class Liveness:
    """Liveness and readiness, as the main loop reports them. `clock` gives seconds and never runs backwards."""

    def __init__(
        self,
        *,
        silent_s_max: float = SILENT_S_MAX,
        start_s_max: float = START_S_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._silent_s_max = silent_s_max
        self._due = clock() + start_s_max
        self._ready = False
        self._stopping = False
        self._outage = False
        self.turns = 0
        """How often the main loop has come round: whoever sees it stand still knows that the loop does."""

    def beat(self) -> None:
        """Report a heartbeat: the main loop came round."""
        self.turns += 1
        self._due = self._clock() + self._silent_s_max

    def ready(self) -> None:
        """Report readiness: the worker is able to work. It is a heartbeat as well."""
        self.beat()
        self._ready = True

    def stop(self) -> None:
        """Report that the worker drains: it takes no new work and is not ready."""
        self._stopping = True

    def outage(self, lasting: bool) -> None:
        """Report that the cluster does not answer, or does again: a worker that waits for it is not ready."""
        self._outage = lasting

    def is_alive(self) -> bool:
        """Whether the last heartbeat is recent enough."""
        return self._clock() <= self._due

    def is_ready(self) -> bool:
        """Whether the worker is alive, able to work, and neither drains nor waits for the cluster."""
        return self._ready and not self._stopping and not self._outage and self.is_alive()

    def why_not_ready(self) -> str:
        """Why the worker is not ready, in words."""
        return "not ready: the cluster does not answer" if self._outage else "not ready"


class HealthServer:
    """Serves liveness, readiness and the metrics of a registry until it is closed, on `port`."""

    def __init__(self, http: Http, liveness: Liveness, registry: CollectorRegistry) -> None:
        """Bind at once. Raises WrongSetup when the address cannot be had."""
        try:
            self._server = _Server((http.host, http.port), _handler(liveness, registry))
        except OSError as error:
            raise WrongSetup(
                f"cannot serve health on {http.host}:{http.port}: {error.strerror}:"
                " set http.port to a free one, or to 0 for any"
            ) from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True)

    def __enter__(self) -> HealthServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a probe that went away before it had its answer."""
        logger.debug("a probe was not answered", exc_info=True)


def _handler(liveness: Liveness, registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/healthz":
                self._send_status(liveness.is_alive(), "alive", "the main loop is stuck")
            elif path == "/readyz":
                self._send_status(liveness.is_ready(), "ready", liveness.why_not_ready())
            elif path == "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._send(200, kind, encode(registry))
            else:
                self._send(404, "text/plain", b"/healthz, /readyz or /metrics\n")

        def _send_status(self, yes: bool, good: str, bad: str) -> None:
            self._send(200 if yes else 503, "text/plain", f"{good if yes else bad}\n".encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Log nothing: probes come every few seconds."""

    return Handler
