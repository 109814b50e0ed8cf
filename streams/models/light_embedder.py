"""The light embedder: the default model, or another small BERT, on CTranslate2 and tokenizers, without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from refrain.streams.errors import WrongSetup
from refrain.streams.models.bert_weights import BertWeights, read_bert_folder, read_exported_bert
from refrain.streams.models.ctranslate2_encoder import ENGINE, CTranslate2Encoder
from refrain.streams.models.embedder import TOKENS_MAX, unit_rows
from refrain.streams.models.fast_tokenizer import FastTokenizer
from refrain.streams.models.light_files import LightModel, Pooling, find_light_model
from refrain.streams.models.threads import threads_of
from refrain.streams.models.token_window import TokenWindow
from refrain.streams.settings import Embedding
from refrain.streams.vectors import Floats

BATCH_TOKENS = 2_048
"""Tokens run together: what bounds the memory of a call. Beyond a few hundred they are no quicker."""
DEFAULT_HEADS = 12
DEFAULT_EPSILON = 1e-12
"""Of the default model; its file of weights does not tell them."""


class LightEmbedder:
    """An embedder by a BERT whose vector is the mean of its tokens, or the first of them.

    A text has the same vector in every call, down to the last bit: it is always padded to the same number of tokens,
    and runs with texts that are padded to as many.
    """

    def __init__(
        self,
        encoder: CTranslate2Encoder,
        tokenizer: FastTokenizer,
        tokens_max: int,
        identity: str,
        pooling: Pooling = "mean",
    ) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._tokens_max = tokens_max
        self._window = TokenWindow(tokenizer, tokens_max)
        self._pooling = pooling
        self.identity = identity
        self.dim = encoder.width

    def embed(self, texts: Sequence[str]) -> Floats:
        """Embed n texts as unit vectors (n, dim)."""
        rows: Floats = np.zeros((len(texts), self.dim), dtype=np.float32)
        for place, states in self._run(self._ids(texts)):
            rows[place] = self._pooled(states)
        return unit_rows(rows)

    def embed_tokens(self, texts: Sequence[str]) -> list[Floats]:
        """Token vectors of each text; they are computed by all of the text that is inside the window."""
        found = self._no_tokens(texts)
        for place, states in self._run(self._ids(texts)):
            found[place] = self._own_rows(texts[place], states)
        return found

    def embed_both(self, texts: Sequence[str]) -> tuple[Floats, list[Floats]]:
        """Unit vectors (n, dim) and token vectors of n texts, each read once."""
        rows: Floats = np.zeros((len(texts), self.dim), dtype=np.float32)
        found = self._no_tokens(texts)
        for place, states in self._run(self._ids(texts)):
            rows[place] = self._pooled(states)
            found[place] = self._own_rows(texts[place], states)
        return unit_rows(rows), found

    def fits(self, text: str) -> bool:
        return self._window.fits(text)

    def head(self, text: str) -> str:
        return self._window.head(text)

    def unread(self, text: str) -> tuple[str, ...]:
        return self._window.unread(text)

    def _no_tokens(self, texts: Sequence[str]) -> list[Floats]:
        return [np.zeros((0, self.dim), dtype=np.float32)] * len(texts)

    def _pooled(self, states: Floats) -> Floats:
        pooled: Floats = states[0] if self._pooling == "cls" else states.mean(axis=0)
        return pooled

    def _own_rows(self, text: str, states: Floats) -> Floats:
        """The unit rows of the text's own tokens, of all that the model read for it."""
        special = np.asarray(self._window.special_tokens(text), dtype=bool)
        return unit_rows(states[~special][:TOKENS_MAX])

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self._tokenizer.ids(texts, self._tokens_max)

    def _run(self, ids: list[list[int]]) -> Iterator[tuple[int, Floats]]:
        """The place of each text, and its token vectors (tokens, dim)."""
        for places in batches([self._encoder.padded(len(row)) for row in ids]):
            yield from zip(places, self._encoder.last_layer([ids[place] for place in places]), strict=True)


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """The places of texts that run together: of equal length, and BATCH_TOKENS tokens at most unless one has more."""
    groups: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        groups.setdefault(length, []).append(place)
    found = []
    for length, places in sorted(groups.items()):
        together = max(1, BATCH_TOKENS // max(1, length))
        found += [places[at : at + together] for at in range(0, len(places), together)]
    return found


def load_light_embedder(settings: Embedding) -> LightEmbedder:
    """Load the light embedder of the settings. Raises WrongSetup when its model is not here or not the expected one."""
    found = find_light_model(settings)
    try:
        tokenizer = FastTokenizer(found.tokenizer)
        weights = _read_weights(found)
        if tokenizer.tokens > len(weights.words.rows) or found.tokens_max > len(weights.positions):
            raise ValueError("its tokenizer has more tokens, or its window is longer, than its weights are for")
        encoder = CTranslate2Encoder(weights, threads_of(settings))
    except (ValueError, RuntimeError) as error:
        raise WrongSetup(f"the light embedder cannot run {found.name}: {error}") from error
    identity = f"{found.name}@{found.tag}/{ENGINE}"
    return LightEmbedder(encoder, tokenizer, found.tokens_max, identity, found.pooling)


def _read_weights(found: LightModel) -> BertWeights:
    if found.weights.suffix == ".onnx":
        return read_exported_bert(found.weights, DEFAULT_HEADS, DEFAULT_EPSILON)
    return read_bert_folder(Path(found.weights.parent))
