"""Connection of the commands to the cluster: reachability and the admin client."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from refrain.streams.errors import ClusterFailed, Forbidden, Unreachable, WrongSetup
from refrain.streams.kafka.complaints import Complaints
from refrain.streams.kafka.config import connection
from refrain.streams.kafka.faults import forbidden

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

C = TypeVar("C")
AWAY = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE})

TRY_S = 2.0
"""How long one question takes at most: between two it is seen why nobody answers."""


def client(settings: Settings) -> dict[str, Any]:
    """Client properties of a command: the library logs nothing; errors end in one line."""
    return {**connection(settings), "log_level": 0}


def create_client(make: Callable[[dict[str, Any]], C], properties: dict[str, Any]) -> C:
    """Create a client of librdkafka. Raises WrongSetup when it does not take its properties."""
    try:
        return make(properties)
    except KafkaException as problem:
        raise WrongSetup(f"the connection settings are not taken: {problem.args[0].str()}") from problem


def reach(settings: Settings, within_s: float | None = None) -> AdminClient:
    """Admin client of a cluster that answers within `within_s` (seconds; else `connect_timeout_ms`).

    Raises Unreachable or WrongSetup.
    """
    complaints = Complaints()
    admin = create_client(AdminClient, {**client(settings), "error_cb": complaints})
    until_s = time.monotonic() + (settings.connect_timeout_ms / 1_000 if within_s is None else within_s)
    while True:
        left_s = until_s - time.monotonic()
        try:
            admin.list_topics(timeout=max(0.0, min(TRY_S, left_s)))
        except KafkaException as problem:
            admin.poll(0)
            # A login that is refused is refused again; anything else may pass.
            if left_s <= TRY_S or complaints.login_refused or problem.args[0].code() not in AWAY:
                raise unreachable(settings, problem, complaints) from problem
        else:
            return admin


def topic_names(admin: AdminClient, settings: Settings) -> list[str]:
    """The names of all topics of the cluster that this user may see. Raises ClusterFailed."""
    try:
        return list(admin.list_topics(timeout=settings.connect_timeout_ms / 1_000).topics)
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem


def unreachable(
    settings: Settings, problem: KafkaException, complaints: Complaints | None = None
) -> ClusterFailed | Forbidden | WrongSetup:
    """Error for a cluster that does not answer, or does not allow it; `complaints` are those of its client."""
    error: KafkaError = problem.args[0]
    denied = forbidden(error, f"asking the broker at {settings.kafka} ({error.str()})")
    if denied is not None:
        return denied
    why = None if complaints is None else complaints.told()
    if complaints is not None and complaints.login_refused:
        return WrongSetup(f"the broker at {settings.kafka} refuses the login: {why}")
    if error.code() in AWAY and why is not None:
        return Unreachable(f"no broker answers at {settings.kafka}: {why}")
    if error.code() in AWAY:
        return Unreachable(
            f"no broker answers at {settings.kafka}: start one, or name yours with REFRAIN_KAFKA=host:port"
            " (and TLS or SASL in the block `connection`)"
        )
    return ClusterFailed(f"the broker at {settings.kafka} says: {error.str()}")
