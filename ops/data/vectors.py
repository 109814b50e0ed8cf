"""Vectors of record of many texts: each embedded once, in batches, and cached on disk for the next run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.ops.data.lines import BadLine, Pair
from refrain.streams.classify.framing import frame
from refrain.streams.models.embedder import Embedder
from refrain.streams.vectors import Floats, Ints, quantise, similarity

BATCH = 256
NEVER = -1.0
"""The similarity of a pair that is never compared by meaning: it differs in what its vectors do not show."""


class Compared(NamedTuple):
    """Pairs whose texts both have a vector, and the similarity (n) of each."""

    pairs: list[Pair]
    similarities: npt.NDArray[np.float64]
    unseen: int
    """Pairs that differ beyond the embedder's window, or in what it does not read."""


def compare(
    pairs: Sequence[Pair],
    embedder: Embedder,
    cache_dir: Path | None,
    progress: Callable[[int, int], None],
    bad: list[BadLine],
) -> Compared:
    """The similarity of each pair as a shard computes it; a pair without a vector goes to `bad`.

    Texts are framed as classify does: a vector shows the head, and all that it does not show must be the same.
    `progress` hears of the texts done and of all.
    """
    framed = {text: frame(text, embedder) for pair in pairs for text in (pair.text_a, pair.text_b)}
    heads = list(dict.fromkeys(each.head for each in framed.values()))
    found = dict(zip(heads, vectors_of(heads, embedder, cache_dir, progress), strict=True))
    good, values = [], []
    for pair in pairs:
        one, other = framed[pair.text_a], framed[pair.text_b]
        a, b = found[one.head], found[other.head]
        if a is None or b is None:
            bad.append(BadLine(pair.line, "a text has no vector (not finite, or zero)"))
            continue
        good.append(pair)
        same = one[1:] == other[1:]  # all that the vector of the head does not show
        values.append(similarity(a, b) if same else NEVER)
    similarities = np.array(values, dtype=np.float64)
    return Compared(good, similarities, int(np.count_nonzero(similarities == NEVER)))


def vectors_of(
    texts: Sequence[str], embedder: Embedder, cache_dir: Path | None, progress: Callable[[int, int], None]
) -> list[Ints | None]:
    """The vector of record of each text, None for a text without one."""
    kept = None if cache_dir is None else cache_dir / f"vectors-{_digest(embedder.identity, texts)}.npy"
    if kept is not None and kept.exists():
        rows: Ints = np.load(kept)
    else:
        rows = _embedded(texts, embedder, progress)
        if kept is not None:
            _keep(kept, rows)
    return [row if row.any() else None for row in rows]


def _embedded(texts: Sequence[str], embedder: Embedder, progress: Callable[[int, int], None]) -> Ints:
    """Vectors of record (n, dim); a row of zeros stands for none: no vector of record is zero."""
    rows: Ints = np.zeros((len(texts), embedder.dim), dtype=np.int16)
    for start in range(0, len(texts), BATCH):
        for number, row in enumerate(_batch(embedder, texts[start : start + BATCH]), start):
            rows[number] = row
        progress(min(start + BATCH, len(texts)), len(texts))
    return rows


def _batch(embedder: Embedder, texts: Sequence[str]) -> Iterator[Ints]:
    for row in embedder.embed(texts):
        yield _of_record(row)


def _of_record(row: Floats) -> Ints:
    try:
        return quantise(row)
    except ValueError:
        return np.zeros(len(row), dtype=np.int16)


def _keep(path: Path, rows: Ints) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part.npy")
    np.save(half, rows)
    half.replace(path)


def _digest(identity: str, texts: Sequence[str]) -> str:
    digest = hashlib.blake2b(identity.encode(), digest_size=12)
    for text in texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
