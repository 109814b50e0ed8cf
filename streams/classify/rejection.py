"""Rejects requests that cannot be processed: a dead letter, and an error response for whoever sent it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from refrain.streams.classify.parsing import parse
from refrain.streams.classify.redaction import may_be_uncacheable
from refrain.streams.classify.reply_topic import DEFAULT, ReplyTopics
from refrain.streams.classify.routing import Router
from refrain.streams.classify.tenants import Tenants, returned
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Headers, Outgoing, Record
from refrain.streams.messaging.dead_letters import dead_letter
from refrain.streams.messaging.responses import error_response, reply_of, respond
from refrain.streams.metrics import Metrics
from refrain.streams.settings import Classify

logger = logging.getLogger(__name__)

NAME = "classify"
NO_LIMIT = 1 << 31
REQUEST_ID_CHARS_MAX = 256
TENANT_CHARS_MAX = 64


class Rejections:
    """Rejects requests: dead letters, redacted where they may be `never` traffic, and error responses."""

    def __init__(self, settings: Classify, reply_to: ReplyTopics, tenants: Tenants, metrics: Metrics) -> None:
        self._settings = settings
        self._reply_to = reply_to
        self._tenants = tenants
        self._metrics = metrics

    def reject(self, record: Record, refusal: Refusal, router: Router | None) -> list[Outgoing]:
        """Reject a record: its dead letter and error response. `router` is of the policy in force, None without one."""
        logger.warning("%s[%d]@%d refused: %s", record.topic, record.partition, record.offset, refusal.code.value)
        self._metrics.refused.labels(NAME, refusal.code.value).inc()
        value = record.value or b""
        try:
            parsed = parse(value, bytes_max=NO_LIMIT, depth_max=self._settings.depth_max)
        except Refusal:
            parsed = None
        # Of a request that nobody answers for, nobody knows whose text it is.
        foreign, tenant = refusal.code is RefusalCode.TENANT_NOT_YOURS, self._tenants.of(record)
        redacted = foreign or may_be_uncacheable(router, value, parsed, tenant)
        letter = dead_letter(record, refusal, NAME, with_text=not redacted)
        named = {} if tenant is None else {"tenant": tenant}
        return [letter, self._response(record, refusal, named | (parsed or {}))]

    def _response(self, record: Record, refusal: Refusal, parsed: Mapping[str, object]) -> Outgoing:
        try:
            target = self._reply_to.target(record.headers)
        except Refusal:
            target = DEFAULT
        key, headers = _fitting(record.key, returned(record.headers), self._settings.header_bytes_max)
        response = error_response(
            refusal.code.value,
            str(refusal.args[0]),
            request_id=_bounded_text(parsed.get("request_id"), REQUEST_ID_CHARS_MAX),
            tenant=_bounded_text(parsed.get("tenant", "default"), TENANT_CHARS_MAX),
        )
        return respond(reply_of(target.topic, target.partition, key, headers), response)


def check_carried(record: Record, bytes_max: int) -> None:
    """Check the size of key and headers, which return with the response and are in the journal until then.

    Raises Refusal(TOO_LARGE) when they have more bytes than that.
    """
    size = len(record.key or b"") + _carried_bytes(record.headers)
    if size > bytes_max:
        raise Refusal(RefusalCode.TOO_LARGE, f"key and headers have {size} bytes, {bytes_max} are taken")


def _bounded_text(value: object, chars_max: int) -> str | None:
    return value if isinstance(value, str) and len(value) <= chars_max else None


def _carried_bytes(headers: Headers) -> int:
    return sum(len(name.encode()) + len(value or b"") for name, value in headers)


def _fitting(key: bytes | None, headers: Headers, bytes_max: int) -> tuple[bytes | None, Headers]:
    """As much of key and headers as is within the limit, the key first."""
    fitting = key if len(key or b"") <= bytes_max else None
    left = bytes_max - len(fitting or b"")
    kept = []
    for header in headers:
        left -= _carried_bytes((header,))
        if left < 0:
            break
        kept.append(header)
    return fitting, tuple(kept)
