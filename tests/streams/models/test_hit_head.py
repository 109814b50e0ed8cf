"""The head of the hit rule: exact, symmetric, bounded, and only where both texts have a side."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.hit_heads import HitHead
from refrain.streams.models.hit_head import (
    FINER,
    LARGEST,
    OCTAVES,
    POWERS,
    PRODUCT_UNIT,
    STEPS_PER_OCTAVE,
    TOKENS_MAX,
    PairHead,
)
from refrain.streams.models.hit_head_artifact import decode_bytes, encode_bytes
from tests.streams.models.made_hit_heads import DIM, HIDDEN, NO_EVIDENCE, WIDTH, head, tokens

MADE = head()
HEAD = PairHead(MADE)
CAP = 300_000
SIDES = st.builds(
    lambda seed, count: encode_bytes(
        np.random.default_rng(seed).integers(-LARGEST, LARGEST + 1, size=(count, WIDTH)).astype(np.int8)
    ),
    st.integers(0, 2**32),
    st.integers(1, TOKENS_MAX),
)
MILLIONTHS, THOUSANDTHS = st.integers(0, 1_000_000), st.integers(0, 1_000)
EVIDENCE = st.tuples(st.integers(-1_000_000, 1_000_000), THOUSANDTHS, THOUSANDTHS, MILLIONTHS)
SOME = (900_000, 400, 300, 50_000)

Rows = list[list[int]]


def side(seed: int, count: int = 7) -> str:
    found = HEAD.text_side(tokens(seed, count))
    assert found is not None
    return found


def rows(text: str, columns: int) -> Rows:
    found: Rows = decode_bytes(text, columns).tolist()
    return found


def dot(one: list[int], other: list[int]) -> int:
    return sum(x * y for x, y in zip(one, other, strict=True))


def aligned(own: list[int], others: Rows, sharpness: float) -> list[int]:
    products = [dot(own, other) for other in others]
    weights = [int(POWERS[int(min((max(products) - each) * sharpness, len(POWERS) - 1))]) for each in products]
    return [
        round(Fraction(sum(w * other[k] for w, other in zip(weights, others, strict=True)) * FINER, sum(weights)))
        for k in range(WIDTH)
    ]


def units(made: HitHead, own: list[int], others: Rows) -> list[int]:
    near, fine = aligned(own, others, made.sharpness), [FINER * each for each in own]
    product = [round(Fraction(x * y, PRODUCT_UNIT)) for x, y in zip(fine, near, strict=True)]
    features = [*fine, *near, *(abs(x - y) for x, y in zip(fine, near, strict=True)), *product]
    layer = rows(made.layer, 4 * WIDTH)
    return [max(dot(row, features) + bias, 0) for row, bias in zip(layer, made.layer_biases, strict=True)]


def pooled(made: HitHead, a: Rows, b: Rows) -> list[int]:
    columns = list(zip(*(units(made, own, b) for own in a), strict=True))
    return [*(round(Fraction(sum(each), len(a))) for each in columns), *(max(each) for each in columns)]


def plain_weight(made: HitHead, asked: str, kept: str, evidence: tuple[int, int, int, int]) -> int:
    """The weight by Python's whole numbers alone, one token after another."""
    a, b = rows(asked, WIDTH), rows(kept, WIDTH)
    both = [x + y for x, y in zip(pooled(made, a, b), pooled(made, b, a), strict=True)]
    terms = made.evidence
    factors = [terms.similarity, terms.letters, terms.stems, terms.penalty]
    found = dot(list(made.output), both) + dot(factors, list(evidence)) + terms.bias
    return min(max(found >> made.shift, 0), made.cap)


@given(st.integers(0, 50), SIDES, SIDES, EVIDENCE)
def test_a_weight_is_that_of_whole_numbers_in_any_order(
    seed: int, asked: str, kept: str, evidence: tuple[int, int, int, int]
) -> None:
    made = head(seed)
    assert PairHead(made).weight(asked, kept, *evidence) == plain_weight(made, asked, kept, evidence)


def test_the_largest_numbers_that_a_head_may_hold_are_summed_exactly() -> None:
    largest = encode_bytes(np.full((HIDDEN, 4 * WIDTH), LARGEST, dtype=np.int8))
    made = head(layer=largest, layer_biases=(2**30,) * HIDDEN, output=(2**24, 2**24 - 1) * HIDDEN, shift=40)
    full = encode_bytes(np.full((TOKENS_MAX, WIDTH), -LARGEST, dtype=np.int8))
    assert PairHead(made).weight(full, full, *SOME) == plain_weight(made, full, full, SOME)


