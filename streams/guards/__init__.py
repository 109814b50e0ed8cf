"""Guards: cheap, pure checks of two similar questions for what cosine similarity cannot see.

A guard that finds a difference refuses the hit and names the words that decided. `read` parses a text once,
`check` compares two readings; both are functions of their arguments alone, so that a replay finds the same verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from refrain.schemas.policy import Guard
from refrain.streams.guards import code, names, negation, numbers, order, question
from refrain.streams.guards.lexicon import digest
from refrain.streams.guards.reading import Reading, read
from refrain.streams.guards.verdict import Verdict, not_applicable, passed, refused

__all__ = ["DIGEST", "Reading", "Verdict", "check", "read"]

DIGEST = digest(Path(__file__).parent)
"""8 hex digits over the code of the guards and their word lists: part of the behaviour that a decision names."""

_ENGLISH_ONLY = frozenset((Guard.NEGATION, Guard.ORDER, Guard.QUESTION))
_DIFFERENCES: dict[Guard, Callable[[Reading, Reading], tuple[str, ...]]] = {
    Guard.NUMBERS: lambda a, b: numbers.differences(a.quantities, b.quantities),
    Guard.NEGATION: lambda a, b: negation.differences(a.negations, b.negations),
    Guard.NAMES: lambda a, b: names.differences(a.names, b.names, a.english and b.english),
    Guard.ORDER: lambda a, b: order.differences(a.roles, b.roles),
    Guard.CODE: lambda a, b: code.differences(a.code, b.code),
    Guard.QUESTION: lambda a, b: question.differences(a.kind, b.kind),
}


def check(enabled: Sequence[Guard], asked: Reading, cached: Reading) -> list[Verdict]:
    """Check two readings: the verdicts of the guards in the order of `enabled`, up to and with the first refusal.

    Symmetric in effect: whether it refuses does not depend on which text is the cached one.
    """
    verdicts: list[Verdict] = []
    for guard in enabled:
        verdicts.append(_verdict(guard, asked, cached))
        if verdicts[-1].verdict == "refused":
            break
    return verdicts


def _verdict(guard: Guard, a: Reading, b: Reading) -> Verdict:
    if a.text == b.text:
        return passed(guard)
    if a.rest != b.rest:
        # What was not looked at cannot be told apart.
        return refused(guard)
    if guard in _ENGLISH_ONLY and not (a.english and b.english):
        return not_applicable(guard)
    words = _DIFFERENCES[guard](a, b)
    return refused(guard, *words) if words else passed(guard)
