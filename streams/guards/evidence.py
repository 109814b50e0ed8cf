"""Evidence for and against a hit: the differences between two questions, and what is left of their similarity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, NamedTuple

from refrain.schemas.policy import CategoryPolicy, Guard, Strictness
from refrain.streams.guards import (
    code,
    foreign_edits,
    forms,
    instruction,
    names,
    negation,
    numbers,
    order,
    payload,
    question,
    scope,
    uses,
    word_edits,
)
from refrain.streams.guards.frame import EQUAL, Overlap, overlap
from refrain.streams.guards.language import are_apart
from refrain.streams.guards.reading import Reading
from refrain.streams.guards.verdict import Verdict, not_applicable, passed, refused, weighed
from refrain.streams.guards.weights import MICROS, VETO, weight_of

FOREIGN_FRAME = 500
"""Overlap (thousandths) from which texts of a language without word lists share a frame."""
_ENGLISH_ONLY = frozenset((Guard.NEGATION, Guard.ORDER, Guard.QUESTION))


class GuardTerms(NamedTuple):
    """Terms of a category for its guards: which, how strict, which of them veto, and what an unread language is."""

    guards: tuple[Guard, ...] = tuple(Guard)
    strictness: Strictness = Strictness.NORMAL
    veto: tuple[Guard, ...] = ()
    unverified: Literal["miss", "hit", "frame"] = "miss"

    @classmethod
    def of(cls, policy: CategoryPolicy) -> GuardTerms:
        """The terms of a category's policy."""
        return cls(policy.guards, policy.strictness, policy.veto, policy.unverified)


class Evidence(NamedTuple):
    """Evidence of two questions: their overlap, the guards' verdicts up to a veto, and what they take off together."""

    overlap: Overlap
    verdicts: tuple[Verdict, ...]
    penalty: int
    """Millionths of similarity."""
    refused: Guard | None
    """The guard that decides against it."""

    def score(self, similarity: float) -> int:
        """What is left of a similarity (cosine), in millionths; never more than the similarity."""
        return round(similarity * MICROS) - self.penalty

    @property
    def heaviest(self) -> Verdict:
        """The verdict that takes off most, the first of equals. Raises ValueError where no guard was asked."""
        return max(self.verdicts, key=lambda verdict: verdict.weight)


class Difference(NamedTuple):
    """Difference that a guard finds: its words, and its kind where the table of weights tells kinds apart."""

    words: tuple[str, ...]
    kind: str = ""


def weigh(terms: GuardTerms, asked: Reading, cached: Reading) -> Evidence:
    """Weigh two readings. Symmetric in effect: what it comes to does not depend on which text is the cached one."""
    if asked.text == cached.text:
        return Evidence(EQUAL, tuple([passed(guard) for guard in terms.guards]), 0, None)
    shared = overlap(asked.letters, cached.letters)
    verdicts: list[Verdict] = []
    for guard in _in_order(terms.guards):
        if guard is Guard.WORDING:
            verdict = _wording(terms, shared, asked, cached, verdicts)
        else:
            verdict = _verdict(guard, terms, shared, asked, cached)
        verdicts.append(verdict)
        if verdict.verdict != "passed" and _decides(verdict, terms):
            return Evidence(shared, tuple(verdicts), VETO, guard)
    return Evidence(shared, tuple(verdicts), sum([each.weight for each in verdicts]), None)


@cache
def _in_order(guards: tuple[Guard, ...]) -> tuple[Guard, ...]:
    """Guards as they are asked: `wording` last, which looks at what the others found."""
    return tuple(sorted(guards, key=lambda guard: guard is Guard.WORDING))


def _decides(verdict: Verdict, terms: GuardTerms) -> bool:
    return verdict.verdict == "refused" or (verdict.verdict == "not_applicable" and terms.unverified == "miss")


def _verdict(guard: Guard, terms: GuardTerms, shared: Overlap, a: Reading, b: Reading) -> Verdict:
    if a.rest != b.rest:
        # What was not looked at cannot be told apart.
        return refused(guard)
    if not (a.english and b.english) and (guard in _ENGLISH_ONLY or guard is Guard.WORDS):
        return _foreign(guard, terms, shared, a, b)
    found = _DIFFERENCES[guard](a, b)
    return passed(guard) if found is None else _told(guard, found, terms, shared)