@given(SIDES, SIDES, EVIDENCE)
def test_what_is_taken_off_lies_between_nothing_and_the_cap(
    asked: str, kept: str, evidence: tuple[int, int, int, int]
) -> None:
    assert 0 <= HEAD.weight(asked, kept, *evidence) <= CAP


@given(SIDES, SIDES, EVIDENCE)
def test_which_text_is_the_kept_one_makes_no_difference(
    asked: str, kept: str, evidence: tuple[int, int, int, int]
) -> None:
    assert HEAD.weight(asked, kept, *evidence) == HEAD.weight(kept, asked, *evidence)


def test_weights_of_many_pairs_differ_and_reach_both_bounds() -> None:
    sides = [side(seed, 3 + seed % 9) for seed in range(40)]
    found = {HEAD.weight(a, b, *SOME) for a in sides for b in sides}
    assert {0, CAP} <= found
    assert len(found) > 50


@pytest.mark.parametrize("missing", [(None, side(1)), (side(1), None), (None, None)])
def test_without_a_side_of_either_text_nothing_is_taken_off(missing: tuple[str | None, str | None]) -> None:
    always = PairHead(head(output=(0,) * 2 * HIDDEN, evidence={**NO_EVIDENCE, "bias": 2**40}))
    assert always.weight(side(1), side(1), *SOME) == CAP
    assert always.weight(*missing, *SOME) == 0


def test_each_number_of_the_evidence_counts_by_its_factor() -> None:
    a, b = side(1), side(2)
    for number, name in enumerate(("similarity", "letters", "stems", "penalty")):
        made = head(output=(0,) * 2 * HIDDEN, evidence={**NO_EVIDENCE, name: 2}, shift=0)
        evidence = [0, 0, 0, 0]
        evidence[number] = 700
        assert PairHead(made).weight(a, b, *evidence) == 1_400
        assert PairHead(made).weight(a, b, *(700 - each for each in evidence)) == 0


@pytest.mark.parametrize("count", [0, TOKENS_MAX + 1, 64])
def test_a_text_of_no_tokens_or_of_too_many_has_no_side(count: int) -> None:
    assert HEAD.text_side(tokens(1, count)) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_text_whose_tokens_are_not_finite_has_no_side(value: float) -> None:
    rows = tokens(1)
    rows[2, 3] = value
    assert HEAD.text_side(rows) is None


def test_token_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=f"not those of a head of {DIM}"):
        HEAD.text_side(np.zeros((3, DIM + 1), dtype=np.float32))


def test_a_side_has_a_row_a_token_and_does_not_depend_on_how_long_vectors_are() -> None:
    given_tokens = tokens(5, 9)
    found = HEAD.text_side(given_tokens)
    assert found is not None
    assert decode_bytes(found, WIDTH).shape == (9, WIDTH)
    assert HEAD.text_side(given_tokens * 4) == found
    assert HEAD.text_side(given_tokens[::-1]) == encode_bytes(decode_bytes(found, WIDTH)[::-1])
    assert HEAD.text_side(np.zeros((2, DIM), dtype=np.float32)) == encode_bytes(np.zeros((2, WIDTH), dtype=np.int8))


def test_numbers_beyond_the_largest_are_cut_and_do_not_wrap() -> None:
    loud = PairHead(head(projection_scales=(1.0,) * WIDTH))
    found = loud.text_side(tokens(3))
    assert found is not None
    assert set(np.abs(decode_bytes(found, WIDTH)).ravel().tolist()) == {LARGEST}


@pytest.mark.parametrize(
    "damaged",
    ["", "not base64", "é", encode_bytes(np.zeros((1, WIDTH + 1), np.int8)), side(1) + "AAAA", side(1)[:-1]],
)
def test_a_side_that_is_no_array_of_its_width_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        HEAD.weight(side(1), damaged, *SOME)
    with pytest.raises(ValueError, match=r"."):
        HEAD.weight(damaged, side(1), *SOME)


def test_a_side_of_too_many_tokens_is_refused() -> None:
    long = encode_bytes(np.zeros((TOKENS_MAX + 1, WIDTH), dtype=np.int8))
    with pytest.raises(ValueError, match=f"more than {TOKENS_MAX}"):
        HEAD.weight(side(1), long, *SOME)


def test_powers_fall_by_a_sixteenth_of_an_octave_to_nothing() -> None:
    exact = [2 ** (OCTAVES - step / STEPS_PER_OCTAVE) for step in range(len(POWERS) - 1)]
    assert all(math.floor(each) - 1 <= found <= each for found, each in zip(POWERS.tolist(), exact, strict=False))
    assert POWERS[-1] == 0


def test_a_head_names_its_version() -> None:
    assert HEAD.version == MADE.version
