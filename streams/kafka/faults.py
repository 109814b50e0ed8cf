"""Translates librdkafka's errors into ours: transient, rebalanced, fenced, forbidden, offset lost, or failed."""

from __future__ import annotations

import logging

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.errors import ClusterFailed, Fenced, Forbidden, OffsetLost, Rebalanced, RefusedRecord

logger = logging.getLogger(__name__)

REBALANCE_CODES = frozenset({KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS})

FENCED_CODES = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_TXN_STATE,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    }
)

MISSING_CODES = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
    }
)
"""A topic that cannot be used: it is not there, or cannot be there."""

FORBIDDEN_CODES = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)

TOO_LARGE_CODES = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
    }
)

TOGETHER_CODES = TOO_LARGE_CODES | {KafkaError.INVALID_RECORD, KafkaError._INVALID_DIFFERENT_RECORD}
"""Said of all records of a batch, for the fault of one or of their sum."""

REFUSED_CODES = (
    TOGETHER_CODES
    | MISSING_CODES
    | {
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
    }
)
"""A record that is taken at no later time either, for what it is or where it goes; others are."""

EXPIRED_CODES = frozenset({KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
"""A record that was not written in time, and never is."""

TRANSIENT_CODES = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._PARTITION_EOF,
        KafkaError._AUTHENTICATION,
    }
)


def forbidden(error: KafkaError, doing: str) -> Forbidden | None:
    """Forbidden when the user's ACLs do not allow what was being done (`doing`); None for any other failure."""
    if error.code() not in FORBIDDEN_CODES:
        return None
    return Forbidden(
        f"{doing}: {error.name()}: this user may not, or nothing of that name is there: grant it what"
        " `refrain topics acls` prints for its role, and run `refrain topics create`"
    )


def refused(error: KafkaError, topic: str, where: str) -> RefusedRecord | None:
    """Why a record for `topic` (an `Outgoing` names it so) is never taken; None where the failure is not its own.

    That this user may not write is the record's own failure where a client named the topic. `where` is for the text.
    """
    code = error.code()
    hidden = code == KafkaError.TOPIC_AUTHORIZATION_FAILED and topic.startswith("/")
    if code not in REFUSED_CODES and not hidden:
        return None
    text = f"{where} refused a record: {error.name()}: {error.str()}"
    return RefusedRecord(text, too_large=code in TOO_LARGE_CODES, together=code in TOGETHER_CODES)


def flush(producer: ConfluentProducer, timeout_s: float) -> None:
    """Wait for delivery reports, at most `timeout_s`. Raises KafkaException for an error of the producer as a whole."""
    try:
        producer.flush(timeout_s)
    except SystemError as entangled:
        # The client raises a fatal error and still calls the delivery reports that wait. What the first of them calls
        # into the client then ends in this one, and names the fatal error as its cause.
        if isinstance(entangled.__cause__, KafkaException):
            raise entangled.__cause__ from None
        raise


def failure_of(error: KafkaError, doing: str) -> ClusterFailed | Forbidden:
    """The error to raise when Kafka failed at what was being done (`doing`, for its text)."""
    text = f"{doing}: {error.name()}: {error.str()}"
    denied = forbidden(error, doing)
    if denied is not None:
        return denied
    if error.code() in REBALANCE_CODES:
        return Rebalanced(text)
    if error.code() in FENCED_CODES or error.fatal() or error.code() == KafkaError._FATAL:
        return Fenced(f"{text}; another worker took over: start this one again")
    if error.code() == KafkaError._AUTO_OFFSET_RESET or error.code() == KafkaError.OFFSET_OUT_OF_RANGE:
        return OffsetLost(f"{text}; the topic was cut before this worker could read it")
    return ClusterFailed(text)


def raise_unless_transient(error: KafkaError, doing: str) -> None:
    """Raise `failure_of` the error, but log one that librdkafka recovers from by itself."""
    if error.code() in TRANSIENT_CODES:
        if error.code() != KafkaError._PARTITION_EOF:
            logger.warning("%s: %s", doing, error.str())
        return
    raise failure_of(error, doing)
