"""Hand-made heads of the hit rule: small ones of random weights, and sides of texts for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from refrain.schemas.hit_heads import HitHead
from refrain.streams.models.hit_head_artifact import HEAD_FILES, encode_bytes
from refrain.streams.vectors import Floats

DIM, WIDTH, HIDDEN = 12, 8, 6
EMBEDDER = "made-1"
RECALL = {"recall": 0.5, "low": 0.4, "high": 0.6, "threshold": 0.75}
MADE = {
    "pairs": 200,
    "positives": 80,
    "pairs_sha256": "0" * 64,
    "regularisation": 0.05,
    "held_out": ({"precision": 0.9, "rule": RECALL, "head": RECALL},),
}
NO_EVIDENCE = {"similarity": 0, "letters": 0, "stems": 0, "penalty": 0, "bias": 0}


def content(seed: int = 1, **changes: Any) -> dict[str, Any]:
    """The fields of a head but its version. Its weights lie anywhere between 0 and the cap."""
    random = np.random.default_rng(seed)

    def weights(rows: int, columns: int) -> str:
        return encode_bytes(random.integers(-127, 128, size=(rows, columns)).astype(np.int8))

    return {
        "embedder": EMBEDDER,
        "dim": DIM,
        "width": WIDTH,
        "hidden": HIDDEN,
        "projection": weights(WIDTH, DIM),
        "projection_scales": (1 / 32_767,) * WIDTH,
        "sharpness": 0.003,
        "layer": weights(HIDDEN, 4 * WIDTH),
        "layer_biases": tuple(random.integers(-100_000, 100_000, size=HIDDEN).tolist()),
        "output": tuple(random.integers(-2_000, 2_000, size=2 * HIDDEN).tolist()),
        "evidence": {"similarity": 300, "letters": -900, "stems": 500, "penalty": -400, "bias": 90_000_000},
        "shift": 11,
        "cap": 300_000,
        "made": MADE,
        **changes,
    }


def head(seed: int = 1, **changes: Any) -> HitHead:
    return HEAD_FILES.seal(content(seed, **changes))


def tokens(seed: int, count: int = 7) -> Floats:
    """Token vectors (count, DIM) of a text."""
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def strict_head(weight: int, *, embedder: str = "test", dim: int = 16, width: int = 4) -> HitHead:
    """A head that takes `weight` millionths off every similarity, whatever the texts."""
    return head(
        embedder=embedder,
        dim=dim,
        width=width,
        hidden=1,
        projection=encode_bytes(np.eye(width, dim, dtype=np.int8)),
        projection_scales=(0.001,) * width,
        sharpness=0.01,
        layer=encode_bytes(np.zeros((1, 4 * width), dtype=np.int8)),
        layer_biases=(0,),
        output=(0, 0),
        evidence={**NO_EVIDENCE, "bias": weight},
        shift=0,
        cap=500_000,
    )
