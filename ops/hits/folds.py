"""Folds of judged pairs: no text of a fold is learned from while it is held out."""

from __future__ import annotations

from collections import Counter

import numpy as np

from refrain.ops.hits.alignment import Mask, Numbers

FOLDS = 5
SEED = 17


def folds_of_texts(texts: Numbers, same: Mask, count: int) -> Numbers:
    """The fold (0 to FOLDS - 1) of each of `count` texts; `texts` (n, 2) are those of each pair.

    Texts of one fold are those of whole groups: all that pairs connect. Where one group is larger than a fold, as where
    many questions were compared with one that is often asked, groups are of texts that ask the same; and where even
    such a group is larger, each text is one.
    """
    groups = np.arange(count)
    for edges in (texts, texts[same]):
        found = connected(edges, count)
        if Counter(found[texts[:, 0]].tolist()).most_common(1)[0][1] * FOLDS <= len(texts):
            groups = found
            break
    names, number = np.unique(groups, return_inverse=True)
    return _even(np.bincount(number[texts[:, 0]], minlength=len(names)))[number]


def held_out(texts: Numbers, folds: Numbers, fold: int) -> Mask:
    """Mask (n) of the pairs that a fold holds out: those whose first text belongs to it."""
    found: Mask = folds[texts[:, 0]] == fold
    return found


def learned_from(texts: Numbers, folds: Numbers, fold: int) -> Mask:
    """Mask (n) of the pairs to train on meanwhile: those without a text of the fold."""
    found: Mask = (folds[texts] != fold).all(axis=1)
    return found


def connected(edges: Numbers, count: int) -> Numbers:
    """For each of `count` texts the first one that edges (n, 2) connect it with."""
    parent = list(range(count))

    def root(text: int) -> int:
        while parent[text] != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    for one, other in edges.tolist():
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return np.array([root(text) for text in range(count)], dtype=np.intp)


def _even(sizes: Numbers) -> Numbers:
    """A fold for each group, in random order always the one with the fewest pairs."""
    folds, filled = np.zeros(len(sizes), dtype=np.intp), [0] * FOLDS
    for group in np.random.default_rng(SEED).permutation(len(sizes)).tolist():
        folds[group] = filled.index(min(filled))
        filled[folds[group]] += int(sizes[group])
    return folds
