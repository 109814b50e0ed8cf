"""Admission: which answers the cache stores. Only whole answers that stand for themselves. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from refrain.schemas.policy import CategoryPolicy
from refrain.streams.shard.apologies import is_apology


class NotAdmitted(StrEnum):
    """Reason why an answer is delivered and not stored: a closed list."""

    NOT_ONE_CHOICE = "not_one_choice"
    NOT_STOPPED = "not_stopped"
    """`finish_reason` is not `stop`: cut off, filtered, or calling tools that the policy does not allow."""
    EMPTY = "empty"
    REFUSAL = "refusal"
    TOOL_CALL = "tool_call"
    QUOTES_PROMPT = "quotes_prompt"
    """Beside the answer stand the tokens of the question, which others must not be told."""
    APOLOGY = "apology"
    """It says in prose that there is no answer, and the policy keeps such texts not at all."""
    TOO_LARGE = "too_large"
    CATEGORY_NEVER = "category_never"
    """The policy no longer lets the category be stored."""
    SWITCHED_OFF = "switched_off"
    WITHDRAWN = "withdrawn"
    """The question was asked before a withdrawal that concerns it."""
    JUDGED_WRONG = "judged_wrong"
    """The same answer was judged wrong before."""
    SUPERSEDED = "superseded"
    """A newer question has brought a newer answer to the same text."""
    TENANT_LIMIT = "tenant_limit"
    """The tenant has as many new entries, or namespaces, as the policy grants it."""
    EXPIRED = "expired"
    """Of an imported entry: its lifetime is over."""
    KEPT_ALREADY = "kept_already"
    """Of an imported entry: an answer to the same text is kept."""
    NO_ROOM = "no_room"
    """The shard is full of what others are guaranteed."""


_OF_PROMPT = ("prompt_logprobs", "prompt_token_ids")


def not_admitted_reason(body: dict[str, Any], policy: CategoryPolicy) -> NotAdmitted | None:
    """Why the chat.completion `body` is not admitted, None when it is."""
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return NotAdmitted.NOT_ONE_CHOICE
    message = choices[0].get("message")
    if not isinstance(message, dict):
        return NotAdmitted.EMPTY
    if message.get("refusal"):
        return NotAdmitted.REFUSAL
    calls = bool(message.get("tool_calls") or message.get("function_call"))
    if calls and not policy.tool_calls:
        return NotAdmitted.TOOL_CALL
    if choices[0].get("finish_reason") not in (("stop", "tool_calls") if calls else ("stop",)):
        return NotAdmitted.NOT_STOPPED
    text = message.get("content")
    if not calls and not (isinstance(text, str) and text.strip()):
        return NotAdmitted.EMPTY
    if any(body.get(name) is not None for name in _OF_PROMPT):
        return NotAdmitted.QUOTES_PROMPT
    return NotAdmitted.APOLOGY if policy.apology_ttl_ms == 0 and says_sorry(body) else None


def says_sorry(body: dict[str, Any]) -> bool:
    """Whether the one message of an admitted answer is an apology (`is_apology`) and calls nothing."""
    message = body["choices"][0]["message"]
    text = message.get("content")
    return not message.get("tool_calls") and not message.get("function_call") and is_apology(text or "")
