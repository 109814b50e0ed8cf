"""What a broker says to a user whose ACLs do not allow what it asked for."""

from __future__ import annotations

from confluent_kafka import KafkaError
from refrain.streams.errors import Forbidden

FORBIDDEN_CODES = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)


def forbidden(error: KafkaError, doing: str) -> Forbidden | None:
    """The error to raise for what was being done, None when it failed for another reason."""
    if error.code() not in FORBIDDEN_CODES:
        return None
    return Forbidden(
        f"{doing}: {error.name()}: this user may not, or nothing of that name is there: grant it what"
        " `refrain topics acls` prints for its role, and run `refrain topics create`"
    )
