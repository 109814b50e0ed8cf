"""Dependence: whether the answer to a question depends on now (volatile) or on who asks (personal), found by rule.

Pure: text and request alone decide. classify tells the shard what was found, with the words that decided it, in
`Asked`; what comes of it is the policy's. The rules are the lists in `words/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from refrain.schemas.base import Dependence
from refrain.streams.classify.dependence.asker import named
from refrain.streams.classify.dependence.rules import RULES, find

__all__ = ["dependence_of"]

_ON_NOTHING = Dependence(rules=RULES, volatile=(), personal=(), named=())
"""That of most questions. Frozen, so that they may share it."""


def dependence_of(text: str, body: Mapping[str, Any], vary: Mapping[str, Any], leave_out: Sequence[str]) -> Dependence:
    """What the answer to a question depends on, `text` being its wording by the user ("" when the last turn is none).

    `leave_out` are the fields of the body that the category keeps out of the context.
    """
    found = find(text)
    if not found.volatile and not found.personal:
        return _ON_NOTHING
    names = named(body, vary, leave_out) if found.personal else ()
    return Dependence(rules=RULES, volatile=found.volatile, personal=found.personal, named=names)
