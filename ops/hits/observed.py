"""Labels by observation: where the cache was only observed, both answers are known, and how near they are.

Two answers that say the same make their questions the same; answers that are far apart make them others. What lies
between says neither, and nobody is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from pydantic import ValidationError

from refrain.ops.cluster.scan import records
from refrain.ops.hits.labels import Texts
from refrain.ops.hits.near import Wanted, near_decisions
from refrain.ops.hits.pairs import DECISIONS, without_uncacheable
from refrain.ops.hits.texts import HitPair, pairs_of
from refrain.schemas.observations import Comparison
from refrain.schemas.policy import Policy
from refrain.streams.kafka.interface import Cluster, Record

COMPARISONS = "comparisons"
ANYWHERE = 2.0
"""No similarity is farther from a threshold."""


class AnswerBounds(NamedTuple):
    """From which similarity on two answers say the same, and up to which they say other things."""

    same_from: float = 0.95
    other_to: float = 0.7

    def label(self, comparison: Comparison) -> bool | None:
        """Whether the questions are the same; None when the answers do not tell."""
        if comparison.equal:
            return True
        if comparison.similarity is None or self.other_to < comparison.similarity < self.same_from:
            return None
        return comparison.similarity >= self.same_from


class ObservedPairs(NamedTuple):
    """Labelled pairs, of how many comparisons the answers do not tell, and of how many a text is gone."""

    pairs: list[tuple[HitPair, bool]]
    undecided: int
    gone: int


def observed_pairs(
    cluster: Cluster, bounds: AnswerBounds, wanted: str | None, policy: Policy | None, known: Collection[Texts]
) -> ObservedPairs:
    """Pairs of the observed decisions of a category (None: of all), none of those that are `known` by their texts."""
    said = _labels(records(cluster, COMPARISONS, "reading comparisons"), bounds)
    labels = {id_: label for id_, label in said.items() if label is not None}
    decided = records(cluster, DECISIONS, "reading decisions") if labels else ()
    near = near_decisions(decided, without_uncacheable(Wanted(ANYWHERE, wanted), policy))
    found = pairs_of(cluster, [each for each in near if each.id in labels])
    new = [pair for pair in found.pairs if (pair.text_a, pair.text_b) not in known]
    return ObservedPairs([(pair, labels[pair.decision.id]) for pair in new], len(said) - len(labels), found.gone)


def _labels(comparisons: Iterable[Record], bounds: AnswerBounds) -> dict[str, bool | None]:
    """The label of each decision; a comparison that cannot be read is passed over."""
    found: dict[str, bool | None] = {}
    for record in comparisons:
        try:
            comparison = Comparison.decode(record.value or b"")
        except ValidationError:
            continue
        found[comparison.decision_id] = bounds.label(comparison)
    return found
