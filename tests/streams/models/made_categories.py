"""Hand-made classifier artefact: three categories along the first three axes of eight."""

from __future__ import annotations

from typing import Any

import numpy as np

from refrain.streams.models.category_artifact import CATEGORY_FILES, Artefact, linear_map
from refrain.streams.vectors import Ints, encode, quantise

DIM = 8
NAMES = ("chat", "code", "medical")
EMBEDDER = "made-1"


def axis(*weights: float) -> Ints:
    """A vector of record whose first components are the weights."""
    wide = np.zeros(DIM)
    wide[: len(weights)] = weights
    return quantise(wide)


def content(**changes: Any) -> dict[str, Any]:
    """The fields of the artefact but its version. Its score is the similarity to the nearest axis; the floor 0.9."""
    eye = np.eye(DIM)[: len(NAMES)]
    made = {
        "examples_sha256": "0" * 64,
        "examples": dict.fromkeys(NAMES, 5),
        "outside": 0,
        "regularisation": 10.0,
        "keep": 0.94,
        "held_out_accuracy": 1.0,
        "held_out_kept": 1.0,
        "held_out_rejected": None,
    }
    return {
        "embedder": EMBEDDER,
        "dim": DIM,
        "categories": NAMES,
        "labels": linear_map(eye * 5, np.zeros(len(NAMES))),
        "category_of": (0, 1, 2),
        "landmarks": encode(np.array([quantise(row) for row in eye])),
        "outside": None,
        "blend": {"energy": 0.0, "nearest": 1.0, "outside": 0.0, "bias": 0.0},
        "floor": 0.9,
        "made": made,
        **changes,
    }


def artefact(**changes: Any) -> Artefact:
    return CATEGORY_FILES.seal(content(**changes))
