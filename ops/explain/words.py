"""Weighs two texts again, to name the words that decisions only count, and what another rule would have left."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from refrain.schemas.decisions import Guarded
from refrain.schemas.policy import CategoryPolicy, Guard
from refrain.streams import guards
from refrain.streams.guards import MICROS, Evidence, GuardTerms
from refrain.streams.shard.guard_words import GuardFinding


class WeighedAgain(NamedTuple):
    """The guards' evidence on two texts, weighed again."""

    evidence: Evidence
    findings: tuple[GuardFinding, ...]

    def words_of(self, said: Guarded) -> tuple[str, ...]:
        """The words that a guard weighed; none where what it says now is not what the decision tells."""
        for finding in self.findings:
            if finding.counted() == said:
                return finding.verdict.words
        return ()

    def score(self, similarity: float) -> float:
        """What is left of a similarity; 0 where a guard refuses."""
        return max(0, self.evidence.score(similarity)) / MICROS


def weigh_again(
    id_: str, asked: str, cached: str, policy: CategoryPolicy, without: Collection[Guard] = ()
) -> WeighedAgain:
    """Weigh a question and a kept one by a category's guards, `without` some of them."""
    terms = GuardTerms.of(policy)
    terms = terms._replace(guards=tuple(guard for guard in terms.guards if guard not in without))
    found = guards.weigh(terms, guards.read(asked), guards.read(cached))
    return WeighedAgain(found, tuple(GuardFinding.of(id_, verdict, asked, cached) for verdict in found.verdicts))


def guards_in_the_way(
    asked: str, cached: str, similarity: float, threshold: float, policy: CategoryPolicy
) -> tuple[Guard, ...] | None:
    """The guards without which a match is a hit, those that weigh most first; None where it is none without any."""
    without: list[Guard] = []
    while True:
        found = weigh_again("", asked, cached, policy, without)
        if found.evidence.refused is None and found.score(similarity) >= threshold:
            return tuple(without)
        if found.evidence.refused is None and not found.evidence.penalty:
            return None
        without.append(found.evidence.refused or found.evidence.heaviest.guard)
