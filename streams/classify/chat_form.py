"""The form of a chat in which identity compares it: spellings of one conversation that clients choose afresh are one.

Evened out are the ids of tool calls, a content that is one plain text part, and `cache_control`. Nothing else is: what
is called, with which arguments, which result belongs to which call, and the order of all of it stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

_HINT = "cache_control"
"""Says what a server should keep of the prompt, and nothing of the answer."""
_TEXT_PART = frozenset({"type", "text"})


def chat_form(messages: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Bring messages into the form in which they are compared; the originals stay as they are. Idempotent.

    Ids of tool calls become their numbers in the order in which they first appear, as texts: an id that stands in two
    places has one number in both. What is no text is not taken for an id, so no body can spell a number otherwise.
    """
    numbers: dict[str, str] = {}
    return [_message(message, numbers) for message in messages]


def tools_form(tools: Any) -> Any:
    """Bring the `tools` or `functions` of a body into the form in which they are compared."""
    if not isinstance(tools, list):
        return tools
    return [_tool(tool) if isinstance(tool, dict) else tool for tool in tools]


def _message(message: Mapping[str, Any], numbers: dict[str, str]) -> Json:
    form = _without_hint(message)
    if isinstance(form.get("content"), list):
        form["content"] = _content(form["content"])
    if isinstance(form.get("tool_calls"), list):
        form["tool_calls"] = [_call(call, numbers) for call in form["tool_calls"]]
    if "tool_call_id" in form:
        form["tool_call_id"] = _number(form["tool_call_id"], numbers)
    return form


def _content(parts: list[Any]) -> Any:
    """The parts without hints; the text itself where one plain text part is all there is."""
    form = [_without_hint(part) if isinstance(part, dict) else part for part in parts]
    only = form[0] if len(form) == 1 else None
    if (
        isinstance(only, dict)
        and only.keys() == _TEXT_PART
        and only["type"] == "text"
        and isinstance(only["text"], str)
    ):
        return only["text"]
    return form


def _call(call: Any, numbers: dict[str, str]) -> Any:
    if not isinstance(call, dict):
        return call
    form = _without_hint(call)
    if "id" in form:
        form["id"] = _number(form["id"], numbers)
    return form


def _number(id_: Any, numbers: dict[str, str]) -> Any:
    return numbers.setdefault(id_, str(len(numbers))) if isinstance(id_, str) else id_


def _tool(tool: Json) -> Json:
    form = _without_hint(tool)
    if isinstance(form.get("function"), dict):
        # Not deeper: a parameter may have that name.
        form["function"] = _without_hint(form["function"])
    return form


def _without_hint(value: Mapping[str, Any]) -> Json:
    return {name: below for name, below in value.items() if name != _HINT}
