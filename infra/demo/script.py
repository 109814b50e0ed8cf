"""The questions and steps of the demo, read from `demo.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from refrain.schemas.policy import Guard
from refrain.schemas.requests import CacheMode

FILE = Path(__file__).resolve().parent / "demo.yaml"
POLICY = Path(__file__).resolve().parents[1] / "policies" / "default.yaml"


class ScriptedQuestion(BaseModel):
    """One question, when it is asked, and what must come of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str = Field(min_length=1)
    category: str | None
    wave: int = Field(ge=1)
    expect: Literal["miss", "hit", "bypass", "not_cached"]
    same_as: str | None = None
    """Of a hit: the earlier question whose answer it must bring."""
    guard: Guard | None = None
    """Of a miss: the guard that must refuse it, though it is similar enough."""
    near: str | None = None
    """Of such a miss: the earlier question that it resembles."""
    source: str | None = None
    """The document that the answer draws on."""
    cache: CacheMode = CacheMode.USE


class _Rewording(BaseModel):
    """A rewording that a step asks twice: once it is served, and once not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str = Field(min_length=1)
    category: str | None
    same_as: str
    """The question whose answer it must bring where it is served."""


class LoadStep(_Rewording):
    """A rewording that is served only while the model is overloaded, and what its connector reports then."""

    latency_p95_ms: float = Field(gt=0)
    queue_depth: float = Field(ge=0)

    def before(self, wave: int) -> ScriptedQuestion:
        """The question while nothing is reported; of the cache alone, so that no answer to it is kept."""
        return ScriptedQuestion(
            question=self.question, category=self.category, wave=wave, expect="not_cached", cache=CacheMode.ONLY
        )

    def under(self, wave: int) -> ScriptedQuestion:
        """The same request under load."""
        return self.before(wave).model_copy(update={"expect": "hit", "same_as": self.same_as})


class WithdrawalStep(_Rewording):
    """A rewording that is served until all that draws on a document is withdrawn."""

    source: str = Field(min_length=1)
    """The document, named by `same_as`."""

    def before(self, wave: int) -> ScriptedQuestion:
        """The question while the answer is good."""
        return ScriptedQuestion(
            question=self.question,
            category=self.category,
            wave=wave,
            expect="hit",
            same_as=self.same_as,
            source=self.source,
        )

    def after(self, wave: int) -> ScriptedQuestion:
        """The same request when it is withdrawn."""
        return self.before(wave).model_copy(update={"expect": "miss", "same_as": None})


class Demo(BaseModel):
    """All questions, the steps behind them, and the model that they name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    questions: tuple[ScriptedQuestion, ...]
    load: LoadStep | None = None
    withdrawal: WithdrawalStep | None = None

    @model_validator(mode="after")
    def _whole(self) -> Demo:
        for asked in self.questions:
            before = {other.question for other in self.questions if other.wave < asked.wave}
            if asked.expect == "hit" and asked.same_as not in before:
                raise ValueError(f"{asked.question!r} must hit, and same_as is no question of an earlier wave")
            if asked.guard is not None and (asked.expect != "miss" or asked.near not in before):
                raise ValueError(f"{asked.question!r} names a guard: it must miss, and be near one of an earlier wave")
        sources = {asked.question: asked.source for asked in self.questions if asked.expect == "miss"}
        if not sources:
            raise ValueError("no question must miss: one that is kept shows that the search for text is not blind")
        if self.load is not None and self.load.same_as not in sources:
            raise ValueError(f"load: same_as is no question that must miss: {self.load.same_as!r}")
        if self.withdrawal is not None and sources.get(self.withdrawal.same_as) != self.withdrawal.source:
            raise ValueError(f"withdrawal: same_as is no question with the source {self.withdrawal.source!r}")
        return self

    def waves(self) -> Iterator[tuple[ScriptedQuestion, ...]]:
        """The questions wave by wave."""
        for number in sorted({asked.wave for asked in self.questions}):
            yield tuple(asked for asked in self.questions if asked.wave == number)

    @property
    def last_wave(self) -> int:
        """The number of the wave behind which the steps come."""
        return max((asked.wave for asked in self.questions), default=0)


def read_demo(path: Path = FILE) -> Demo:
    """Read the file. Raises pydantic.ValidationError or yaml.YAMLError."""
    return Demo.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
