"""Totals of a policy on recorded traffic, by category; and what an alternative's add up to beside the recorded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from refrain.schemas.decisions import Decision
from refrain.schemas.policy import Policy, Prices
from refrain.schemas.responses import Outcome

BUCKETS = 48
"""The number of equal time spans into which a recording is divided."""
GRID = tuple(number / 100 for number in range(50, 101))
"""Thresholds at which hits are counted (cosine similarity)."""


class Bounds(NamedTuple):
    """Bounds of a count that is partly unknown."""

    low: int
    high: int


@dataclass
class Totals:
    """What came of the requests of one category, or of all."""

    asked: int = 0
    hits: int = 0
    hits_assumed: int = 0
    """Hits of an answer that is assumed: such a one may not have been kept."""
    coalesced: int = 0
    forwards: int = 0
    passed: int = 0
    errors: int = 0
    stale: int = 0
    gained: int = 0
    """Hits here that were not hits live."""
    lost: int = 0
    """Live hits that are not hits here."""
    differ: int = 0
    """Answers that surely differ from the live ones."""
    unknown: int = 0
    """Answers that may differ from the live ones or not: nobody knows."""
    wrong: int = 0
    """Hits of a question and an answer that were judged wrong."""
    wrong_avoided: int = 0
    wrong_added: int = 0
    wrong_unknown: int = 0
    """Gained hits that nobody judged, and whose answer is not the live one."""
    saved_ms: int = 0
    saved_tokens: int = 0
    entries: int = 0
    """At the end."""
    entries_peak: int = 0

    def hit_bounds(self) -> Bounds:
        """How many hits there are at least, and at most."""
        return Bounds(self.hits - self.hits_assumed, self.hits)

    def forward_bounds(self) -> Bounds:
        """How many questions a model answers at least, and at most."""
        return Bounds(self.forwards, self.forwards + self.hits_assumed)

    def differ_bounds(self) -> Bounds:
        """How many answers differ from the live ones at least, and at most."""
        return Bounds(self.differ, self.differ + self.unknown)

    def wrong_bounds(self) -> Bounds:
        """How many hits are wrong at least, as far as hits were judged, and at most."""
        return Bounds(self.wrong, self.wrong + self.wrong_unknown)

    def add(self, other: Totals) -> None:
        """Add those of another category. Peaks are added too, though they may be of other times."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Usage(NamedTuple):
    """Tokens of answers."""

    input: int = 0
    output: int = 0

    def plus(self, other: Usage) -> Usage:
        """The sum."""
        return Usage(self.input + other.input, self.output + other.output)


def usage_of(body: object) -> Usage:
    """The tokens of an answer; where only their sum is told, it counts as input, the cheaper."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return Usage()
    given, made, total = (_count_of(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    return Usage(given, made) if given or made else Usage(total, 0)


def _count_of(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


@dataclass
class Tally:
    """Totals of one policy, as they grow."""

    name: str
    policy: Policy
    by_category: dict[str, Totals] = field(default_factory=dict)
    spent: dict[tuple[str, str], Usage] = field(default_factory=dict)
    """Tokens of what models answered, by category and model."""
    pairs: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Hits by category, question (digest) and answer (digest)."""
    kept_pairs: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Those that were the same live."""
    gained_pairs: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Gained hits whose answers are not known to be the live ones."""
    hits_by_time: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    asked_by_time: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    entries_by_time: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    saved_from: Counter[int] = field(default_factory=Counter)
    """Model time (ms) that hits saved, by their similarity in hundredths."""
    false_from: Counter[int] = field(default_factory=Counter)
    """Hits with another answer than the model gave to the same question, by their similarity in hundredths."""

    def of(self, category: str | None) -> Totals:
        """The totals of a category."""
        return self.by_category.setdefault(category or "-", Totals())

    def decided(self, decision: Decision, bucket: int, *, assumed: bool) -> None:
        """Count a decision."""
        totals = self.of(decision.category)
        totals.asked += 1
        self.asked_by_time[bucket] += 1
        match decision.outcome:
            case Outcome.HIT:
                totals.hits += 1
                totals.hits_assumed += assumed
                totals.stale += decision.stale
                totals.saved_ms += decision.saved_ms
                totals.saved_tokens += decision.saved_tokens
                self.hits_by_time[bucket] += 1
                self.saved_from[hundredths(decision)] += decision.saved_ms
            case Outcome.COALESCED:
                totals.coalesced += 1
            case Outcome.BYPASS:
                totals.passed += 1
            case Outcome.ERROR:
                totals.errors += 1
            case Outcome.MISS:
                pass

    def answered(self, category: str, model: str, usage: Usage) -> None:
        """Count what a model answered."""
        key = (category, model)
        self.spent[key] = self.spent.get(key, Usage()).plus(usage)

    def sampled(self, entries: dict[str, int], bucket: int) -> None:
        """Note how many entries there are, by category."""
        self.entries_by_time[bucket] = sum(entries.values())
        for category in self.by_category.keys() | entries.keys():
            totals = self.of(category)
            totals.entries = entries.get(category, 0)
            totals.entries_peak = max(totals.entries_peak, totals.entries)

    def judge(self, verdicts: dict[tuple[str, str], bool]) -> None:
        """Count wrong hits by what judgements say of a question and an answer: whether it was right."""
        for (category, *pair), count in self.pairs.items():
            if verdicts.get((pair[0], pair[1])) is False:
                self.of(category).wrong += count
        for (category, *pair), count in self.gained_pairs.items():
            if (pair[0], pair[1]) not in verdicts:
                self.of(category).wrong_unknown += count

    def compare_wrong(self, recorded: Tally, verdicts: dict[tuple[str, str], bool]) -> None:
        """Count the wrong hits that are avoided and added beside the recorded."""
        for key in recorded.pairs.keys() | self.pairs.keys():
            if verdicts.get((key[1], key[2])) is False:
                kept = self.kept_pairs[key]
                self.of(key[0]).wrong_avoided += recorded.pairs[key] - kept
                self.of(key[0]).wrong_added += self.pairs[key] - kept

    def whole(self) -> Totals:
        """The totals of all categories."""
        whole = Totals()
        for each in self.by_category.values():
            whole.add(each)
        return whole

    def money(self, prices: dict[str, Prices], category: str | None = None) -> float | None:
        """What the models' answers cost, of a category or of all; None where one has no price."""
        spent = 0.0
        for (of, model), usage in self.spent.items():
            if category is not None and of != category:
                continue
            price = prices.get(model)
            if price is None:
                return None
            spent += (usage.input * price.input_per_million + usage.output * price.output_per_million) / 1e6
        return spent

    def above(self, threshold: float) -> tuple[int, int]:
        """Model time saved (ms) and hits with another answer, of hits at least so similar."""
        least = round(threshold * 100)
        return (
            sum(ms for at, ms in self.saved_from.items() if at >= least),
            sum(count for at, count in self.false_from.items() if at >= least),
        )


def hundredths(decision: Decision) -> int:
    """The similarity of a hit in hundredths, rounded down; the same text is 100."""
    return 100 if decision.similarity is None else int(decision.similarity * 100 + 1e-9)
