"""What is kept: only whole answers that stand for themselves."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from refrain.schemas.policy import CategoryPolicy


class NotKept(StrEnum):
    """Why an answer is delivered and not kept: a closed list."""

    NOT_ONE_CHOICE = "not_one_choice"
    NOT_STOPPED = "not_stopped"
    """`finish_reason` is not `stop`: cut off, filtered, or calling tools that the policy does not allow."""
    EMPTY = "empty"
    REFUSAL = "refusal"
    TOOL_CALL = "tool_call"
    TOO_LARGE = "too_large"
    CATEGORY_NEVER = "category_never"
    """The policy no longer lets the category be kept."""
    SWITCHED_OFF = "switched_off"
    WITHDRAWN = "withdrawn"
    """The question was asked before a withdrawal that concerns it."""
    JUDGED_WRONG = "judged_wrong"
    """The same answer was judged wrong before."""
    SUPERSEDED = "superseded"
    """A newer question has brought a newer answer to the same text."""
    NO_ROOM = "no_room"
    """The shard is full of what others are guaranteed."""


def not_kept(body: dict[str, Any], policy: CategoryPolicy) -> NotKept | None:
    """Why the chat.completion `body` is not kept, None when it is."""
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return NotKept.NOT_ONE_CHOICE
    message = choices[0].get("message")
    if not isinstance(message, dict):
        return NotKept.EMPTY
    if message.get("refusal"):
        return NotKept.REFUSAL
    calls = bool(message.get("tool_calls") or message.get("function_call"))
    if calls and not policy.tool_calls:
        return NotKept.TOOL_CALL
    if choices[0].get("finish_reason") not in (("stop", "tool_calls") if calls else ("stop",)):
        return NotKept.NOT_STOPPED
    text = message.get("content")
    if not calls and not (isinstance(text, str) and text.strip()):
        return NotKept.EMPTY
    return None
