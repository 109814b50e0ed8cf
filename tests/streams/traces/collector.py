"""A collector on loopback that takes OTLP over HTTP, and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """What came: requests as they are decoded, and their headers. While `open` is not set, a call waits."""

    def __init__(self) -> None:
        self.calls: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.redirect = ""
        self.open = threading.Event()
        self.open.set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def names(self) -> list[str]:
        """The names of all spans that came."""
        return [
            span.name
            for call in self.calls
            for resource in call.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector until the block ends."""
    one = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            one.open.wait(30)
            one.calls.append(ExportTraceServiceRequest.FromString(data))
            one.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(one.status)
            if one.redirect:
                self.send_header("Location", one.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.open.set()
        server.shutdown()
        thread.join()
        server.server_close()
