"""Score of a candidate: what evidence and the trained head leave of its similarity, as decisions tell it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from refrain.schemas.base import TextSide
from refrain.streams import guards
from refrain.streams.guards import MICROS, Evidence, GuardTerms, Overlap
from refrain.streams.shard.guard_words import GuardFinding
from refrain.streams.shard.search.question import ShardQuestion

GUARD, HEAD = "guard:", "head"
PAIRS_REMEMBERED = 1_024
"""Pairs of texts whose evidence is remembered: a rewording is often asked again, and of every policy of a what-if."""
PAIR_CHARS_MAX = 2_000
"""Characters of both texts of a pair that is remembered."""


class CachedText(NamedTuple):
    """A cached question: its id on the wire, its text, and its side for the trained head."""

    id: str
    text: str
    side: TextSide | None


class Scored(NamedTuple):
    """Scored match: the verdict that refuses it, its score (a similarity), and what each guard and the head said."""

    refusal: str | None
    score: float
    guards: tuple[GuardFinding, ...] = ()
    overlap: Overlap | None = None
    head_weight: float | None = None


def score(question: ShardQuestion, cached: CachedText, similarity: float) -> Scored:
    """Score a cached question for one that is asked, by the category's guards and its trained head.

    A veto refuses it; so does what is left below the threshold in force, by what weighs most.
    Raises ValueError for a side of a text that the head cannot read.
    """
    policy = question.policy
    if not policy.guards:
        return Scored(None, similarity)
    asked = question.asked.question.data
    found = _evidence(GuardTerms.of(policy), asked, cached.text)
    said = tuple([GuardFinding.of(cached.id, verdict, asked, cached.text) for verdict in found.verdicts])
    if found.refused is not None:
        return Scored(GUARD + found.refused.value, 0.0, said, found.overlap)
    least = round(question.effective.threshold * MICROS)
    left = found.score(similarity)
    # What the guards refuse needs no second reader.
    weight = _head_weight(question, cached, similarity, found) if left >= least else None
    left -= weight or 0
    refusal = None if left >= least else _heaviest(found, weight)
    return Scored(refusal, max(0, left) / MICROS, said, found.overlap, None if weight is None else weight / MICROS)


def _evidence(terms: GuardTerms, asked: str, cached: str) -> Evidence:
    if len(asked) + len(cached) > PAIR_CHARS_MAX:
        return guards.weigh(terms, guards.read(asked), guards.read(cached))
    return _remembered(terms, asked, cached)


@lru_cache(maxsize=PAIRS_REMEMBERED)
def _remembered(terms: GuardTerms, asked: str, cached: str) -> Evidence:
    return guards.weigh(terms, guards.read(asked), guards.read(cached))


def _head_weight(question: ShardQuestion, cached: CachedText, similarity: float, found: Evidence) -> int | None:
    """What the head takes off, in millionths; None where there is none, or a text was not read by this one."""
    head, asked = question.head, question.asked.text_side
    if head is None or asked is None or cached.side is None:
        return None
    if not asked.hit_head == cached.side.hit_head == head.version:
        return None
    return head.weight(
        asked.tokens,
        cached.side.tokens,
        similarity=round(similarity * MICROS),
        letters=found.overlap.letters,
        stems=found.overlap.words,
        penalty=found.penalty,
    )


def _heaviest(found: Evidence, head_weight: int | None) -> str:
    heaviest = found.heaviest
    return HEAD if (head_weight or 0) > heaviest.weight else GUARD + heaviest.guard.value
