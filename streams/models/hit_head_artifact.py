"""The artefact of `refrain hits train`: a head as one JSON file, whose version is the hash of its content."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from refrain.schemas.hit_heads import HitHead
from refrain.streams.errors import WrongSetup

KIND = "refrain.hits"
FORMAT = 1
VERSION_CHARS = 12
TRAIN_AGAIN = "train it again with `refrain hits train`, or do without a head"

Bytes = npt.NDArray[np.int8]


def seal(content: dict[str, Any]) -> HitHead:
    """Make a head of its fields but `version`. Raises pydantic.ValidationError."""
    unnamed = HitHead(version="", **content)
    return unnamed.model_copy(update={"version": version_of(unnamed)})


def encode_head(head: HitHead) -> bytes:
    """Encode a head as the bytes of its file; the same for the same head."""
    return json.dumps(head.model_dump(mode="json"), indent=1).encode() + b"\n"


def decode_head(data: bytes, source: str) -> HitHead:
    """Decode a head. Raises WrongSetup, naming `source`, when it is damaged or of a newer Refrain."""
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WrongSetup(f"{source} is not a head of the hit rule (not JSON): {TRAIN_AGAIN}") from error
    if not isinstance(parsed, dict) or parsed.get("kind") != KIND:
        raise WrongSetup(f"{source} is not a head of the hit rule: {TRAIN_AGAIN}")
    if parsed.get("v") != FORMAT:
        raise WrongSetup(
            f"{source} is a head of format {str(parsed.get('v'))[:20]}, this Refrain reads format {FORMAT}:"
            f" upgrade it, or {TRAIN_AGAIN}"
        )
    try:
        head = HitHead.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise WrongSetup(f"{source} is damaged: {where}: {first['msg']}: {TRAIN_AGAIN}") from error
    if version_of(head) != head.version:
        raise WrongSetup(f"{source} is damaged: its content is not that of version {head.version}: {TRAIN_AGAIN}")
    return head


def read_head(path: Path) -> HitHead:
    """Read the head of a file. Raises WrongSetup when there is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WrongSetup(f"the head {path} cannot be read ({error.strerror}): {TRAIN_AGAIN}") from error
    return decode_head(data, str(path))


def version_of(head: HitHead) -> str:
    """The version that a head of this content has: a hash (12 hex digits) of all fields but `version`."""
    content = head.model_dump(mode="json", exclude={"version"})
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:VERSION_CHARS]


def encode_bytes(rows: Bytes) -> str:
    """Encode 8-bit integers as base64."""
    return base64.b64encode(rows.astype(np.int8, copy=False).tobytes()).decode("ascii")


def decode_bytes(text: str, columns: int) -> Bytes:
    """Decode 8-bit integers (n, columns) from base64. Raises ValueError for what is no such array."""
    data = base64.b64decode(text, validate=True)
    if not data or len(data) % columns:
        raise ValueError(f"an array of {len(data)} numbers does not have whole rows of {columns}")
    return np.frombuffer(data, dtype=np.int8).reshape(-1, columns)
