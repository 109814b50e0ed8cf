"""The questions of the demo, read from `demo.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

FILE = Path(__file__).resolve().parent / "demo.yaml"
POLICY = Path(__file__).resolve().parents[1] / "policies" / "default.yaml"


class ScriptedQuestion(BaseModel):
    """One question, when it is asked, and what must come of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str = Field(min_length=1)
    category: str | None
    wave: int = Field(ge=1)
    expect: Literal["miss", "hit", "bypass"]
    same_as: str | None = None
    """Of a hit: the earlier question whose answer it must bring."""


class Demo(BaseModel):
    """All questions and the model that they name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    questions: tuple[ScriptedQuestion, ...]

    @model_validator(mode="after")
    def _whole(self) -> Demo:
        for asked in self.questions:
            before = {other.question for other in self.questions if other.wave < asked.wave}
            if asked.expect == "hit" and asked.same_as not in before:
                raise ValueError(f"{asked.question!r} must hit, and same_as is no question of an earlier wave")
        return self

    def waves(self) -> Iterator[tuple[ScriptedQuestion, ...]]:
        """The questions wave by wave."""
        for number in sorted({asked.wave for asked in self.questions}):
            yield tuple(asked for asked in self.questions if asked.wave == number)


def read_demo(path: Path = FILE) -> Demo:
    """Read the file. Raises pydantic.ValidationError or yaml.YAMLError."""
    return Demo.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
