"""Backends of sentence-transformers models: ONNX Runtime on the CPU, by a form exported once, or PyTorch.

The libraries are large and optional (the extra `embed`): they are imported when a model is loaded, not before.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from refrain.streams.errors import WrongSetup, install_hint
from refrain.streams.models.files import ModelFolder, deciding_files
from refrain.streams.models.sealed_folder import Hashes, hashes_of, seal, why_broken

logger = logging.getLogger(__name__)

Kind = Literal["SentenceTransformer", "CrossEncoder"]
Backend = Literal["onnx", "torch"]
Device = Literal["auto", "cpu", "cuda", "mps"]
WINDOW_CHARS_MAX = 32
"""A text with more characters than this a token of the window is taken not to fit, without counting."""
_NOISY = ("sentence_transformers", "transformers", "optimum", "huggingface_hub")


def choose_backend(wanted: str, group: str, otherwise: str, device: Device = "cpu") -> Backend:
    """Choose the backend for `wanted` (auto, onnx or torch) and `device` on this machine.

    Raises WrongSetup when what it needs is not installed, or does not run there; `otherwise` says what to
    do instead.
    """
    if not _installed("sentence_transformers"):
        raise WrongSetup(f"sentence-transformers is not installed: {install_hint('embed')}, or {otherwise}")
    if device not in ("auto", "cpu"):
        if wanted == "onnx":
            raise WrongSetup(f"{group}.backend onnx runs on the CPU, and {group}.device is {device}: set one to auto")
        return "torch"
    onnx = _installed("onnxruntime") and _installed("optimum") and _installed("optimum.onnxruntime")
    if wanted == "onnx" and not onnx:
        raise WrongSetup(f"{group}.backend is onnx, and optimum-onnx or onnxruntime is missing:"
                         f" {install_hint('embed')}, or set {group}.backend to torch")  # fmt: skip
    return "onnx" if onnx and wanted in ("auto", "onnx") else "torch"


def choose_device(wanted: Device, backend: Backend, group: str) -> str:
    """Choose where a model runs: auto takes a GPU that PyTorch finds, else the CPU; ONNX Runtime has the CPU alone.

    Raises WrongSetup when PyTorch finds no device of the kind that is wanted.
    """
    if backend == "onnx" or wanted == "cpu":
        return "cpu"
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next((name for name, is_there in there.items() if is_there), "cpu")
    if not there[wanted]:
        raise WrongSetup(f"{group}.device is {wanted}, and PyTorch finds none here: set it to auto or cpu")
    return wanted


def load(kind: Kind, found: ModelFolder, backend: Backend, cache_dir: Path, threads: int, device: str = "cpu") -> Any:
    """Load the model as an object of that class; `cache_dir` keeps its ONNX form."""
    with _quiet():
        if backend == "onnx":
            return _load_onnx(kind, exported(kind, found, cache_dir / f"{found.name}-{found.tag}"), threads)
        return _load_torch(kind, found.folder, threads, device)


def failures(backend: Backend) -> tuple[type[Exception], ...]:
    """The exceptions that a model raises on a text that it cannot take."""
    common = (RuntimeError, ValueError, IndexError)
    if backend == "torch":
        return common
    # None of ONNX Runtime's own errors is a RuntimeError.
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

    return (*common, Fail, InvalidArgument, RuntimeException)


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def exported(
    kind: Kind, found: ModelFolder, target: Path, export: Callable[[Kind, Path, Path], None] | None = None
) -> Path:
    """Export the model's ONNX form to `target`, once, and again when it is not as it was made or the model is not.

    Written aside, sealed and renamed, so that it is whole or absent.
    """
    source = {**hashes_of(found.folder, deciding_files(found.folder)), "weights": found.sha256}
    why = why_broken(target, source) if target.exists() else None
    if target.exists() and why is None:
        return target
    if why is not None:
        logger.warning("the ONNX form in %s is made again: %s", target, why)
    logger.info("exporting the model to ONNX, once: %s", target)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".export-", dir=target.parent))
    try:
        (export or _export)(kind, found.folder, aside)
        seal(aside, source)
        _move(aside, target, source)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _export(kind: Kind, folder: Path, aside: Path) -> None:
    exported = _made(kind, folder, "onnx", {"export": True, "provider": "CPUExecutionProvider"})
    exported.save_pretrained(str(aside), create_model_card=False)
    del exported
    # Its temporary folder goes with it, here and not at some later moment.
    gc.collect()


def _move(aside: Path, target: Path, source: Hashes) -> None:
    if target.exists() and why_broken(target, source) is not None:
        broken = Path(tempfile.mkdtemp(prefix=".broken-", dir=target.parent))
        target.rename(broken / target.name)
        shutil.rmtree(broken, ignore_errors=True)
    try:
        aside.rename(target)
    except OSError:
        # Another worker was first: what it wrote is the same.
        if why_broken(target, source) is not None:
            raise


def _load_onnx(kind: Kind, folder: Path, threads: int) -> Any:
    from onnxruntime import SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between calls take the processors from the workers beside this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return _made(
        kind,
        folder,
        "onnx",
        {
            "provider": "CPUExecutionProvider",
            "session_options": options,
            "export": False,
            "file_name": "onnx/model.onnx",
        },
    )


def _load_torch(kind: Kind, folder: Path, threads: int, device: str) -> Any:
    import torch

    torch.set_num_threads(threads)
    return _made(kind, folder, "torch", {}, device)


def _made(kind: Kind, folder: Path, backend: Backend, model_kwargs: dict[str, Any], device: str = "cpu") -> Any:
    import sentence_transformers

    made = getattr(sentence_transformers, kind)
    return made(str(folder), backend=backend, device=device, local_files_only=True, model_kwargs=model_kwargs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the libraries say of themselves while they load; their errors still come through."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Imported first: the libraries set their own levels then.
        import sentence_transformers  # noqa: F401
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
