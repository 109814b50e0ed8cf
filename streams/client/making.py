"""What both clients make: settings from an address, and requests from a body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from refrain.schemas.requests import Request
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Cluster
from refrain.streams.kafka.outages import Outages
from refrain.streams.settings import Settings

Body = Mapping[str, Any]

CONNECT_S = 15.0
"""How long a client asks the cluster for its topics before it gives up."""
TRIED_AGAIN = frozenset({"not_sent", "answer_withheld", "shard_recovered"})
"""Codes of what a second try may mend at once. A model that failed was asked again by its connector already."""
TRACED_AS = "client"
"""The name under which a client's spans are exported, in the place of a processor's."""
PAUSE_S = 0.2
"""Before the second try; twice as long before each further one."""


def settings_for(kafka: str | Settings, prefix: str, connection: Mapping[str, str] | None) -> Settings:
    """The settings of a client: those given, or the defaults with this address, prefix and connection."""
    if isinstance(kafka, Settings):
        return kafka
    secrets = {name: SecretStr(value) for name, value in (connection or {}).items()}
    return Settings(kafka=kafka, prefix=prefix, connection=secrets)


def cluster_for(settings: Settings) -> Cluster:
    """The cluster of the settings, asked for `CONNECT_S` at most."""
    return KafkaCluster(settings, Outages(patience_s=CONNECT_S))


def request_for(asked: Request | Body, timeout_s: float, now_ms: int) -> Request:
    """The request: a whole one, or a chat-completions body. Without a deadline it has that of the wait.

    Raises pydantic.ValidationError for a body that is none.
    """
    request = asked if isinstance(asked, Request) else Request(body=dict(asked))
    if request.deadline_at_ms is not None:
        return request
    return request.model_copy(update={"deadline_at_ms": now_ms + round(timeout_s * 1_000)})
