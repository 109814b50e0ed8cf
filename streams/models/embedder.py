"""Embedders: texts to vectors.

`load_embedder` makes the one that the settings name; nothing is imported or fetched before it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from refrain.streams.vectors import Floats, Ints, quantise

TOKENS_MAX = 64
"""Tokens of a text that have vectors of their own: those of its beginning."""


class Embedder(Protocol):
    """Embeds texts as vectors by meaning. Vectors of different identities are never compared."""

    @property
    def identity(self) -> str:
        """The name of the model, the hash of its weights and the backend."""

    @property
    def dim(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Floats:
        """Embed n texts as vectors (n, dim), in one call of the model. A row of NaN: that text has none."""

    def embed_tokens(self, texts: Sequence[str]) -> list[Floats]:
        """Token vectors of each text: (tokens, width) of the model's last layer without special tokens; (0, width)
        where there are none. Rows are of unit length, and no more than TOKENS_MAX a text.
        """

    def fits(self, text: str) -> bool:
        """Whether the whole text lies inside the model's window; what lies beyond does not reach the vector."""

    def head(self, text: str) -> str:
        """The text where it fits, else a short head of it. Bounded work, whatever the length of the text."""

    def unread(self, text: str) -> tuple[str, ...]:
        """Pieces of a text that fits which are not in its vector: texts that differ in them alone have the same one."""


@runtime_checkable
class BothEmbedder(Protocol):
    """An embedder that gives both kinds of vectors by one run of its model."""

    def embed_both(self, texts: Sequence[str]) -> tuple[Floats, list[Floats]]:
        """What `embed` and `embed_tokens` give for the texts, to the last bit."""


def embed_both(embedder: Embedder, texts: Sequence[str]) -> tuple[Floats, list[Floats]]:
    """Vectors (n, dim) and token vectors of n texts, by one run of the model where the embedder can."""
    if isinstance(embedder, BothEmbedder):
        return embedder.embed_both(texts)
    return embedder.embed(texts), embedder.embed_tokens(texts)


def unit_rows(rows: Floats) -> Floats:
    """Rows (n, width) scaled to unit length. Rows that have no direction, of zeros or not finite, stay as they are."""
    lengths = np.sqrt(np.sum(np.square(rows, dtype=np.float64), axis=1, keepdims=True))
    scaled: Floats = (rows / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return scaled


def vector_of_record(row: Floats) -> Ints | None:
    """The vector of record of one embedding; None where the text has none."""
    try:
        return quantise(row)
    except ValueError:
        return None
