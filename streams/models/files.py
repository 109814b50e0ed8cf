"""Model files: found on this machine, checked by the hash of the weights, downloaded only where that is allowed.

The hub's client is optional (the extra `embed`): it is imported when a model is looked for, not before.
"""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import NamedTuple

from refrain.streams.errors import WrongSetup, install_hint
from refrain.streams.models.sealed_folder import sha256_of

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
DECIDING = (".json", ".txt", ".model")
FETCHED = ("*.json", "*.txt", "*.model", "model.safetensors", "*/config.json")


class ModelSource(NamedTuple):
    """Where a model comes from, as the settings of `group` name it."""

    group: str
    model: str
    """A folder, a name in the hub's cache, or a name on the hub."""
    sha256: str | None
    """Expected hash of the weights."""
    allow_download: bool
    package: str | None = None
    """A package that brings it along, in its folder `model`."""


class ModelFolder(NamedTuple):
    """The folder of a model on this machine."""

    folder: Path
    sha256: str
    """Of its weights."""
    name: str
    """Short, safe in file names and identities."""

    @property
    def tag(self) -> str:
        """The first digits of the hash, for names."""
        return self.sha256[:12]


def find(wanted: ModelSource) -> ModelFolder:
    """Find the model's files; download them when they are nowhere here and that is allowed.

    Raises WrongSetup when there are none, or none of the expected hash.
    """
    go_offline(wanted.allow_download)
    folder = _folder(wanted)
    found = _sha256(folder, wanted.group)
    if wanted.sha256 is not None:
        check_weights(wanted.sha256, found, str(folder), wanted.group)
    return ModelFolder(folder, found, folder_name(wanted.model))


def check_weights(expected: str, found: str, model: str, group: str) -> None:
    """Check the hash of weights. Raises WrongSetup naming both hashes when they differ."""
    if expected.lower() != found:
        raise WrongSetup(
            f"the weights of {model} have sha256 {found}, expected {expected}: fetch the model again, or set"
            f" {group}.sha256 to the hash that you trust"
        )


def deciding_files(folder: Path) -> list[str]:
    """Names of the files of a model, beside its weights, that may decide what it gives: settings and vocabularies."""
    found = [*folder.glob("*"), *folder.glob("*/config.json")]
    return sorted(path.relative_to(folder).as_posix() for path in found if path.suffix in DECIDING and path.is_file())


def go_offline(allow_download: bool) -> None:
    """Take the hub's client, which is imported after this, offline unless downloads are allowed."""
    # The client reads these once, when it is imported: an argument would come too late for some of its calls.
    if not allow_download:
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def is_folder(model: str) -> bool:
    """Whether a model is named by its folder."""
    return Path(model).is_dir()


def folder_name(model: str) -> str:
    """The name of a model in file names and identities: the last part of its name or path."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model).name) or "model"


def _folder(wanted: ModelSource) -> Path:
    """The model's folder: as named, in the hub's cache, in a package, or downloaded from the hub."""
    if is_folder(wanted.model):
        return Path(wanted.model)
    found = _cached(wanted.model) or packaged(wanted.package)
    if found is None and wanted.allow_download:
        found = _downloaded(wanted)
    if found is None:
        install = f"{install_hint('weights')}, " if wanted.package else ""
        raise WrongSetup(
            f"the model {wanted.model} is not on this machine: {install}set {wanted.group}.model to its folder, or set"
            f" {wanted.group}.allow_download to fetch it from the hub"
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


def packaged(package: str | None) -> Path | None:
    """The model's folder in an installed package."""
    spec = importlib.util.find_spec(package) if package else None
    for location in (spec.submodule_search_locations or ()) if spec else ():
        if _weights(Path(location) / "model") is not None:
            return Path(location) / "model"
    return None


def _downloaded(wanted: ModelSource) -> Path:
    import httpx
    import requests
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(wanted.model, allow_patterns=list(FETCHED)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError,
            httpx.HTTPError, requests.RequestException) as error:  # fmt: skip
        raise WrongSetup(f"cannot fetch {wanted.model} from the hub ({type(error).__name__}): check the name and the"
                         f" connection, or set {wanted.group}.model to a folder") from error  # fmt: skip


def _weights(folder: Path) -> Path | None:
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def _sha256(folder: Path, group: str) -> str:
    weights = _weights(folder)
    if weights is None:
        raise WrongSetup(f"{folder} holds none of {', '.join(WEIGHTS)}: set {group}.model to a model's folder")
    return sha256_of(weights)
