"""`refrain ask` says each piece of evidence in a sentence."""

from __future__ import annotations

import pytest

from refrain.ops.ask.evidence import sentences
from refrain.schemas.responses import GuardTold

PASSED = GuardTold.model_validate({"entry_id": "e", "guard": "numbers", "verdict": "passed"})


@pytest.mark.parametrize(
    ("guard", "said"),
    [
        (
            {"guard": "names", "verdict": "refused", "words": ["Harris"]},
            "names: the texts differ in Harris, which decides",
        ),
        (
            {"guard": "names", "verdict": "refused", "words": ["Harris"], "other_words": 2},
            "names: the texts differ in Harris, 2 words of the other question, which decides",
        ),
        (
            {"guard": "numbers", "verdict": "refused", "other_words": 1},
            "numbers: the texts differ in 1 word of the other question, which decides",
        ),
        ({"guard": "words", "verdict": "refused"}, "words: the texts differ in what is not read"),
        (
            {"guard": "names", "verdict": "weighed", "words": ["tea", "milk"], "weight": 0.05},
            "names: the texts differ in tea, milk, which takes 0.050 off",
        ),
        (
            {"guard": "names", "verdict": "weighed", "words": ["tea"], "weight": 0.0},
            "names: the texts differ in tea; they are worded too differently for it to count",
        ),
        ({"guard": "order", "verdict": "not_applicable"}, "order: it does not read the language of one of the texts"),
    ],
)
def test_a_guard_that_found_something_has_a_sentence(guard: dict[str, object], said: str) -> None:
    assert list(sentences([PASSED, GuardTold.model_validate({"entry_id": "e", **guard})])) == [said]


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (None, []),
        (0.0, ["head: it reads the texts as asking the same"]),
        (0.0412, ["head: it reads the texts as different by 0.041"]),
    ],
)
def test_the_head_has_one_where_it_compared_the_texts(weight: float | None, said: list[str]) -> None:
    assert list(sentences([PASSED], weight)) == said
