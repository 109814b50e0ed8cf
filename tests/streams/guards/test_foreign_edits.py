"""Texts of languages without word lists: which differing words ask for another answer under `unverified: frame`."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.streams.guards import MICROS, GuardTerms, read, weigh
from tests.streams.guards.verdicts import LEAST
from tests.tables import table

ALMOST_EQUAL = 0.97
_LANGUAGES: dict[str, dict[str, list[list[str]]]] = table(Path(__file__).parent / "foreign.yaml")


def is_served(a: str, b: str) -> bool:
    """Whether an almost equal pair is served; both orders must agree."""
    there, back = (weigh(GuardTerms(unverified="frame"), read(x), read(y)) for x, y in ((a, b), (b, a)))
    assert there.penalty == back.penalty, (a, b, there, back)
    return there.score(ALMOST_EQUAL) >= LEAST * MICROS


@pytest.mark.parametrize("language", _LANGUAGES)
def test_questions_that_differ_are_not_served(language: str) -> None:
    assert [pair for pair in _LANGUAGES[language]["differ"] if is_served(*pair)] == []


@pytest.mark.parametrize("language", _LANGUAGES)
def test_most_rewordings_are_served(language: str) -> None:
    pairs = _LANGUAGES[language]["same"]
    lost = [pair for pair in pairs if not is_served(*pair)]
    assert len(lost) <= 0.27 * len(pairs), lost
