"""Aims a client's questions for the controller at a broker that answers.

Which topic is there is told by any broker, and asked of the controller alone. In a cluster of KRaft that is, for a
client, whichever broker the one named that told it of the cluster last: one of those that it holds alive, drawn anew
each time. While brokers are away it may be one of them, and the client tries to reach it again and again.
"""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

TRIES = 8
"""How often the cluster is asked at most: of three brokers, one of which answers, that names it in 24 cases of 25."""
TOLD_S = 0.5
"""How long an answer may take (seconds)."""


def aim(client: AdminClient) -> bool:
    """Have a client ask one that answers; whether it does. See `aims_at_one_that_answers`."""
    return aims_at_one_that_answers(lambda within_s: client.list_topics(timeout=within_s))


def aims_at_one_that_answers(told: Callable[[float], ClusterMetadata], tries: int = TRIES) -> bool:
    """Whether a client's next question for the controller goes to a broker that answers.

    `told` asks a broker of the cluster, which may take so many seconds. It is asked until the one that answers names
    itself. False where none does in `tries`, or none answers.
    """
    for _ in range(tries):
        try:
            found = told(TOLD_S)
        except KafkaException:
            return False
        if found.controller_id == found.orig_broker_id:
            return True
    return False
