"""A question for the controller is aimed at a broker that answers, or not asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from refrain.streams.kafka.aim import TRIES, aims_at_one_that_answers


def answers(*controllers: int | None) -> Callable[[float], Any]:
    """Broker 2 answers, and names these in turn; None: nobody answers."""
    named: Iterator[int | None] = iter(controllers)

    def told(within_s: float) -> Any:
        controller = next(named)
        if controller is None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return SimpleNamespace(controller_id=controller, orig_broker_id=2)

    return told


@pytest.mark.parametrize(
    ("told", "aims"),
    [
        (answers(2), True),
        (answers(1, 3, 1, 2), True),
        (answers(*[1] * (TRIES - 1), 2), True),
        (answers(*[1, 3] * TRIES), False),
        (answers(None), False),
        (answers(1, None), False),
    ],
)
def test_it_is_aimed_once_who_answers_names_itself(told: Callable[[float], Any], aims: bool) -> None:
    assert aims_at_one_that_answers(told) is aims
