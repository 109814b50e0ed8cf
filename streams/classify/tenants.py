"""Whose request a record is: by its own field, or by what others than its sender answer for (`classify.tenants`).

A request that names another tenant than the one it is bound to is refused; one that names none gets the bound one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from refrain.schemas.names import NAME_PATTERN
from refrain.schemas.requests import Request
from refrain.streams.errors import Refusal, RefusalCode, WrongSetup
from refrain.streams.kafka.interface import Headers, Record
from refrain.streams.kafka.names import TENANT_TOPICS
from refrain.streams.messaging import reply_headers
from refrain.streams.messaging.signing import parse_keys
from refrain.streams.messaging.tenant_header import HEADER, tenant_of
from refrain.streams.settings import Settings

_NAME = re.compile(NAME_PATTERN)
KEY_ENDS = b"/"
"""What follows it in a record's key is the client's own, for its ordering."""

Binding = Callable[[Record], str | None]
"""The tenant that a record is bound to, None where its own field counts. Raises Refusal(TENANT_NOT_YOURS)."""


class Tenants:
    """Binds requests to tenants."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding

    def bind(self, record: Record, request: Request) -> Request:
        """The request as one of the tenant that its record is bound to.

        Raises Refusal(TENANT_NOT_YOURS) for one that names another, and for a record that is bound to none.
        """
        tenant = self._binding(record)
        if tenant is None or tenant == request.tenant:
            return request
        if "tenant" in request.model_fields_set:
            raise Refusal(RefusalCode.TENANT_NOT_YOURS, "the request names a tenant that it does not come from")
        return request.model_copy(update={"tenant": tenant})

    def of(self, record: Record) -> str | None:
        """The tenant that a record is bound to, None where its field counts or nobody answers for one."""
        try:
            return self._binding(record)
        except Refusal:
            return None


def by_request(record: Record) -> None:
    """The request's own field counts: every client is trusted with every tenant."""
    return


def by_key(record: Record) -> str:
    """The record's key: the tenant, alone or before `/`. Whoever makes the keys is trusted."""
    name = (record.key or b"").partition(KEY_ENDS)[0].decode("ascii", "replace")
    if not _NAME.fullmatch(name):
        raise Refusal(RefusalCode.TENANT_NOT_YOURS, "the record's key is not TENANT or TENANT/...")
    return name


def by_topic(record: Record) -> str:
    """The request topic, `requests.TENANT`: whoever may write to it is trusted."""
    return record.topic.removeprefix(TENANT_TOPICS)


def tenants_of(settings: Settings) -> Tenants:
    """The binding that the settings choose. Raises WrongSetup where they lack what it needs."""
    chosen = settings.classify.tenants
    if chosen == "key":
        return Tenants(by_key)
    if chosen == "topic":
        others = [topic for topic in settings.classify.request_topics if not topic.startswith(TENANT_TOPICS)]
        if others:
            raise WrongSetup(
                f"classify.tenants is `topic`, and {', '.join(others)} is not the topic of a tenant: name"
                f" {TENANT_TOPICS}TENANT of each in classify.topics, or of one in classify.topic"
            )
        return Tenants(by_topic)
    if chosen == "header":
        if settings.tenants.keys is None:
            raise WrongSetup(
                "classify.tenants is `header`, and tenants.keys is not set: name the file of the keys that the edge"
                " signs with in tenants.keys_file"
            )
        keys = parse_keys(settings.tenants.keys.get_secret_value(), "tenants.keys")
        valid_ms = settings.tenants.valid_ms
        return Tenants(lambda record: tenant_of(record, keys, valid_ms))
    return BY_REQUEST


def returned(headers: Headers) -> Headers:
    """The headers that come back with a response: a signature of the edge is nobody else's business."""
    return reply_headers.returned(tuple(pair for pair in headers if pair[0] != HEADER))


BY_REQUEST = Tenants(by_request)
