"""Loads the embedder and the verifier that the settings name."""

from __future__ import annotations

from pathlib import Path

from refrain.streams.models.embedder import Embedder
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.models.verifier import SharedWordsVerifier, Verifier
from refrain.streams.settings import Embedding, Verify


def load_embedder(settings: Embedding, cache_dir: Path) -> Embedder:
    """Load the embedder of the settings; `cache_dir` keeps what is derived from a model, such as its ONNX form.

    Raises WrongSetup when the model is not on this machine, is another than expected, or has no backend here.
    """
    if settings.backend == "free":
        return HashingEmbedder()
    from refrain.streams.models.transformer_embedder import load_transformer_embedder

    return load_transformer_embedder(settings, cache_dir)


def load_verifier(settings: Verify, cache_dir: Path) -> Verifier | None:
    """Load the verifier of the settings, None when they name none; `cache_dir` keeps what is derived from a model.

    Raises WrongSetup when the model is not on this machine, is another than expected, or is none for pairs.
    """
    if settings.backend == "words":
        return SharedWordsVerifier()
    if settings.model is None:
        return None
    from refrain.streams.models.cross_encoder import load_cross_encoder

    return load_cross_encoder(settings, settings.model, cache_dir)
