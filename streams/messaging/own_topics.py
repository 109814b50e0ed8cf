"""Refrain's own topics: none of them is written to because a message names it."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from refrain.schemas.topics import BY_NAME
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing

logger = logging.getLogger(__name__)

RESPONSES = "responses"
TENANT_TOPICS = "requests."
"""How the names of request topics begin that belong to one tenant."""
BROKERS_OWN = "__"
"""How the names of a broker's own topics begin."""
_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")


def is_legal(name: str) -> bool:
    """Whether a topic can have this name on a cluster."""
    return _LEGAL.fullmatch(name) is not None and name not in (".", "..")


def is_own(name: str, prefix: str) -> bool:
    """Whether the topic of this name on the cluster is Refrain's, under the prefix, or the broker's own."""
    if name.startswith(BROKERS_OWN):
        return True
    ours = name.removeprefix(prefix)
    return name.startswith(prefix) and (ours in BY_NAME or ours.startswith(TENANT_TOPICS))


def is_reply_topic(topic: str, prefix: str) -> bool:
    """Whether a response may go to this topic, as `Outgoing` names topics: `responses`, or a legal one not our own."""
    if topic == RESPONSES:
        return True
    return topic.startswith("/") and is_legal(topic[1:]) and not is_own(topic[1:], prefix)


def check_reply_topic(topic: str, prefix: str) -> None:
    """Check where a response is to go. Raises Refusal(BAD_REPLY_TO) without the name, which is somebody's text."""
    if not is_reply_topic(topic, prefix):
        raise Refusal(RefusalCode.BAD_REPLY_TO, "the reply topic is one of Refrain's or the broker's own, or no name")


def without_own(records: Sequence[Outgoing], prefix: str) -> Sequence[Outgoing]:
    """The records without those that would reach one of our own topics by its name on the cluster; they are logged."""
    own = [record.topic for record in records if record.topic.startswith("/") and is_own(record.topic[1:], prefix)]
    if not own:
        return records
    logger.error("%d responses are not sent: their reply topics are Refrain's or the broker's own", len(own))
    return [record for record in records if record.topic not in own]
