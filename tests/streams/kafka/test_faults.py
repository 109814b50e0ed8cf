"""What errors of the real client are taken for."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from refrain.streams.kafka.faults import flush

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


def test_other_errors_of_a_flush_stay_as_they_are() -> None:
    other = SystemError("something else")
    assert raised_by(FENCED) is FENCED
    assert raised_by(other) is other
