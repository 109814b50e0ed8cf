"""Heads of the hit rule for tests: nothing is learned, each does what its test needs."""

from __future__ import annotations

import numpy as np

from refrain.schemas.hit_heads import EvidenceTerms, Gain, HeadTraining, HeldOutRecall, HitHead
from refrain.streams.models.hit_head_artifact import encode_bytes, seal

RECALL = HeldOutRecall(recall=0.5, low=0.4, high=0.6, threshold=0.9)
MADE = HeadTraining(
    pairs=200,
    positives=100,
    pairs_sha256="ab" * 32,
    regularisation=0.1,
    held_out=(Gain(precision=0.9, rule=RECALL, head=RECALL),),
)


def strict_head(weight: int, *, embedder: str = "test", dim: int = 16, width: int = 4) -> HitHead:
    """A head that takes `weight` millionths off every similarity, whatever the texts."""
    return seal(
        {
            "embedder": embedder,
            "dim": dim,
            "width": width,
            "hidden": 1,
            "projection": encode_bytes(np.eye(width, dim, dtype=np.int8)),
            "projection_scales": (0.001,) * width,
            "sharpness": 0.01,
            "layer": encode_bytes(np.zeros((1, 4 * width), dtype=np.int8)),
            "layer_biases": (0,),
            "output": (0, 0),
            "evidence": EvidenceTerms(similarity=0, letters=0, stems=0, penalty=0, bias=weight),
            "shift": 0,
            "cap": 500_000,
            "made": MADE,
        }
    )
