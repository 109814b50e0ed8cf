"""Translates librdkafka's errors into ours: unanswered, rebalanced, fenced, forbidden, offset lost, or failed."""

from __future__ import annotations

import logging

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.errors import (
    Aborted,
    ClusterFailed,
    Fenced,
    Forbidden,
    OffsetLost,
    Rebalanced,
    RefusedRecord,
    Unanswered,
)

logger = logging.getLogger(__name__)

CLIENT_ERRORS: tuple[type[Exception], ...] = (KafkaException,)
"""What librdkafka's client raises itself, where nothing translates it."""

REBALANCE_CODES = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
    }
)
"""The group goes on without this member as it was: its next poll joins again."""

TAKEN_OVER_CODES = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)
"""Another one of this name works, or the broker has ended a transaction that took longer than its timeout."""

FORGOTTEN_CODES = frozenset(
    {
        KafkaError.INVALID_TXN_STATE,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.UNKNOWN_PRODUCER_ID,
    }
)
"""The broker knows nothing of this producer's transaction any more: nobody took it over."""

LOST_EXCEPTION = "without setting an exception"
"""What the interpreter says of a call that failed and left no exception behind."""

SILENT_CODES = frozenset({KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN})
"""What a client says of a broker that does not answer, whatever the reason."""

MISSING_CODES = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
    }
)
"""A topic that cannot be used: it is not there, or cannot be there."""
GONE_CODES = MISSING_CODES | {KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError._DESTROY}
"""What a record is refused with whose topic is not there, or was deleted while it waited at the client."""

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
        # Of a record that waits at the client for a partition that a deleted topic takes with it.
        KafkaError._DESTROY,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
    }
)
"""A record that is taken at no later time either, for what it is or where it goes; others are."""

EXPIRED_CODES = frozenset({KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
"""A record that was not written in time, and never is."""

RECOVERING_CODES = frozenset({KafkaError._MAX_POLL_EXCEEDED, KafkaError._PARTITION_EOF, KafkaError._AUTHENTICATION})
"""What a consumer tells and recovers from by itself, beside outages and rebalances."""

CUT_CODES = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
"""The record to read next is gone from the topic."""

BROKEN_CODES = frozenset({KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG})
"""What a client says of a batch that it cannot read, and of no other."""

UNANSWERED_CODES = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._WAIT_COORD,
        KafkaError._WAIT_CACHE,
        KafkaError._NODE_UPDATE,
        KafkaError._DESTROY_BROKER,
        KafkaError._UNKNOWN_BROKER,
        KafkaError._IN_PROGRESS,
        KafkaError._RETRY,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.LISTENER_NOT_FOUND,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
        KafkaError.REBOOTSTRAP_REQUIRED,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.STALE_BROKER_EPOCH,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)
"""What passes when brokers, leaders, coordinators and controllers are back: ask again."""


def is_unanswered(error: KafkaError) -> bool:
    """Whether the error passes when the cluster is whole again, so that asking again is all there is to do."""
    return error.code() in UNANSWERED_CODES or (error.retriable() and not error.fatal())


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
    return RefusedRecord(
        text, too_large=code in TOO_LARGE_CODES, together=code in TOGETHER_CODES, gone=code in GONE_CODES
    )


def flush(producer: ConfluentProducer, timeout_s: float) -> None:
    """Wait for delivery reports, at most `timeout_s`. Raises KafkaException for an error of the producer as a whole."""
    try:
        producer.flush(timeout_s)
    except SystemError as entangled:
        # The client raises a fatal error and still calls the delivery reports that wait. What the first of them calls
        # into the client then ends in this one, and names the fatal error as its cause. Where a report clears it
        # instead, the call ends in an error without an exception, and only another call tells which one it was.
        if isinstance(entangled.__cause__, KafkaException):
            raise entangled.__cause__ from None
        if LOST_EXCEPTION in str(entangled):
            raise KafkaException(
                KafkaError(KafkaError._FATAL, "a fatal error whose name the client lost", True)
            ) from None
        raise


def is_nameless(problem: BaseException | None) -> bool:
    """Whether it is a fatal error of the client of which is not known which one."""
    return isinstance(problem, KafkaException) and problem.args[0].code() == KafkaError._FATAL


def failure_of(error: KafkaError, doing: str) -> ClusterFailed | Forbidden:
    """The error to raise when Kafka failed at what was being done (`doing`, for its text)."""
    text = f"{doing}: {error.name()}: {error.str()}"
    denied = forbidden(error, doing)
    if denied is not None:
        return denied
    if error.code() in REBALANCE_CODES:
        return Rebalanced(text)
    if error.code() in TAKEN_OVER_CODES:
        return Fenced(f"{text}; another worker took over: start this one again")
    if error.code() in FORGOTTEN_CODES:
        return Aborted(f"{text}; the broker does not know this producer any more")
    if error.fatal() or error.code() == KafkaError._FATAL:
        return ClusterFailed(f"{text}; this client can do no more: start this worker again")
    if error.code() in CUT_CODES:
        return OffsetLost(f"{text}; the topic was cut before this worker could read it")
    return (Unanswered if is_unanswered(error) else ClusterFailed)(text)


def raise_unless_recovering(error: KafkaError, doing: str) -> None:
    """Raise `failure_of` the error, but not for one that the client recovers from by itself."""
    if error.code() not in RECOVERING_CODES | REBALANCE_CODES and not is_unanswered(error):
        raise failure_of(error, doing)
    if error.code() == KafkaError._AUTHENTICATION:
        logger.warning("%s: %s", doing, error.str())
    elif error.code() != KafkaError._PARTITION_EOF:
        logger.debug("%s: %s", doing, error.str())
