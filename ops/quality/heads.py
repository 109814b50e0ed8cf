"""The head of the hit rule over labelled pairs: what it takes off each, by the token vectors of the two texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from refrain.ops.data.lines import Pair
from refrain.streams.classify.framing import frame
from refrain.streams.errors import WrongSetup
from refrain.streams.guards import MICROS, Evidence
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.hit_head import PairHead
from refrain.streams.models.hit_head_artifact import HEAD_FILES, TRAIN_AGAIN
from refrain.streams.vectors import Floats

BATCH = 256

Progress = Callable[[int, int], None]


class HeadWeights:
    """What a head takes off pairs of texts whose sides it has."""

    def __init__(self, head: PairHead, sides: dict[str, str | None]) -> None:
        self._head = head
        self._sides = sides

    def weight(self, asked: str, kept: str, similarity: float, evidence: Evidence) -> int:
        """Weigh a pair: millionths to take off. Its texts are among those of the sides."""
        overlap = evidence.overlap
        return self._head.weight(
            self._sides[asked],
            self._sides[kept],
            round(similarity * MICROS),
            overlap.letters,
            overlap.words,
            evidence.penalty,
        )


def load_head(path: Path, embedder: str) -> PairHead:
    """Load a head for token vectors of `embedder`. Raises WrongSetup when it is missing, damaged, or of another one."""
    head = HEAD_FILES.read(path)
    if head.embedder != embedder:
        raise WrongSetup(
            f"{path} was trained on token vectors of {head.embedder}, the embedder here is {embedder}: {TRAIN_AGAIN}"
        )
    return PairHead(head)


def head_weights(pairs: Sequence[Pair], head: PairHead, embedder: Embedder, progress: Progress) -> HeadWeights:
    """Make what a head needs of the texts of pairs, each embedded once."""
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.text_a, pair.text_b)))
    tokens = token_vectors(texts, embedder, progress)
    return HeadWeights(head, {text: head.text_side(rows) for text, rows in zip(texts, tokens, strict=True)})


def token_vectors(texts: Sequence[str], embedder: Embedder, progress: Progress) -> Iterable[Floats]:
    """Yield the token vectors (tokens, dim) of the head of each text. `progress` hears of the texts done and of all."""
    for start in range(0, len(texts), BATCH):
        batch = [frame(text, embedder).head for text in texts[start : start + BATCH]]
        yield from embedder.embed_tokens(batch)
        progress(start + len(batch), len(texts))
