"""What speaks against each candidate: too far, withdrawn, too old, a guard, a second opinion.

Guards and opinions are asked only about candidates that would be served otherwise, best first.
"""

from __future__ import annotations

from dataclasses import dataclass

from refrain.schemas.decisions import Candidate, Guarded
from refrain.streams import guards
from refrain.streams.shard.index.entries import IndexedEntry
from refrain.streams.shard.removal import is_withdrawn
from refrain.streams.shard.search.question import ShardQuestion
from refrain.streams.shard.state import Shard

FRESH, EXPIRED, WITHDRAWN, BELOW = "fresh", "expired", "withdrawn", "below_threshold"
VERIFIER, SILENT, AMBIGUOUS = "verifier", "verifier_silent", "ambiguous"
GUARD = "guard:"
ROUNDS_MAX = 2
"""Second opinions that one question may wait for, one after the other."""


@dataclass(slots=True)
class Assessed:
    """An entry that was considered, and what speaks against it."""

    seen: IndexedEntry
    similarity: float
    age_ms: int
    verdict: str
    same_text: bool
    """The question's own text needs neither guards nor a second opinion."""
    checked: bool = False
    """Whether guards and opinion were asked."""


class Candidates:
    """The candidates of one question, most similar first."""

    def __init__(self, shard: Shard, question: ShardQuestion) -> None:
        self._shard = shard
        self._question = question
        self.looked: list[Assessed] = []
        self.guarded: list[Guarded] = []
        """What the guards said, candidate after candidate."""
        self.doubt: Assessed | None = None
        """The first candidate that only a second opinion keeps from being served."""

    def look(self, seen: IndexedEntry, similarity: float, *, same_text: bool = False) -> Assessed:
        """Consider one more."""
        age_ms, now = max(0, self._shard.time_ms - seen.admitted_at_ms), self._question.effective
        if similarity < now.threshold:
            verdict = BELOW
        elif is_withdrawn(self._shard, seen, self._question.namespace):
            verdict = WITHDRAWN
        else:
            verdict = EXPIRED if age_ms > now.ttl_ms else FRESH
        looked = Assessed(seen, similarity, age_ms, verdict, same_text)
        self.looked.append(looked)
        return looked

    def stands(self, each: Assessed) -> bool:
        """Whether a candidate that is near and alive passes the guards, and a second opinion where one is needed."""
        if each.same_text or each.checked:
            return each.verdict in (FRESH, EXPIRED)
        if self.doubt is not None:
            return False
        each.checked = True
        verdict = self._guard(each) or self._opinion(each)
        if verdict is not None:
            each.verdict = verdict
        return verdict is None and self.doubt is None

    def best(self) -> Assessed | None:
        """The best candidate that is fresh and stands, unless another answer is as near as the margin."""
        found: Assessed | None = None
        margin = self._question.policy.margin
        for each in [each for each in self.looked if each.verdict == FRESH]:
            if found is not None and found.similarity - each.similarity >= margin:
                break
            if not self.stands(each):
                if self.doubt is not None:
                    break
                continue
            if found is None:
                found = each
            elif self._answer(found) != self._answer(each):
                found.verdict = each.verdict = AMBIGUOUS
                return None
        return found

    def stale(self) -> Assessed | None:
        """The best expired candidate that may be served once more."""
        ttl_ms = self._question.effective.ttl_ms + self._question.policy.stale_while_revalidate_ms
        for each in [each for each in self.looked if each.verdict == EXPIRED]:
            if each.age_ms <= ttl_ms and not each.seen.stale_served and self.stands(each):
                return each
        return None

    def at_base(self, chosen: Assessed) -> bool:
        """Whether something would be served at load 0 as well."""
        base = self._question.base
        return any(
            each.similarity >= base.threshold and each.age_ms <= base.ttl_ms and self.stands(each)
            for each in [chosen, *(each for each in self.looked if each.verdict == FRESH and each is not chosen)]
        )

    def refusal(self) -> str | None:
        """What speaks against the best candidate above the threshold; None when there is none."""
        return next((each.verdict for each in self.looked if each.verdict not in (FRESH, BELOW)), None)

    def listed(self, chosen: Assessed | None = None) -> tuple[Candidate, ...]:
        """The candidates as decisions name them."""
        return tuple(
            Candidate(
                entry_id=self._shard.wire_id(each.seen.id),
                similarity=each.similarity,
                age_ms=each.age_ms,
                verdict="served" if each is chosen else "not_needed" if each.verdict == FRESH else each.verdict,
            )
            for each in self.looked
        )

    def _guard(self, each: Assessed) -> str | None:
        if not self._question.policy.guards:
            return None
        cached = self._shard.kept(each.seen).question
        refused, said = guard(self._question, cached, self._shard.wire_id(each.seen.id))
        self.guarded += said
        return refused

    def _opinion(self, each: Assessed) -> str | None:
        least = self._question.policy.verify
        if least is None:
            return None
        opinion = self._shard.opinion(each.seen.id, self._question.asked.text_digest)
        if opinion is not None:
            return None if opinion.score is not None and opinion.score >= least else VERIFIER
        second = self._question.second
        if second.silent or second.rounds >= ROUNDS_MAX:
            return SILENT
        self.doubt = each
        return None

    def _answer(self, each: Assessed) -> str:
        return self._shard.kept(each.seen).digest


def guard(question: ShardQuestion, cached: str, id_: str) -> tuple[str | None, list[Guarded]]:
    """What the category's guards say of a cached question: the verdict that refuses it, and what each said.

    A guard that does not apply to the language refuses where the policy says so.
    """
    said = guards.check(question.policy.guards, guards.read(question.asked.question.data), guards.read(cached))
    strict = question.policy.unverified == "miss"
    refused = next((v for v in said if v.verdict == "refused" or (strict and v.verdict == "not_applicable")), None)
    told = [Guarded(entry_id=id_, guard=v.guard, verdict=v.verdict, words=v.words) for v in said]
    return None if refused is None else GUARD + refused.guard.value, told