def _wording(terms: GuardTerms, shared: Overlap, a: Reading, b: Reading, others: Sequence[Verdict]) -> Verdict:
    """Verdict on other words: texts of which each word is accounted for are as near as they seem, others less so."""
    if a.rest != b.rest:
        return refused(Guard.WORDING)
    if all(verdict.verdict == "passed" for verdict in others):
        return passed(Guard.WORDING)
    return _told(Guard.WORDING, Difference(()), terms, shared)


def _told(guard: Guard, found: Difference, terms: GuardTerms, shared: Overlap) -> Verdict:
    """Verdict on a difference, by what it weighs."""
    weight = VETO if guard in terms.veto else weight_of(guard, found.kind, shared, terms.strictness)
    return refused(guard, *found.words) if weight == VETO else weighed(guard, weight, found.words)


def _foreign(guard: Guard, terms: GuardTerms, shared: Overlap, a: Reading, b: Reading) -> Verdict:
    """Verdict of a guard that reads English alone: under `frame`, whether the texts could be told apart at all."""
    if terms.unverified != "frame":
        return not_applicable(guard)
    if are_apart(a.languages, b.languages):
        return refused(guard)
    if asked := foreign_edits.asked_apart(a.words, b.words):
        return refused(guard, *asked)
    if max(shared.letters, shared.signs) >= FOREIGN_FRAME or word_edits.is_frame(a.words, b.words):
        words = word_edits.any_difference(a.words, b.words, a.languages & b.languages)
        return refused(guard, *words) if words else passed(guard)
    return not_applicable(guard)


def _difference(words: tuple[str, ...]) -> Difference | None:
    return Difference(words) if words else None


def _numbers(a: Reading, b: Reading) -> Difference | None:
    words = numbers.differences(a.quantities, b.quantities)
    if not words:
        return None
    return Difference(words, "both" if numbers.on_both_sides(a.quantities, b.quantities) else "one")


def _names(a: Reading, b: Reading) -> Difference | None:
    words = names.differences(a.names, b.names, a.english and b.english)
    if not words:
        return None
    if names.are_named(a.names, b.names, words):
        return Difference(words, "named")
    return Difference(words, word_edits.edit(a.words, b.words, words, question.NONE not in (a.kind.kind, b.kind.kind)))


def _question(a: Reading, b: Reading) -> Difference | None:
    words = question.differences(a.kind, b.kind)
    if not words:
        return None
    return Difference(words, "measured" if question.are_measured(a.kind, b.kind) else "")


def _instruction(a: Reading, b: Reading) -> Difference | None:
    found = instruction.differences(a.instructions, b.instructions)
    return None if found is None else Difference(found.words, found.kind)


_ANYHOW = (uses.needs, uses.caused, uses.prevented, uses.particles, uses.timed)
"""Uses of words by which two texts ask for something else, however few words they have in common."""


def _words(a: Reading, b: Reading) -> Difference | None:
    if again := word_edits.anew(a.words, b.words):
        return Difference(again, "anew")
    if degrees := scope.degrees(a.words, b.words):
        return Difference(degrees, "degree")
    if signs := word_edits.signs(a.words, b.words):
        return Difference(signs, "signs")
    if used := next(filter(None, (use(a.words, b.words) for use in _ANYHOW)), []):
        return Difference(tuple(used), "harmful")
    if not word_edits.is_frame(a.words, b.words):
        more = word_edits.wanted(a.words, b.words) if a.words.request and b.words.request else ()
        return Difference(more, "extra") if more else None
    found = word_edits.edits(a.words, b.words)
    if found.harmful:
        return Difference(found.harmful, "harmful")
    return Difference(found.extra, "extra") if found.extra else None


_DIFFERENCES: dict[Guard, Callable[[Reading, Reading], Difference | None]] = {
    Guard.NUMBERS: _numbers,
    Guard.NEGATION: lambda a, b: _difference(negation.differences(a.negations, b.negations)),
    Guard.NAMES: _names,
    Guard.ORDER: lambda a, b: _difference(order.differences(a.roles, b.roles)),
    Guard.CODE: lambda a, b: _difference(code.differences(a.code, b.code)),
    Guard.QUESTION: _question,
    Guard.WORDS: _words,
    Guard.PAYLOAD: lambda a, b: _difference(
        payload.differences(a.payload, b.payload) or forms.differences(a.forms, b.forms)
    ),
    Guard.INSTRUCTION: _instruction,
}
