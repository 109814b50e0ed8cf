"""Loads the embedder and the verifier that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from refrain.streams.models.embedder import Embedder
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.models.verifier import SharedWordsVerifier, Verifier
from refrain.streams.settings import Embedding, Verify


class FoundModel(NamedTuple):
    """The model that would be loaded."""

    backend: str
    place: str
    """Its folder, or its file of weights."""
    sha256: str
    """Of its weights."""


def load_embedder(settings: Embedding, cache_dir: Path) -> Embedder:
    """Load the embedder of the settings; `cache_dir` keeps what is derived from a model, such as its ONNX form.

    Raises WrongSetup when the model is not on this machine, is another than expected, or has no backend here.
    """
    if settings.backend == "free":
        return HashingEmbedder()
    if settings.backend == "http":
        from refrain.streams.models.http_embedder import HttpEmbedder

        return HttpEmbedder(settings)
    if settings.backend == "light" or (settings.backend == "auto" and _is_light(settings)):
        from refrain.streams.models.light_embedder import load_light_embedder

        return load_light_embedder(settings)
    from refrain.streams.models.transformer_embedder import load_transformer_embedder

    return load_transformer_embedder(settings, cache_dir)


def find_model(settings: Embedding) -> FoundModel:
    """Find the model that a backend with files of its own would load, without loading or fetching it.

    Raises WrongSetup when it is not here.
    """
    if settings.backend == "light" or (settings.backend == "auto" and _is_light(settings)):
        from refrain.streams.models.light_files import find_light_model

        light = find_light_model(settings)
        return FoundModel("light", str(light.weights), light.sha256)
    from refrain.streams.models import transformer_embedder

    backend, folder, digest = transformer_embedder.find_model(settings)
    return FoundModel(backend, str(folder), digest)


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


def _is_light(settings: Embedding) -> bool:
    from refrain.streams.models.light_files import takes_by_itself

    return takes_by_itself(settings)
