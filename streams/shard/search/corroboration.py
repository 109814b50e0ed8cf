"""Corroboration: whether another question, independent of the first, brought the same answer.

An answer that one question brought may be what somebody talked the model into. A category with `corroborate: 2` serves
it to questions in other words only while the shard holds a second entry of the same namespace that answers them too and
says the same. Two entries are independent where two requests in different words were forwarded for them; in a category
that tenants share, two requests of different tenants. Nothing in a journal tells the people of one tenant apart.
"""

from __future__ import annotations

import json
import unicodedata

from refrain.streams.shard.stored_answers import StoredAnswer

_ENDS = " .!\u3002\uff01\u2026"
"""Marks at the end of an answer that say nothing."""


def corroborates(one: StoredAnswer, other: StoredAnswer, *, shared: bool) -> bool:
    """Whether one answer corroborates another of the same namespace; `shared` is whether tenants share the namespace.

    Entries of a namespace have different texts, and each was brought by a forward of its own.
    """
    return not (shared and one.tenant == other.tenant) and agree(one, other)


def agree(one: StoredAnswer, other: StoredAnswer) -> bool:
    """Whether two answers say the same: word by word, but for case, blanks and the mark at the end."""
    if one.digest == other.digest:
        return True
    mine, theirs = _said(one), _said(other)
    return mine is not None and mine == theirs


def _said(answer: StoredAnswer) -> str | None:
    """The words of an answer; None where it is more than text, or blank."""
    message = json.loads(answer.text)["message"]
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, str) or message.get("tool_calls") or message.get("function_call"):
        return None
    return " ".join(unicodedata.normalize("NFC", content).casefold().split()).rstrip(_ENDS) or None
