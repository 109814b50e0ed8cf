"""Judged pairs with all that a head learns from: token vectors of their texts, and the evidence of the rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.ops.data.lines import Pair
from refrain.ops.data.vectors import NEVER, Compared
from refrain.ops.hits.alignment import Array, Mask, Numbers
from refrain.ops.hits.fitting import Pairs
from refrain.ops.hits.quantising import Standard
from refrain.ops.quality.heads import Progress, token_vectors
from refrain.ops.quality.stages import FLOOR, Scores, evidence
from refrain.streams.guards import MICROS, GuardTerms
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.hit_head import TOKENS_MAX

Micros = npt.NDArray[np.int64]


class JudgedPairs(NamedTuple):
    """Judged pairs (n) as numbers. Tokens of all texts lie one after another."""

    tokens: Array
    starts: Numbers
    counts: Numbers
    texts: Numbers
    """The two texts of each pair, (n, 2)."""
    evidence: Micros
    """Similarity, overlap of letters and of stems, and penalty of each pair, (n, 4)."""
    same: Mask
    scores: Scores
    """What the rule gives each pair (n); NEVER where it refuses it at every threshold."""
    sha256: str
    """Of texts and labels."""

    @property
    def decided(self) -> Mask:
        """The pairs (n) that a head has a say in: those the rule may serve, of two texts that have sides."""
        whole = ((self.counts > 0) & (self.counts <= TOKENS_MAX))[self.texts].all(axis=1)
        found: Mask = whole & (self.scores >= FLOOR)
        return found

    def tokens_of(self, text: int) -> Array:
        """Token vectors (tokens, dim) of a text."""
        start = self.starts[text]
        return self.tokens[start : start + self.counts[text]]

    def standard(self, rows: Numbers) -> Standard:
        """Mean and spread of the evidence of these pairs."""
        mine = self.evidence[rows].astype(np.float64)
        spread = mine.std(axis=0)
        return Standard(mine.mean(axis=0), np.where(spread > 0, spread, 1.0))

    def learnable(self, standard: Standard) -> Pairs:
        """The pairs as they are learned from, with their evidence standardised."""
        columns = ((self.evidence - standard.mean) / standard.spread).astype(np.float32)
        rule = standard.spread * np.array([1.0, 0.0, 0.0, -1.0]) / standard.spread[0]
        return Pairs(self.tokens, self.starts, self.counts, self.texts, columns, rule, self.same)


def judged_pairs(
    compared: Sequence[Compared], terms: GuardTerms, embedder: Embedder, progress: Progress
) -> JudgedPairs:
    """Weigh the pairs of all files and embed the tokens of their texts. `progress` hears of texts."""
    pairs = [pair for each in compared for pair in each.pairs]
    similarities = np.concatenate([each.similarities for each in compared])
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.text_a, pair.text_b)))
    number = {text: at for at, text in enumerate(texts)}
    vectors = list(token_vectors(texts, embedder, progress))
    counts = np.array([len(rows) for rows in vectors], dtype=np.intp)
    weighed = [_weighed(pair, float(each), terms) for pair, each in zip(pairs, similarities, strict=True)]
    return JudgedPairs(
        tokens=np.concatenate(vectors).astype(np.float32),
        starts=np.cumsum(counts) - counts,
        counts=counts,
        texts=np.array([(number[pair.text_a], number[pair.text_b]) for pair in pairs], dtype=np.intp),
        evidence=np.array([row for row, _ in weighed], dtype=np.int64),
        same=np.array([pair.label for pair in pairs], dtype=np.bool_),
        scores=np.array([score for _, score in weighed], dtype=np.float64),
        sha256=_digest(pairs),
    )


def _weighed(pair: Pair, similarity: float, terms: GuardTerms) -> tuple[tuple[int, int, int, int], float]:
    """The evidence of a pair as the head reads it, and the score that the rule gives it."""
    found = evidence(terms, pair.text_a, pair.text_b)
    row = round(similarity * MICROS), found.overlap.letters, found.overlap.words, found.penalty
    score = found.score(similarity) / MICROS
    return row, NEVER if found.refused is not None or score < FLOOR else score


def _digest(pairs: Sequence[Pair]) -> str:
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(json.dumps([pair.text_a, pair.text_b, int(pair.label)]).encode() + b"\n")
    return digest.hexdigest()
