"""Refrain's own topics: none of them is written to because a message names it."""

from __future__ import annotations

from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.names import is_legal, is_own

RESPONSES = "responses"


def is_reply_topic(topic: str, prefix: str) -> bool:
    """Whether a response may go to this topic, as `Outgoing` names topics: `responses`, or a legal one not our own."""
    if topic == RESPONSES:
        return True
    return topic.startswith("/") and is_legal(topic[1:]) and not is_own(topic[1:], prefix)


def check_reply_topic(topic: str, prefix: str) -> None:
    """Check where a response is to go. Raises Refusal(BAD_REPLY_TO) without the name, which is somebody's text."""
    if not is_reply_topic(topic, prefix):
        raise Refusal(RefusalCode.BAD_REPLY_TO, "the reply topic is one of Refrain's or the broker's own, or no name")
