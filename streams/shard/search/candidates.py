"""Assesses candidates: below threshold, withdrawn, expired, refused by a guard or by the verifier.

Guards and verifier scores are consulted only about candidates that would be served otherwise, best first.
"""

from __future__ import annotations

from dataclasses import dataclass

from refrain.schemas.decisions import Candidate
from refrain.streams.guards import MICROS, Overlap
from refrain.streams.shard.guard_words import GuardFinding
from refrain.streams.shard.index.entries import IndexedEntry
from refrain.streams.shard.removal import is_withdrawn
from refrain.streams.shard.search.corroboration import corroborates
from refrain.streams.shard.search.question import ShardQuestion
from refrain.streams.shard.search.scoring import CachedText, Scored, score
from refrain.streams.shard.state import Shard

FRESH, EXPIRED, WITHDRAWN, BELOW = "fresh", "expired", "withdrawn", "below_threshold"
VERIFIER, SILENT, AMBIGUOUS = "verifier", "verifier_silent", "ambiguous"
UNCORROBORATED = "uncorroborated"
_AGREEING = frozenset((FRESH, UNCORROBORATED, VERIFIER, SILENT))
"""Verdicts on candidates that are near, in force, and may agree with another."""
LEAST = 1 / MICROS
"""The least by which one score is above another."""
ROUNDS_MAX = 2
"""Verifications that one question may wait for, one after the other."""


@dataclass(slots=True)
class Assessed:
    """Assessed candidate: an entry, its similarity, and the verdict on it."""

    entry: IndexedEntry
    similarity: float
    age_ms: int
    verdict: str
    same_text: bool
    """The question's own text needs neither guards nor verification."""
    checked: bool = False
    """Whether guards and verifier score were consulted."""
    scored: Scored | None = None

    @property
    def score(self) -> float:
        """What the evidence leaves of the similarity; the similarity itself while no guard is asked."""
        return self.similarity if self.scored is None else self.scored.score

    @property
    def overlap(self) -> Overlap | None:
        """Overlap of the two texts, None while no guard is asked."""
        return None if self.scored is None else self.scored.overlap


