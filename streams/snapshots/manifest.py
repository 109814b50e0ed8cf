"""Manifest of a snapshot: what it is of, and the digest of each of its files."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from refrain.schemas.base import Natural, Strict
from refrain.streams.errors import SnapshotUnusable

MANIFEST = "manifest.json"
MANIFEST_BYTES_MAX = 64_000_000
"""Of a shard with 20,000 large tables."""
VERSION = 1
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class File(Strict):
    """A file of a snapshot."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,99}$")]
    bytes: Natural
    sha256: Sha256


class Graph(Strict):
    """The HNSW of one namespace: a file of hnswlib, and one of the entries' ids (int64, little-endian) by label."""

    namespace: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    dim: Annotated[int, Field(ge=1, le=100_000)]
    graph: File
    ids: File


class Topics(Strict):
    """Topic ids: the logs that the state is of."""

    journal: str
    documents: str


class Manifest(Strict):
    """What a snapshot is of."""

    v: Literal[1] = 1
    kind: Literal["refrain.snapshot"] = "refrain.snapshot"
    made_ms: Natural
    """When the place in `documents` was reached."""
    partition: Natural
    shards: Natural
    topics: Topics
    behaviour: str
    """The version of fold and guards that committed the state."""
    journal_offset: Natural
    """What is folded next: all before it is in the state."""
    documents_offset: Natural
    """What is read next of the changelog: all before it is in the state."""
    entries: Natural
    row_count: Natural
    state: str
    """Digest of the state (`refrain.streams.store.interface.digest`), as an audit seals it."""
    rows: File
    graph_format: str
    """What can read the graphs: see `graph_format`."""
    graphs: tuple[Graph, ...]

    @property
    def files(self) -> list[File]:
        """All files beside the manifest."""
        return [self.rows, *(file for each in self.graphs for file in (each.graph, each.ids))]

    @property
    def total_bytes(self) -> int:
        """The size of all files (bytes)."""
        return sum(file.bytes for file in self.files)

    def encode(self) -> bytes:
        """One line of JSON: the manifest, and the digest of all else in it."""
        body = self.model_dump(mode="json")
        return _canonical({**body, "sha256": _digest(body)}) + b"\n"


def decode(data: bytes) -> Manifest:
    """The manifest of its file's bytes. Raises SnapshotUnusable for what is none, is altered, or of another version."""
    try:
        found = json.loads(data)
        said = found.pop("sha256", None) if isinstance(found, dict) else None
    except (ValueError, RecursionError) as error:
        raise SnapshotUnusable(f"{MANIFEST} is cut off, or no manifest") from error
    if not isinstance(found, dict) or found.get("kind") != "refrain.snapshot":
        raise SnapshotUnusable(f"{MANIFEST} is no manifest of a snapshot")
    if found.get("v") != VERSION:
        raise SnapshotUnusable(f"{MANIFEST} is of version {found.get('v')!r}, and this Refrain reads version {VERSION}")
    if said != _digest(found):
        raise SnapshotUnusable(f"{MANIFEST} was altered: its digest does not fit")
    try:
        return Manifest.model_validate(found)
    except ValidationError as error:
        where = ".".join(str(each) for each in error.errors()[0]["loc"])
        raise SnapshotUnusable(f"{MANIFEST} is no manifest of a snapshot: {where or 'the whole'} is wrong") from error


def _digest(body: object) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
