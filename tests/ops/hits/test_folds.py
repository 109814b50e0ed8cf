"""Folds of judged pairs: every pair is held out once, from what shares no text with it as far as that can be had."""

from __future__ import annotations

import numpy as np
import pytest

from refrain.ops.hits.alignment import Mask, Numbers
from refrain.ops.hits.folds import FOLDS, connected, folds_of_texts, held_out, learned_from


def pairs_of(count: int, texts: int, seed: int = 1) -> tuple[Numbers, Mask]:
    random = np.random.default_rng(seed)
    return random.integers(0, texts, size=(count, 2)), random.random(count) < 0.4


@pytest.mark.parametrize("texts", [40, 400, 4_000])
def test_every_pair_is_held_out_once_and_never_learned_from_meanwhile(texts: int) -> None:
    pairs, same = pairs_of(300, texts)
    folds = folds_of_texts(pairs, same, texts)
    out = np.array([held_out(pairs, folds, fold) for fold in range(FOLDS)])
    learned = np.array([learned_from(pairs, folds, fold) for fold in range(FOLDS)])
    assert (out.sum(axis=0) == 1).all()
    assert not (out & learned).any()


def test_pairs_that_share_a_text_stay_together() -> None:
    pairs, same = pairs_of(300, 4_000)
    folds = folds_of_texts(pairs, same, 4_000)
    assert (folds[pairs[:, 0]] == folds[pairs[:, 1]]).all()
    assert np.bincount(folds[pairs[:, 0]], minlength=FOLDS).tolist() == pytest.approx([60] * FOLDS, abs=3)


def test_where_all_hangs_together_texts_that_ask_the_same_stay_together_and_no_text_is_learned_from() -> None:
    texts = np.arange(300)
    same_pairs = texts.reshape(-1, 3)[:, :2]
    other_pairs = np.stack([texts[:-1], texts[1:]], axis=1)
    pairs = np.concatenate([same_pairs, other_pairs])
    same = np.arange(len(pairs)) < len(same_pairs)
    folds = folds_of_texts(pairs, same, 300)
    assert (folds[same_pairs[:, 0]] == folds[same_pairs[:, 1]]).all()
    assert len(set(folds.tolist())) == FOLDS
    for fold in range(FOLDS):
        learned = set(pairs[learned_from(pairs, folds, fold)].ravel().tolist())
        assert learned
        assert learned.isdisjoint(np.flatnonzero(folds == fold).tolist())


def test_one_question_that_all_are_compared_with_leaves_folds_of_the_rest() -> None:
    pairs = np.array([(text, 0) for text in range(1, 101)])
    folds = folds_of_texts(pairs, np.ones(100, dtype=bool), 101)
    assert sum(bool(learned_from(pairs, folds, fold).any()) for fold in range(FOLDS)) == FOLDS - 1


def test_texts_are_connected_over_others() -> None:
    assert connected(np.array([(4, 2), (0, 1), (2, 1)]), 6).tolist() == [0, 0, 0, 3, 0, 5]
