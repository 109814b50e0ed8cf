"""Similarities of pairs, and what guards and verifier leave of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import typer

from refrain.ops.data.lines import BadLine, Pair
from refrain.ops.data.vectors import NEVER, Compared, compare, vectors_of
from refrain.ops.quality.report import groups_by, wrongly_served
from refrain.ops.quality.stages import COSINE, GUARDED, VERIFIED, ThresholdVerifier, guards_of, stages, weigh
from refrain.schemas.policy import Guard
from refrain.streams.errors import BadInput
from refrain.streams.guards import GuardTerms
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.vectors import Floats, quantise, similarity

SORT, REVERSE, SORTED = "How do I sort 2 lists?", "How do I reverse 2 lists?", "How do I sort 3 lists?"


def pair(line: int, a: str, b: str, label: bool) -> Pair:
    return Pair(line, a, b, label, {})


def quiet(done: int, of: int) -> None:
    """No bar."""


class Odd(HashingEmbedder):
    """Counts what it is asked, gives `nan` and `zero` no vector, and has a window of 30 characters."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Floats:
        self.asked += texts
        rows = super().embed(texts)
        for number, text in enumerate(texts):
            if text in ("nan", "zero"):
                rows[number] = np.nan if text == "nan" else 0
        return rows

    def head(self, text: str) -> str:
        return text[:30]


class Fixed:
    """A verifier that gives what it is told, and keeps what it was asked."""

    identity = "fixed"

    def __init__(self, *scores: float | None) -> None:
        self.given = list(scores)
        self.asked: list[tuple[str, str]] = []

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        self.asked += pairs
        return [self.given.pop(0) for _ in pairs]


def test_each_text_is_embedded_once_and_similarities_are_the_shards() -> None:
    embedder = Odd()
    found = compare([pair(1, SORT, REVERSE, False), pair(2, SORT, SORTED, False)], embedder, None, quiet, [])
    assert embedder.asked == [SORT, REVERSE, SORTED]
    a, b = (quantise(row) for row in HashingEmbedder().embed([SORT, REVERSE]))
    assert found.similarities[0] == similarity(a, b)


def test_a_pair_without_a_vector_is_a_bad_line() -> None:
    bad: list[BadLine] = []
    found = compare([pair(4, "nan", SORT, True), pair(5, SORT, "zero", True), pair(6, SORT, SORT, True)],
                    Odd(), None, quiet, bad)  # fmt: skip
    assert [each.line for each in found.pairs] == [6]
    assert [each.line for each in bad] == [4, 5]
    assert "no vector" in bad[0].why


def test_what_lies_beyond_the_window_must_be_the_same() -> None:
    begins, rest = "how do i sort two lists in py ", "thon and then some"
    pairs = [pair(1, begins + rest, begins + rest, True), pair(2, begins + rest, begins + rest + " more", False),
             pair(3, "sort a list \U0001f600", "sort a list \U0001f622", False)]  # fmt: skip
    found = compare(pairs, Odd(), None, quiet, [])
    assert (found.unseen, found.similarities.tolist()) == (2, [1.0, NEVER, NEVER])
    assert stages(found, GuardTerms(()), None, quiet).scores[COSINE].tolist() == [1.0, NEVER, NEVER]


def test_vectors_are_kept_for_the_next_run_of_the_same_texts(tmp_path: Path) -> None:
    first, second = Odd(), Odd()
    one = vectors_of([SORT, "zero"], first, tmp_path, quiet)
    other = vectors_of([SORT, "zero"], second, tmp_path, quiet)
    assert second.asked == []
    assert one[1] is None
    assert other[1] is None
    assert np.array_equal(np.asarray(one[0]), np.asarray(other[0]))
    vectors_of([SORT], second, tmp_path, quiet)
    assert second.asked == [SORT]


def compared(*texts: tuple[str, str, bool]) -> Compared:
    return Compared([pair(n, *each) for n, each in enumerate(texts, 1)], np.full(len(texts), 0.9), 0)


def test_guards_let_through_what_they_do_not_refuse_and_are_counted_by_label() -> None:
    found = stages(compared((SORT, SORT, True), (SORT, SORTED, False)), GuardTerms(), None, quiet)
    assert found.scores[COSINE].tolist() == [0.9, 0.9]
    assert found.scores[GUARDED].tolist() == [0.9, NEVER]
    assert found.refused == {"same": {}, "different": {"numbers": 1}}


def test_without_guards_there_is_no_stage_of_theirs() -> None:
    assert list(stages(compared((SORT, SORTED, False)), GuardTerms(()), None, quiet).scores) == [COSINE]


def test_what_a_guard_does_not_apply_to_is_served_only_where_unverified_says_hit() -> None:
    one, other = "Wie sortiere ich eine Liste in Python?", "Wie sortiert man eine Liste in Python?"
    terms = GuardTerms((Guard.NEGATION,))
    assert weigh(terms, one, other, 0.9) == (NEVER, "negation (not applicable)")
    assert weigh(terms._replace(unverified="hit"), one, other, 0.9) == (0.9, None)


def test_a_difference_in_texts_worded_otherwise_lowers_the_score_by_its_weight() -> None:
    one, other = "How do I get money back for shoes?", "What must be done so that sandals are refunded?"
    assert weigh(GuardTerms((Guard.NAMES,)), one, other, 0.93) == (0.93, None)
    assert weigh(GuardTerms(), one, other, 0.93) == (0.88, "wording")
    strict = weigh(GuardTerms(veto=tuple(Guard)), one, other, 0.93)
    assert strict.score == NEVER


def test_the_verifier_is_asked_only_of_what_is_left_and_none_is_a_no() -> None:
    verifier = Fixed(0.5, 0.49, None)
    texts = [(SORT, SORT, True), (SORT, SORTED, False), (REVERSE, REVERSE, True), (SORTED, SORTED, True)]
    found = stages(compared(*texts), GuardTerms(), ThresholdVerifier(verifier, 0.5), quiet)
    assert verifier.asked == [(SORT, SORT), (REVERSE, REVERSE), (SORTED, SORTED)]
    assert found.scores[VERIFIED].tolist() == [0.9, NEVER, NEVER, NEVER]


def test_guards_are_named_in_any_order_and_unknown_ones_refused() -> None:
    assert guards_of("all") == tuple(Guard)
    assert guards_of("none") == ()
    assert guards_of("code, numbers") == (Guard.NUMBERS, Guard.CODE)
    with pytest.raises(typer.BadParameter, match="speling"):
        guards_of("numbers,speling")
    with pytest.raises(typer.BadParameter, match="choose from all, "):
        guards_of("")


def test_groups_are_the_values_of_a_field_and_must_be_few() -> None:
    pairs = [Pair(n, "a", "b", True, {"kind": kind}) for n, kind in enumerate(["x", 2, "x"])]
    assert {name: mask.tolist() for name, mask in groups_by(pairs, "kind").items()} == {
        "2": [False, True, False], "x": [True, False, True],
    }  # fmt: skip
    with pytest.raises(BadInput, match="without it"):
        groups_by(pairs, "colour")
    with pytest.raises(BadInput, match="60 values"):
        groups_by([Pair(n, "a", "b", True, {"kind": n}) for n in range(60)], "kind")


def test_pairs_served_wrongly_are_listed_from_the_most_similar() -> None:
    texts = compared((SORT, REVERSE, False), (SORT, SORT, True), (SORT, SORTED, False))
    found = texts._replace(similarities=np.array([0.8, 1.0, 0.9]))
    assert [each["line"] for each in wrongly_served(found, stages(found, GuardTerms(()), None, quiet))] == [3, 1]
