"""Sends spans to a collector by OTLP over HTTP, from a bounded queue and on a thread of its own.

Nothing waits for a collector: what the queue cannot hold is lost, what cannot be sent is lost and told once a minute,
and the end of a process waits for it within a bound.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from requests.utils import check_header_validity

from refrain.streams.errors import WrongSetup
from refrain.streams.metrics import build_version
from refrain.streams.settings import Settings, Traces
from refrain.streams.spans import has_passed
from refrain.streams.traces.otel import OpenTelemetry

BATCH_MAX = 512
"""Spans of one call of the collector."""
BATCH_EVERY_MS = 1_000
"""How long a span waits for others at most."""
WARN_EVERY_MS = 60_000
QUEUE_FULL, NOT_SENT = "queue_full", "not_sent"
"""Why spans are lost: more than `traces.queue_max` waited, or the collector did not take them."""
LIMITS = SpanLimits(max_span_attributes=32, max_links=32, max_span_attribute_length=256)

logger = logging.getLogger(__name__)


class Lost(Protocol):
    """Called when spans are lost."""

    def __call__(self, reason: str, spans: int, /) -> None:
        """`spans` (a number) were lost for this reason."""


def not_counted(reason: str, spans: int, /) -> None:
    """Nobody counts them: in a client's process there are no metrics."""


class Exporting:
    """Spans of one worker and the thread that sends them; `close` ends it."""

    def __init__(
        self,
        processor: str,
        settings: Settings,
        exporter: SpanExporter | None = None,
        *,
        is_guest: bool = False,
        lost: Lost = not_counted,
    ) -> None:
        """`exporter` stands in for the one of the settings; a guest in somebody's process lets the library's log be.

        `lost` hears of spans that are.

        Raises WrongSetup for headers that HTTP does not take.
        """
        if not is_guest:
            silence()
        chosen = settings.traces
        self._flush_s = chosen.flush_ms / 1_000
        telling = Telling(exporter or _otlp(chosen), urlsplit(chosen.endpoint).netloc, lost=lost)
        room = Room(chosen.queue_max)
        batches = BatchSpanProcessor(
            Emptying(telling, room),
            max_queue_size=chosen.queue_max,
            schedule_delay_millis=BATCH_EVERY_MS,
            max_export_batch_size=min(BATCH_MAX, chosen.queue_max),
        )
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create(
                {
                    "service.name": f"refrain-{processor}",
                    "service.namespace": settings.prefix.rstrip(".-_") or "refrain",
                    "service.version": build_version(),
                }
            ),
            shutdown_on_exit=False,
            span_limits=LIMITS,
        )
        self._provider.add_span_processor(Bounded(batches, room, lost))
        self.traces = OpenTelemetry(self._provider.get_tracer("refrain", build_version()), chosen.sample_ratio)

    def close(self) -> None:
        """Send what is queued, for `traces.flush_ms` at most. A second call does nothing."""
        # The SDK waits for 30 s: on a thread of its own, which ends with the process.
        ending = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        ending.start()
        ending.join(self._flush_s)
        if ending.is_alive():
            logger.warning("the last spans are lost: the collector does not take them within %.1f s", self._flush_s)


class Room:
    """How many spans wait, of those that may. Threads share it."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether there was room for one more, which is taken."""
        with self._lock:
            if self._left == 0:
                return False
            self._left -= 1
            return True

    def leave(self, spans: int) -> None:
        """Count `spans` as no longer waiting."""
        with self._lock:
            self._left += spans


class Bounded(SpanProcessor):
    """Lets in what has room, so that the library's queue, which drops without a word, is never overrun."""

    def __init__(self, batches: SpanProcessor, room: Room, lost: Lost) -> None:
        self._batches = batches
        self._room = room
        self._lost = lost

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span, or count it."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._room.take():
            self._batches.on_end(span)
        else:
            self._lost(QUEUE_FULL, 1)

    def shutdown(self) -> None:
        """Send what is queued."""
        self._batches.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is queued now."""
        return self._batches.force_flush(timeout_millis)


class Emptying(SpanExporter):
    """An exporter that gives back the room of what it takes out of the queue."""

    def __init__(self, exporter: SpanExporter, room: Room) -> None:
        self._exporter = exporter
        self._room = room

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        self._room.leave(len(spans))
        return self._exporter.export(spans)

    def shutdown(self) -> None:
        """End the exporter."""
        self._exporter.shutdown()


class Telling(SpanExporter):
    """An exporter that tells of what is lost: once a minute, and when spans are taken again."""

    def __init__(
        self,
        exporter: SpanExporter,
        collector: str,
        now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        lost: Lost = not_counted,
    ) -> None:
        """`collector` names it in log lines; `now_ms` is any clock of milliseconds; `lost` hears of what is lost."""
        self._count = lost
        self._exporter = exporter
        self._collector = collector
        self._now_ms = now_ms
        self._lost = 0
        self._told_ms: int | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans. It raises nothing: what cannot be sent is lost."""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever a collector does, spans are all that is lost
            logger.debug("spans were not sent: %s", type(error).__name__)
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self._succeeded()
        else:
            self._failed(len(spans))
        return result

    def shutdown(self) -> None:
        """End the exporter: what it tries again it gives up."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether all is sent, which this exporter does at once."""
        return self._exporter.force_flush(timeout_millis)

    def _succeeded(self) -> None:
        if self._told_ms is not None:
            logger.info("spans are sent again")
        self._told_ms, self._lost = None, 0

    def _failed(self, spans: int) -> None:
        self._lost += spans
        self._count(NOT_SENT, spans)
        now_ms = self._now_ms()
        if self._told_ms is None or has_passed(self._told_ms, WARN_EVERY_MS, now_ms):
            logger.warning(
                "%d spans are lost: the collector at %s (traces.endpoint) does not take them",
                self._lost,
                self._collector,
            )
            self._told_ms, self._lost = now_ms, 0


def silence() -> None:
    """Keep the library's own log lines back: they quote headers that clients send, and come with every failed try."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _otlp(settings: Traces) -> SpanExporter:
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    for pair in headers.items():
        try:
            check_header_validity(pair)
        except requests.exceptions.InvalidHeader:
            # Not what the library says: it quotes the value.
            raise WrongSetup(
                f"traces.headers: {pair[0]!r} or its value is no HTTP header: look for line ends"
            ) from None
    session = requests.Session()
    session.trust_env = False
    # Elsewhere nobody is to get what lets in.
    session.max_redirects = 0
    return OTLPSpanExporter(
        endpoint=settings.endpoint,
        headers=headers,
        timeout=settings.timeout_ms / 1_000,
        session=session,
    )
