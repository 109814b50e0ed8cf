"""Traffic generator of `refrain bench load`: who asks what when, the same for every run of a seed.

A question repeats an earlier one in the same or in other words, asks what only looks like an earlier one, or is new:
how often is fixed by the hit rates of the categories alone.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from refrain.ops.bench.load.questions import Questions
from refrain.ops.bench.load.scenario import (
    CATEGORIES,
    HITS_A_REPEAT,
    REWORDED,
    START_MS,
    ZIPF,
    Category,
    Phase,
    capacity_rps,
    millis,
)
from refrain.streams.errors import WrongSetup


class Arrival(NamedTuple):
    """A question: indexes of its category, intent and text; `kind` is known, same, reworded, near_miss or new.

    What is known is answered at once: it stands in the cache when the run starts.
    """

    at_ms: int
    category: int
    intent: int
    text: int
    kind: str


class _Asked:
    """What was asked in one category, most popular first, and what can still be asked about it."""

    def __init__(self) -> None:
        self.intents: list[int] = []
        self.to_reword: list[int] = []
        self.to_miss: list[int] = []
        self.texts: dict[int, list[int]] = {}


class _Mix(NamedTuple):
    """Shares of a category's questions; the rest is new."""

    same: float
    reworded: float
    near_miss: float

    @classmethod
    def of(cls, category: Category, near_misses: float) -> _Mix:
        repeats = category.hit_rate / HITS_A_REPEAT
        return cls(repeats * (1 - REWORDED), repeats * REWORDED, repeats * REWORDED * near_misses)

    @property
    def several(self) -> float:
        """The share of new questions that are drawn from those with several wordings: as many as get reworded."""
        new = 1 - sum(self)
        return self.reworded / max(new, self.reworded + self.near_miss)


class _Questioner:
    """Draws questions; what was asked decides what repeats."""

    def __init__(self, questions: Questions, draw: random.Random, near_misses: float) -> None:
        self._questions = questions
        self._draw = draw
        self._mixes = [_Mix.of(category, near_misses) for category in CATEGORIES]
        self._asked = [_Asked() for _ in CATEGORIES]
        self._taken: set[int] = set()
        numbers = list(range(len(questions.intents)))
        draw.shuffle(numbers)
        several = [number for number in numbers if len(questions.intents[number].wordings) > 1]
        self._fresh = {True: several, False: [n for n in numbers if len(questions.intents[n].wordings) == 1]}
        self._weights = list(accumulate(1 / rank**ZIPF for rank in range(1, len(numbers) + 1)))

    def know(self, category: int) -> tuple[int, int, str]:
        """A question of before the start: intent, text and kind."""
        intent, text, _ = self._new(category)
        return intent, text, "known"

    def ask(self, category: int) -> tuple[int, int, str]:
        """Intent, text and kind of the next question."""
        asked, mix = self._asked[category], self._mixes[category]
        chance = self._draw.random()
        if chance < mix.same and asked.intents:
            return self._again(asked)
        if mix.same <= chance < mix.same + mix.reworded and asked.to_reword:
            return self._reword(asked)
        if mix.same + mix.reworded <= chance < sum(mix) and (found := self._miss(asked)) is not None:
            return found
        return self._new(category)

    def _popular(self, among: list[int]) -> int:
        """A place in a list, by Zipf."""
        return bisect(self._weights, self._draw.random() * self._weights[len(among) - 1])

    def _reword(self, asked: _Asked) -> tuple[int, int, str]:
        place = self._popular(asked.to_reword)
        intent = asked.to_reword[place]
        said = asked.texts[intent]
        unsaid = [text for text in self._questions.intents[intent].wordings if text not in said]
        text = self._draw.choice(unsaid)
        said.append(text)
        if len(unsaid) == 1:
            del asked.to_reword[place]
        return intent, text, "reworded"

    def _miss(self, asked: _Asked) -> tuple[int, int, str] | None:
        while asked.to_miss:
            place = self._popular(asked.to_miss)
            near = self._questions.intents[asked.to_miss[place]].near
            open_ = [intent for intent in near if intent not in self._taken]
            if open_:
                intent = self._draw.choice(open_)
                return intent, self._introduce(asked, intent), "near_miss"
            del asked.to_miss[place]
        return None

    def _new(self, category: int) -> tuple[int, int, str]:
        asked = self._asked[category]
        several = self._draw.random() < self._mixes[category].several
        for pool in (self._fresh[several], self._fresh[not several]):
            while pool:
                intent = pool.pop()
                if intent not in self._taken:
                    return intent, self._introduce(asked, intent), "new"
        if not asked.intents:
            raise WrongSetup("there are fewer questions than categories: name a larger file, or none")
        return self._again(asked)

    def _again(self, asked: _Asked) -> tuple[int, int, str]:
        intent = asked.intents[self._popular(asked.intents)]
        return intent, self._draw.choice(asked.texts[intent]), "same"

    def _introduce(self, asked: _Asked, intent: int) -> int:
        known = self._questions.intents[intent]
        text = self._draw.choice(known.wordings)
        self._taken.add(intent)
        asked.intents.append(intent)
        asked.texts[intent] = [text]
        if len(known.wordings) > 1:
            asked.to_reword.append(intent)
        if known.near:
            asked.to_miss.append(intent)
        return text


def traffic(
    questions: Questions, seed: int, phases: tuple[Phase, ...], known: int, near_misses: float
) -> list[Arrival]:
    """Generate the questions of a seed, in order: what is known, then Poisson arrivals at the rates of the phases.

    Raises WrongSetup when there are too few questions to ask.
    """
    draw = random.Random(f"traffic/{seed}")
    questioner = _Questioner(questions, draw, near_misses)
    shares = list(accumulate(category.share for category in CATEGORIES))

    def category() -> int:
        return min(bisect(shares, draw.random() * shares[-1]), len(CATEGORIES) - 1)

    before = [(category(), draw.random()) for _ in range(known)]
    ages = sorted(((millis(CATEGORIES[which].ttl_s * part), which) for which, part in before), reverse=True)
    arrivals = [Arrival(START_MS - age_ms, which, *questioner.know(which)) for age_ms, which in ages]
    for at_ms in _times(draw, phases):
        which = category()
        arrivals.append(Arrival(at_ms, which, *questioner.ask(which)))
    return arrivals


def _times(draw: random.Random, phases: tuple[Phase, ...]) -> Iterator[int]:
    start_s = START_MS / 1_000
    for phase in phases:
        at_s, end_s = start_s, start_s + phase.seconds
        while (at_s := at_s + draw.expovariate(phase.demand * capacity_rps())) < end_s:
            yield round(at_s * 1_000)
        start_s = end_s
