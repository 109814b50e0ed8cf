"""What errors of the real client are taken for."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from refrain.streams.errors import Aborted, ClusterFailed, Fenced, OffsetLost, Rebalanced, Unanswered
from refrain.streams.kafka.faults import failure_of, flush, raise_unless_recovering

FENCED = KafkaException(KafkaError(KafkaError._FENCED, "fenced by a newer instance"))


class Raising:
    """A producer whose flush ends in an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def flush(self, timeout_s: float) -> int:
        raise self._error


def raised_by(error: Exception) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is the question
        flush(cast(Producer, Raising(error)), 0.1)
    return raised.value


def test_a_fatal_error_that_a_delivery_report_runs_into_is_told_as_itself() -> None:
    entangled = SystemError("returned a result with an exception set")
    entangled.__cause__ = FENCED
    assert raised_by(entangled) is FENCED


def test_a_fatal_error_that_a_delivery_report_clears_stays_fatal() -> None:
    cleared = SystemError("<method 'flush' of 'cimpl.Producer' objects> returned NULL without setting an exception")
    raised = raised_by(cleared)
    assert isinstance(raised, KafkaException)
    assert raised.args[0].fatal()
    assert type(failure_of(raised.args[0], "producing")) is ClusterFailed


def test_other_errors_of_a_flush_stay_as_they_are() -> None:
    other = SystemError("something else")
    assert raised_by(FENCED) is FENCED
    assert raised_by(other) is other


@pytest.mark.parametrize(
    ("code", "taken_for"),
    [
        (KafkaError._TIMED_OUT, Unanswered),
        (KafkaError._TRANSPORT, Unanswered),
        (KafkaError._DESTROY_BROKER, Unanswered),
        (KafkaError._ALL_BROKERS_DOWN, Unanswered),
        (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, Unanswered),
        (KafkaError.NOT_COORDINATOR, Unanswered),
        (KafkaError.NOT_CONTROLLER, Unanswered),
        (KafkaError.NOT_ENOUGH_REPLICAS, Unanswered),
        (KafkaError.LEADER_NOT_AVAILABLE, Unanswered),
        (KafkaError.ILLEGAL_GENERATION, Rebalanced),
        (KafkaError.UNKNOWN_MEMBER_ID, Rebalanced),
        (KafkaError.PRODUCER_FENCED, Fenced),
        (KafkaError.INVALID_PRODUCER_ID_MAPPING, Aborted),
        (KafkaError.OFFSET_OUT_OF_RANGE, OffsetLost),
        (KafkaError.MSG_SIZE_TOO_LARGE, ClusterFailed),
    ],
)
def test_each_error_is_taken_for_what_is_to_be_done_about_it(code: int, taken_for: type[Exception]) -> None:
    failure = failure_of(KafkaError(code), "doing it")
    assert type(failure) is taken_for
    assert ("another worker took over" in str(failure)) == (taken_for is Fenced)


@pytest.mark.parametrize("code", [KafkaError._ALL_BROKERS_DOWN, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
                                  KafkaError._MAX_POLL_EXCEEDED, KafkaError.UNKNOWN_MEMBER_ID])  # fmt: skip
def test_a_consumer_goes_on_after_what_the_client_recovers_from(code: int) -> None:
    raise_unless_recovering(KafkaError(code), "reading")


def test_a_consumer_stops_at_what_it_does_not_recover_from() -> None:
    with pytest.raises(OffsetLost):
        raise_unless_recovering(KafkaError(KafkaError._AUTO_OFFSET_RESET), "reading")
