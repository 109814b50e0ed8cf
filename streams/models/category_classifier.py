"""The category classifier: a vector of record in, a category and whether it is in scope out. Pure, numpy alone.

How sure it is comes from three signals, each of which sees what the others miss: the energy (log of the sum of the
exponentials of all logits; Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020), the similarity to
the nearest landmark of the examples, and a line between what is in scope and examples of what is not.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.streams.errors import WrongSetup
from refrain.streams.models.category_artifact import CATEGORY_FILES, TRAIN_AGAIN, Artefact, LinearMap, rows_of
from refrain.streams.vectors import Ints, squared_norm

PLACES = 6
"""Decimal places of a score: exponentials differ in the last digits between machines, the outcome does not."""

Array = npt.NDArray[np.float64]


class Signals(NamedTuple):
    """The signals that the score is blended from."""

    energy: float
    nearest: float
    """Cosine similarity to the nearest landmark."""
    outside: float
    """On which side of the line, in logits; positive is in scope."""


class Classification(NamedTuple):
    """The classification of one question."""

    category: str | None
    """None: out of scope."""
    likeliest: str
    """The category it would have if it were in scope."""
    score: float
    signals: Signals


class LinearScorer:
    """Linear scores of vectors of record, taken as unit vectors."""

    def __init__(self, linear_map: LinearMap, dim: int) -> None:
        self._rows = rows_of(linear_map.rows, dim).astype(np.float64)
        self._scales = np.array(linear_map.scales)
        self._biases = np.array(linear_map.biases)

    def scores(self, vector: Array, length: float) -> Array:
        """The scores (n,). Sums of products of 16-bit integers are exact in float64."""
        values: Array = (self._rows @ vector) * self._scales / length + self._biases
        return values


class CategoryClassifier:
    """The classifier of an artefact. Ties go to the category that stands first."""

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        self.version = artefact.version
        self.names = artefact.categories
        self._labels = LinearScorer(artefact.labels, artefact.dim)
        self._outside = None if artefact.outside is None else LinearScorer(artefact.outside, artefact.dim)
        self._members = [np.flatnonzero(np.array(artefact.category_of) == at).tolist() for at in range(len(self.names))]
        landmarks = rows_of(artefact.landmarks, artefact.dim)
        self._landmarks = landmarks.astype(np.float64)
        self._lengths = np.sqrt(np.array([squared_norm(row) for row in landmarks], dtype=np.float64))

    def classify(self, vector: Ints) -> Classification:
        """Classify a vector of record (dim)."""
        wide, length = vector.astype(np.float64), math.sqrt(squared_norm(vector))
        logits = self._labels.scores(wide, length)
        most = float(logits.max())
        shares = [math.exp(value - most) for value in logits.tolist()]
        sums = [math.fsum(shares[label] for label in members) for members in self._members]
        likeliest = self.names[sums.index(max(sums))]
        signals = Signals(
            energy=most + math.log(math.fsum(shares)),
            nearest=float((self._landmarks @ wide / self._lengths).max()) / length,
            outside=0.0 if self._outside is None else float(self._outside.scores(wide, length)[0]),
        )
        blend = self.artefact.blend
        blended = math.fsum(
            (
                blend.energy * signals.energy,
                blend.nearest * signals.nearest,
                blend.outside * signals.outside,
                blend.bias,
            )
        )
        score = round(blended, PLACES)
        return Classification(likeliest if score >= self.artefact.floor else None, likeliest, score, signals)


def load_category_classifier(path: Path, embedder: str) -> CategoryClassifier:
    """Load the classifier of a file, for vectors of `embedder`.

    Raises WrongSetup when the file is missing, damaged, of a newer Refrain, or made for another embedder.
    """
    artefact = CATEGORY_FILES.read(path)
    check_embedder(artefact, embedder, str(path))
    return CategoryClassifier(artefact)


def check_embedder(artefact: Artefact, embedder: str, source: str) -> None:
    """Check the embedder of an artefact. Raises WrongSetup naming both when it was trained with another one."""
    if artefact.embedder != embedder:
        raise WrongSetup(
            f"{source} was trained on vectors of {artefact.embedder}, the embedder here is {embedder}: {TRAIN_AGAIN}"
        )
