"""Score of a candidate: what the guards' evidence leaves of its similarity, as decisions tell it."""

from __future__ import annotations

from typing import NamedTuple

from refrain.schemas.decisions import Guarded
from refrain.streams import guards
from refrain.streams.guards import MICROS, GuardTerms, Overlap
from refrain.streams.shard.search.question import ShardQuestion

GUARD = "guard:"


class Scored(NamedTuple):
    """Scored match: the verdict that refuses it, its score (a similarity), and what each guard said."""

    refusal: str | None
    score: float
    guards: tuple[Guarded, ...] = ()
    overlap: Overlap | None = None


def score(question: ShardQuestion, cached: str, similarity: float, id_: str) -> Scored:
    """Score a cached question for one that is asked, by the category's guards.

    A veto refuses it; so does what is left below the threshold in force, by the guard that weighs most.
    """
    policy = question.policy
    if not policy.guards:
        return Scored(None, similarity)
    found = guards.weigh(GuardTerms.of(policy), guards.read(question.asked.question.data), guards.read(cached))
    said = tuple(
        Guarded(
            entry_id=id_,
            guard=v.guard,
            verdict=v.verdict,
            words=v.words,
            weight=v.weight / MICROS,
        )
        for v in found.verdicts
    )
    if found.refused is not None:
        return Scored(GUARD + found.refused.value, 0.0, said, found.overlap)
    left = found.score(similarity)
    if left >= round(question.effective.threshold * MICROS):
        return Scored(None, left / MICROS, said, found.overlap)
    return Scored(GUARD + found.heaviest.guard.value, max(0, left) / MICROS, said, found.overlap)