class Candidates:
    """The candidates of one question, most similar first."""

    def __init__(self, shard: Shard, question: ShardQuestion) -> None:
        self._shard = shard
        self._question = question
        self.assessed: list[Assessed] = []
        self.guarded: list[GuardFinding] = []
        """What the guards said, candidate after candidate."""
        self.doubt: Assessed | None = None
        """The first candidate that lacks only a verifier's score to be served."""

    def assess(self, entry: IndexedEntry, similarity: float, *, same_text: bool = False) -> Assessed:
        """Assess one more candidate by similarity, withdrawal and age."""
        age_ms, now = max(0, self._shard.time_ms - entry.admitted_at_ms), self._question.effective
        if similarity < now.threshold:
            verdict = BELOW
        elif is_withdrawn(self._shard, entry, self._question.namespace):
            verdict = WITHDRAWN
        else:
            verdict = EXPIRED if age_ms > now.ttl_ms else FRESH
        assessed = Assessed(entry, similarity, age_ms, verdict, same_text)
        self.assessed.append(assessed)
        return assessed

    def is_servable(self, each: Assessed) -> bool:
        """Whether a near and fresh candidate passes the guards, and the verifier where the category asks for one."""
        if each.same_text or each.checked:
            return each.verdict in (FRESH, EXPIRED)
        if self.doubt is not None:
            return False
        each.checked = True
        verdict = self._guard(each) or self._corroboration(each) or self._opinion(each)
        if verdict is not None:
            each.verdict = verdict
        return verdict is None and self.doubt is None

    def best(self) -> Assessed | None:
        """Best fresh and servable candidate by its score, unless another answer is as near as the margin."""
        found: Assessed | None = None
        margin = self._question.policy.margin
        for each in [each for each in self.assessed if each.verdict == FRESH]:
            # No score is above its similarity: what follows cannot come nearer.
            if found is not None and found.score - each.similarity >= margin:
                break
            if not self.is_servable(each):
                if self.doubt is not None:
                    break
            elif found is None or each.score - found.score >= max(margin, LEAST):
                found = each
            elif abs(found.score - each.score) < margin and self._answer(found) != self._answer(each):
                found.verdict = each.verdict = AMBIGUOUS
                return None
        return found

    def stale(self) -> Assessed | None:
        """Best expired candidate that may be served once more (stale while revalidating)."""
        ttl_ms = self._question.effective.ttl_ms + self._question.policy.stale_while_revalidate_ms
        for each in [each for each in self.assessed if each.verdict == EXPIRED]:
            if each.age_ms <= ttl_ms and not each.entry.stale_served and self.is_servable(each):
                return each
        return None

    def at_base(self, chosen: Assessed) -> bool:
        """Whether something would be served at load 0 as well: the hit is not owed to load."""
        base = self._question.base
        return any(
            each.similarity >= base.threshold
            and each.age_ms <= base.ttl_ms
            and self.is_servable(each)
            and each.score >= base.threshold
            for each in [chosen, *(each for each in self.assessed if each.verdict == FRESH and each is not chosen)]
        )

    def refusal(self) -> str | None:
        """Verdict against the best candidate above the threshold; None when there is none."""
        return next((each.verdict for each in self.assessed if each.verdict not in (FRESH, BELOW)), None)

    def head_weight(self) -> float | None:
        """What the trained head takes off the first candidate that it compared; None where it compared none."""
        weights = (each.scored.head_weight for each in self.assessed if each.scored is not None)
        return next((weight for weight in weights if weight is not None), None)

    def listed(self, chosen: Assessed | None = None) -> tuple[Candidate, ...]:
        """Candidates as decision records list them."""
        return tuple(
            [
                Candidate.trusted(
                    entry_id=self._shard.wire_id(each.entry.id),
                    similarity=each.similarity,
                    score=None if each.scored is None else each.scored.score,
                    letters=None if each.overlap is None else each.overlap.letters,
                    stems=None if each.overlap is None else each.overlap.words,
                    head_weight=None if each.scored is None else each.scored.head_weight,
                    age_ms=each.age_ms,
                    verdict="served" if each is chosen else "not_needed" if each.verdict == FRESH else each.verdict,
                )
                for each in self.assessed
            ]
        )

    def _guard(self, each: Assessed) -> str | None:
        if not self._question.policy.guards:
            return None
        if each.scored is not None:
            return each.scored.refusal
        kept = self._shard.stored_answer(each.entry)
        cached = CachedText(self._shard.wire_id(each.entry.id), kept.question, kept.text_side)
        each.scored = score(self._question, cached, each.similarity)
        self.guarded += each.scored.guards
        return each.scored.refusal

    def _corroboration(self, each: Assessed) -> str | None:
        """Whether a second fresh candidate that passes the guards must agree, and none does."""
        if self._question.policy.corroborate < 2:
            return None
        own, shared = self._shard.stored_answer(each.entry), self._question.space == "*"
        for other in self.assessed:
            if other is each or other.verdict not in _AGREEING or self._guard(other) is not None:
                continue
            if corroborates(own, self._shard.stored_answer(other.entry), shared=shared):
                return None
        return UNCORROBORATED

    def _opinion(self, each: Assessed) -> str | None:
        least = self._question.policy.verify
        if least is None:
            return None
        opinion = self._shard.opinion(each.entry.id, self._question.asked.text_digest)
        if opinion is not None:
            return None if opinion.score is not None and opinion.score >= least else VERIFIER
        verification = self._question.verification
        if verification.silent or verification.rounds >= ROUNDS_MAX:
            return SILENT
        self.doubt = each
        return None

    def _answer(self, each: Assessed) -> str:
        return self._shard.stored_answer(each.entry).digest
