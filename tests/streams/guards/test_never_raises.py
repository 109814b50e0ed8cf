"""Reading and comparing texts never raises, whatever they are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.policy import Strictness
from refrain.streams.guards import GuardTerms, read, weigh
from refrain.streams.guards.lexicon import words

PIECES = (
    "n't", "'t", "'s", "'", "''", "''t", "\u2019t", "do n't", "not", "no", "-", "- -", "--", "+", "*", "/", "^", "(",
    ")", ".", ",", "?", "!", ":", ";", '"', "`", "```", "`x`", "7", "-3", "1.5", "7 pm", "$", "€5", "v1.v1", "US", "I",
    "by", "which", "is", "between", "how many", "a b", "é", "日本", "\u0301", "\u200b", "\u202e", "\U0001f355", "",
    " ", "\n", "\t", "\x00", "\ud800", *sorted(words("negators"))[:20], *sorted(words("prefixes"))[:20],
)  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=8).flatmap(
    lambda pieces: st.sampled_from([" ".join(pieces), "".join(pieces)])
)


@pytest.mark.parametrize("strictness", Strictness)
@given(texts, texts)
def test_any_two_texts_can_be_compared(strictness: Strictness, first: str, second: str) -> None:
    terms = GuardTerms(strictness=strictness, unverified="frame")
    assert weigh(terms, read(first), read(second)).penalty == weigh(terms, read(second), read(first)).penalty


@pytest.mark.parametrize(
    "text", ["Which courses do n't have exams?", "n't", "do n't", "Which n't", "'n't", "n't n't", "? n't .", "- n't 7"]
)
def test_a_negation_that_is_set_apart_can_be_read_beside_any_near_text(text: str) -> None:
    pieces = text.split(" ")
    near = [" ".join(pieces[:at] + pieces[at + 1 :]) for at in range(len(pieces))]
    for other in [*near, text.replace("n't", "not"), "Which courses have exams?", ""]:
        assert weigh(GuardTerms(), read(text), read(other)).verdicts
