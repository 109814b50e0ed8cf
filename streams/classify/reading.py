"""Reads a request: what it asks, of which tenant, and where its response goes. Nothing of it needs a policy."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from refrain.streams.classify.pending import PendingRequest
from refrain.streams.classify.rejection import check_carried
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.tenants import Tenants, returned
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.parsing import parse, request_of
from refrain.streams.messaging.progress import check_progress
from refrain.streams.messaging.questions import check_length, question_of
from refrain.streams.messaging.responses import reply_of
from refrain.streams.messaging.warnings import warned, warnings_of
from refrain.streams.settings import Classify


class Reading:
    """Reads requests by the settings."""

    def __init__(self, settings: Classify, tenants: Tenants, reply_to: ReplyTopics) -> None:
        self._settings = settings
        self._tenants = tenants
        self._reply_to = reply_to

    def parsed(self, record: Record) -> dict[str, Any]:
        """The JSON of a record. Raises Refusal."""
        settings = self._settings
        return parse(record.value, bytes_max=settings.request_bytes_max, depth_max=settings.depth_max)

    def request(self, record: Record, parsed: dict[str, Any], known: Collection[str] | None) -> PendingRequest:
        """The request of a record, checked; `known` are the categories of the policy, None without one.

        Raises Refusal.
        """
        check_carried(record, self._settings.header_bytes_max)
        request = self._tenants.bind(record, request_of(parsed))
        question = question_of(request.body)
        check_length(question, self._settings.question_chars_max)
        target = self._reply_to.target(record.headers, record.key)
        check_progress(record.headers, self._reply_to.progress_partitions)
        headers = warned(returned(record.headers), warnings_of(parsed, request.category, known))
        reply = reply_of(target.topic, target.partition, record.key, headers)
        return PendingRequest(record, parsed, request, reply, question, None, None)
