"""The artefact of `refrain categories train`: one JSON file, whose version is the hash of its content.

Weights are 16-bit integers with a scale a row: sums of their products with a vector of record are exact in float64, in
any order and on any machine.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, model_validator

from refrain.schemas.base import Message, Name, Strict
from refrain.streams.models.artifact_file import ArtefactKind
from refrain.streams.vectors import SCALE, Ints, decode, encode

KIND: Literal["refrain.categories"] = "refrain.categories"
TRAIN_AGAIN = "train it again with `refrain categories train`, or leave classify.categories unset"

Finite = Annotated[float, Field(allow_inf_nan=False)]


class LinearMap(Strict):
    """A linear map of a vector v (dim): row `k` gives dot(rows[k], v) * scales[k] / length(v) + biases[k]."""

    rows: str
    """Base64 of little-endian int16, (n, dim)."""
    scales: tuple[Finite, ...]
    biases: tuple[Finite, ...]

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        if len(self.scales) != len(self.biases) or not self.scales:
            raise ValueError("a linear map needs one scale and one bias a row")
        return self


class Blend(Strict):
    """The score that meets the floor: energy * a + nearest * b + outside * c + bias."""

    energy: Finite
    nearest: Finite
    outside: Finite
    bias: Finite


class TrainingRecord(Strict):
    """How the artefact was trained, and its figures on held-out examples."""

    examples_sha256: str
    examples: dict[Name, Annotated[int, Field(ge=1)]]
    """Examples a category."""
    outside: Annotated[int, Field(ge=0)]
    """Examples of what belongs to no category."""
    regularisation: Finite
    """C of the logistic regression."""
    keep: Finite
    """The share of in-scope questions to keep in the right category that was asked for."""
    held_out_accuracy: Finite
    """The share of in-scope examples whose likeliest category is right, by models that had not seen them."""
    held_out_kept: Finite
    """The share of in-scope examples above the floor and right."""
    held_out_rejected: Finite | None
    """The share of the examples outside that is below the floor."""


class Artefact(Message):
    """The weights of the classifier. `version` is the hash of all other fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["refrain.categories"] = KIND
    version: str
    embedder: Annotated[str, Field(min_length=1)]
    """Identity of the embedder whose vectors it reads."""
    dim: Annotated[int, Field(ge=1)]
    categories: Annotated[tuple[Name, ...], Field(min_length=2)]
    labels: LinearMap
    """One row a (finer) label."""
    category_of: tuple[int, ...]
    """The number of the category that each label belongs to."""
    landmarks: str
    """Base64 of vectors of record (n, dim): what the examples lie near."""
    outside: LinearMap | None
    """One row that tells in scope from out of scope; None when no example was outside."""
    blend: Blend
    floor: Finite
    """A question that scores less is uncategorised."""
    made: TrainingRecord

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        shapes = [(self.labels, len(self.category_of))] + ([(self.outside, 1)] if self.outside else [])
        if any(len(linear_map.scales) != rows for linear_map, rows in shapes):
            raise ValueError("a linear map has another number of rows than it must")
        for text, rows in [*((linear_map.rows, rows) for linear_map, rows in shapes), (self.landmarks, None)]:
            size = decode(text).size
            if size == 0 or size % self.dim or (rows is not None and size != rows * self.dim):
                raise ValueError(f"an array of {size} numbers does not have {rows or 'whole'} rows of {self.dim}")
        if set(self.category_of) != set(range(len(self.categories))):
            raise ValueError("every category needs a label, and every label a category")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("a category stands twice")
        return self


CATEGORY_FILES = ArtefactKind(Artefact, KIND, 1, "an", "artefact", "categories", TRAIN_AGAIN)
"""What `categories train` writes and `classify` reads."""


def linear_map(weights: npt.NDArray[np.float64], biases: npt.NDArray[np.float64]) -> LinearMap:
    """Quantise weights (n, dim) for unit vectors: each row is scaled so that its largest weight is 32767."""
    largest = np.abs(weights).max(axis=1)
    units = np.where(largest == 0, 1.0, largest) / SCALE
    rows = np.rint(weights / units[:, None]).astype(np.int16)
    return LinearMap(rows=encode(rows), scales=tuple(units.tolist()), biases=tuple(biases.tolist()))


def rows_of(text: str, dim: int) -> Ints:
    """Decode vectors (n, dim) from base64."""
    return decode(text).reshape(-1, dim)
