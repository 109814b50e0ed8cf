"""Platt scaling: the chance that a pair of some similarity asks the same, as a sigmoid of two numbers. Pure.

    chance(similarity) = 1 / (1 + exp(-(slope * similarity + offset)))

The two numbers are those of the greatest likelihood of the judged pairs, with Platt's targets in place of 1 and 0,
which keep the fit finite where similarity tells all pairs apart (Platt, "Probabilistic outputs for support vector
machines and comparisons to regularized likelihood methods", 1999). They are found by Newton's method with backtracking,
in the form that does not overflow (Lin, Lin, Weng, "A note on Platt's probabilistic outputs for support vector
machines", Machine Learning 68, 2007, algorithm 1).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

ROUNDS_MAX = 100
GRADIENT_MIN = 1e-5
"""A gradient below this ends the search."""
STEP_MIN = 1e-10
"""A shorter step ends the search."""
RIDGE = 1e-12
"""Added to the diagonal of the Hessian, so that it has an inverse."""
DECREASE = 1e-4
"""The part of the decrease that the gradient foretells, which a step must bring."""

Numbers = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


class Sigmoid(NamedTuple):
    """The two numbers of a fit."""

    slope: float
    offset: float

    def chances(self, similarities: Numbers) -> Numbers:
        """The chance of each similarity (n) that its pair asks the same."""
        return _sigmoid(self.slope * similarities + self.offset)


def fit(similarities: Numbers, same: Labels, weights: Numbers | None = None, start: Sigmoid | None = None) -> Sigmoid:
    """Fit the sigmoid to pairs (n), each counted by its weight (n); without weights once.

    From a `start` that is near, as that of the same pairs with other weights, it takes fewer steps to the same.
    """
    counted = np.ones(len(same)) if weights is None else weights
    targets = _targets(same, counted)
    # About their mean similarities hardly correlate with the offset, and Newton's steps are good ones.
    middle = float(np.average(similarities, weights=counted)) if counted.sum() > 0 else 0.0
    first = None if start is None else np.array([start.slope, start.offset + start.slope * middle])
    slope, offset = _minimise(similarities - middle, targets, counted, first)
    return Sigmoid(slope, offset - slope * middle)


def _targets(same: Labels, counted: Numbers) -> Numbers:
    """Platt's targets: (n + 1) / (n + 2) of the n pairs that ask the same, 1 / (m + 2) of the m others."""
    ones, zeros = counted[same].sum(), counted[~same].sum()
    found: Numbers = np.where(same, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    return found


def _minimise(x: Numbers, targets: Numbers, counted: Numbers, start: Numbers | None) -> tuple[float, float]:
    ones, zeros = float((counted * targets).sum()), float((counted * (1 - targets)).sum())
    at = np.array([0.0, np.log((ones + 1) / (zeros + 1))]) if start is None else start
    value = _loss(at, x, targets, counted)
    for _ in range(ROUNDS_MAX):
        gradient, hessian = _derivatives(at, x, targets, counted)
        if np.abs(gradient).max() < GRADIENT_MIN:
            break
        step = -np.linalg.solve(hessian, gradient)
        size = 1.0
        while size >= STEP_MIN:
            there = at + size * step
            lower = _loss(there, x, targets, counted)
            if lower < value + DECREASE * size * float(gradient @ step):
                at, value = there, lower
                break
            size /= 2
        else:
            break
    return float(at[0]), float(at[1])


def _loss(at: Numbers, x: Numbers, targets: Numbers, counted: Numbers) -> float:
    """The negative log likelihood."""
    score = at[0] * x + at[1]
    return float((counted * (np.logaddexp(0, score) - targets * score)).sum())


def _derivatives(at: Numbers, x: Numbers, targets: Numbers, counted: Numbers) -> tuple[Numbers, Numbers]:
    chance = _sigmoid(at[0] * x + at[1])
    missing, spread = counted * (chance - targets), counted * chance * (1 - chance)
    cross = float((spread * x).sum())
    hessian = np.array([[(spread * x * x).sum() + RIDGE, cross], [cross, spread.sum() + RIDGE]])
    return np.array([(missing * x).sum(), missing.sum()]), hessian


def _sigmoid(score: Numbers) -> Numbers:
    found: Numbers = np.exp(-np.logaddexp(0, -score))
    return found
