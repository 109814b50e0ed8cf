"""The artefact of `refrain hits train`: a head as one JSON file, whose version is the hash of its content."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt

from refrain.schemas.hit_heads import HitHead
from refrain.streams.models.artifact_file import ArtefactKind

TRAIN_AGAIN = "train it again with `refrain hits train`, or do without a head"

Bytes = npt.NDArray[np.int8]

HEAD_FILES = ArtefactKind(HitHead, "refrain.hits", 1, "a", "head", "the hit rule", TRAIN_AGAIN)
"""What `hits train` writes, and a policy names."""


def encode_bytes(rows: Bytes) -> str:
    """Encode 8-bit integers as base64."""
    return base64.b64encode(rows.astype(np.int8, copy=False).tobytes()).decode("ascii")


def decode_bytes(text: str, columns: int) -> Bytes:
    """Decode 8-bit integers (n, columns) from base64. Raises ValueError for what is no such array."""
    data = base64.b64decode(text, validate=True)
    if not data or len(data) % columns:
        raise ValueError(f"an array of {len(data)} numbers does not have whole rows of {columns}")
    return np.frombuffer(data, dtype=np.int8).reshape(-1, columns)
