"""Rejects requests that cannot be processed: a dead letter, and an error response for whoever sent it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from refrain.streams.classify.redaction import may_be_uncacheable
from refrain.streams.classify.reply_topic import DEFAULT, ReplyTopics
from refrain.streams.classify.routing import Router
from refrain.streams.classify.tenants import Tenants, returned
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Headers, Outgoing, Record, headers_bytes
from refrain.streams.messaging.dead_letters import reject
from refrain.streams.messaging.responses import error_response, reply_of, respond
from refrain.streams.messaging.warnings import warned, warnings_of
from refrain.streams.metrics import Metrics
from refrain.streams.settings import Classify

NAME = "classify"
REQUEST_ID_CHARS_MAX = 256
TENANT_CHARS_MAX = 64
PEEK_BYTES = 4_096
"""How much of a request's beginning and end is looked at for its id, where it is too large to be parsed."""
UNPARSED = frozenset({RefusalCode.TOO_LARGE, RefusalCode.QUARANTINED})
"""Why a request is refused without being parsed."""
_NAMED = re.compile(rb'(?<!\\)"(request_id|tenant)"\s{0,8}:\s{0,8}"([^"\\]{1,256})"')


class Rejections:
    """Rejects requests: dead letters, redacted where they may be `never` traffic, and error responses."""

    def __init__(self, settings: Classify, reply_to: ReplyTopics, tenants: Tenants, metrics: Metrics) -> None:
        self._settings = settings
        self._reply_to = reply_to
        self._tenants = tenants
        self._metrics = metrics

    def reject(
        self, record: Record, refusal: Refusal, router: Router | None, parsed: Mapping[str, Any] | None = None
    ) -> list[Outgoing]:
        """Reject a record: its dead letter and error response.

        `router` is of the policy in force, None without one; `parsed` is the record's JSON, None where it has none.
        """
        # Of a request that nobody answers for, nobody knows whose text it is.
        foreign = refusal.code is RefusalCode.TENANT_NOT_YOURS
        redacted = foreign or may_be_uncacheable(router, record, parsed, self._tenants.of(record))
        letter = reject(record, refusal, NAME, self._metrics, with_text=not redacted)
        return [letter, self.respond(record, refusal, parsed)]

    def respond(self, record: Record, refusal: Refusal, parsed: Mapping[str, Any] | None = None) -> Outgoing:
        """The error response to a record that is refused, with as much of key and headers as is carried back."""
        key, headers = _fitting(record.key, returned(record.headers), self._settings.header_bytes_max)
        try:
            target = self._reply_to.target(record.headers, key)
        except Refusal:
            target = DEFAULT
        tenant = self._tenants.of(record)
        known: dict[str, Any] = {} if tenant is None else {"tenant": tenant}
        known |= _named_in(record.value) if parsed is None and refusal.code in UNPARSED else parsed or {}
        response = error_response(
            refusal.code.value,
            refusal.text,
            request_id=_bounded_text(known.get("request_id"), REQUEST_ID_CHARS_MAX),
            tenant=_bounded_text(known.get("tenant", "default"), TENANT_CHARS_MAX),
        )
        headers = warned(headers, warnings_of(parsed or {}, None, None))
        return respond(reply_of(target.topic, target.partition, key, headers), response)


def check_carried(record: Record, bytes_max: int) -> None:
    """Check key and headers, which return with the response and are in the journal until then.

    Raises Refusal: TOO_LARGE when they have more bytes than that, BAD_FIELD when the headers cannot be read.
    """
    if record.headers_unreadable:
        raise Refusal(RefusalCode.BAD_FIELD, "the name of a header is not UTF-8: no header can be carried back")
    size = len(record.key or b"") + headers_bytes(returned(record.headers))
    if size > bytes_max:
        raise Refusal(RefusalCode.TOO_LARGE, f"key and headers have {size} bytes, {bytes_max} are taken")


def _named_in(value: bytes | None) -> dict[str, str]:
    """Id and tenant of a request that is not to be parsed, by what stands at its beginning or its end."""
    value = value or b""
    edges = value[:PEEK_BYTES], value[max(PEEK_BYTES, len(value) - PEEK_BYTES) :]
    found = [pair for edge in edges for pair in _NAMED.findall(edge)]
    return {name.decode(): text.decode("utf-8", "replace") for name, text in reversed(found)}


def _bounded_text(value: object, chars_max: int) -> str | None:
    return value if isinstance(value, str) and len(value) <= chars_max else None


def _fitting(key: bytes | None, headers: Headers, bytes_max: int) -> tuple[bytes | None, Headers]:
    """As much of key and headers as is within the limit, the key first."""
    fitting = key if len(key or b"") <= bytes_max else None
    left = bytes_max - len(fitting or b"")
    kept = []
    for header in headers:
        left -= headers_bytes((header,))
        if left < 0:
            break
        kept.append(header)
    return fitting, tuple(kept)
