"""The artefact of `refrain hits train`: a head as one JSON file, whose version is the hash of its content."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from refrain.schemas.hit_heads import HitHead
from refrain.streams.models import artifact_file
from refrain.streams.models.artifact_file import ArtefactKind

KIND = "refrain.hits"
FORMAT = 1
TRAIN_AGAIN = "train it again with `refrain hits train`, or do without a head"

Bytes = npt.NDArray[np.int8]


_KIND = ArtefactKind(HitHead, KIND, FORMAT, "a", "head", "the hit rule", TRAIN_AGAIN)


def seal(content: dict[str, Any]) -> HitHead:
    """Make a head of its fields but `version`. Raises pydantic.ValidationError."""
    return _KIND.seal(content)


def encode_head(head: HitHead) -> bytes:
    """Encode a head as the bytes of its file; the same for the same head."""
    return artifact_file.encode(head)


def decode_head(data: bytes, source: str) -> HitHead:
    """Decode a head. Raises WrongSetup, naming `source`, when it is damaged or of a newer Refrain."""
    return _KIND.decode(data, source)


def read_head(path: Path) -> HitHead:
    """Read the head of a file. Raises WrongSetup when there is none."""
    return _KIND.read(path)


def version_of(head: HitHead) -> str:
    """The version that a head of this content has: a hash (12 hex digits) of all fields but `version`."""
    return artifact_file.version_of(head)


def encode_bytes(rows: Bytes) -> str:
    """Encode 8-bit integers as base64."""
    return base64.b64encode(rows.astype(np.int8, copy=False).tobytes()).decode("ascii")


def decode_bytes(text: str, columns: int) -> Bytes:
    """Decode 8-bit integers (n, columns) from base64. Raises ValueError for what is no such array."""
    data = base64.b64decode(text, validate=True)
    if not data or len(data) % columns:
        raise ValueError(f"an array of {len(data)} numbers does not have whole rows of {columns}")
    return np.frombuffer(data, dtype=np.int8).reshape(-1, columns)
