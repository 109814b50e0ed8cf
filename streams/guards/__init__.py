"""Guards: cheap, pure checks of two similar questions for what cosine similarity cannot see.

A guard that finds a difference says no, with the words that decided. `read` parses a text once, `check` compares two
readings; both are functions of their arguments alone, so that a replay finds the same verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from refrain.schemas.policy import Guard
from refrain.streams.guards import code as code_tokens
from refrain.streams.guards import names as named
from refrain.streams.guards import negation, numbers, order
from refrain.streams.guards import question as kinds
from refrain.streams.guards.lexicon import digest
from refrain.streams.guards.reading import Read, read
from refrain.streams.guards.verdict import Verdict, not_applicable, passed, refused

__all__ = ["DIGEST", "Read", "Verdict", "check", "read"]

DIGEST = digest(Path(__file__).parent)
"""8 hex digits over the code of the guards and their word lists: part of the behaviour that a decision names."""

_ENGLISH_ONLY = frozenset((Guard.NEGATION, Guard.ORDER, Guard.QUESTION))
_DIFFERING: dict[Guard, Callable[[Read, Read], tuple[str, ...]]] = {
    Guard.NUMBERS: lambda a, b: numbers.differing(a.figures, b.figures),
    Guard.NEGATION: lambda a, b: negation.differing(a.denials, b.denials),
    Guard.NAMES: lambda a, b: named.differing(a.names, b.names, a.english and b.english),
    Guard.ORDER: lambda a, b: order.differing(a.roles, b.roles),
    Guard.CODE: lambda a, b: code_tokens.differing(a.code, b.code),
    Guard.QUESTION: lambda a, b: kinds.differing(a.kind, b.kind),
}


def check(names: Sequence[Guard], question: Read, cached: Read) -> list[Verdict]:
    """The verdicts of the guards in the order of `names`, up to and with the first refusal.

    Symmetric in effect: whether it refuses does not depend on which text is the cached one.
    """
    verdicts: list[Verdict] = []
    for guard in names:
        verdicts.append(_verdict(guard, question, cached))
        if verdicts[-1].verdict == "refused":
            break
    return verdicts


def _verdict(guard: Guard, a: Read, b: Read) -> Verdict:
    if a.text == b.text:
        return passed(guard)
    if a.rest != b.rest:
        # What was not looked at cannot be told apart.
        return refused(guard)
    if guard in _ENGLISH_ONLY and not (a.english and b.english):
        return not_applicable(guard)
    words = _DIFFERING[guard](a, b)
    return refused(guard, *words) if words else passed(guard)
