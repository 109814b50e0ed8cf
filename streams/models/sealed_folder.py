"""Sealed folders: files that were made of a model, with a manifest of their hashes and of what they were made of.

A file that was changed, added or lost would give other vectors under the same identity; so would one that was made of
another tokenizer or configuration than the model has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

MANIFEST = "manifest.json"
Hashes = Mapping[str, str]
"""Hashes (sha256, hex) of files by their names in a folder."""


def hashes_of(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """Hash files of a folder: those of these names, or all but the manifest, in the order of their names."""
    found = sorted(names) if names is not None else sorted(_names(folder))
    return {name: sha256_of(folder / name) for name in found}


def sha256_of(path: Path) -> str:
    """Hash a file. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path, source: Hashes) -> None:
    """Write the manifest of a folder that was made of files with the hashes in `source`."""
    manifest = {"v": 1, "source": dict(source), "files": hashes_of(folder)}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def why_broken(folder: Path, source: Hashes) -> str | None:
    """Why a folder is not as it was sealed, or not made of this source; None where it is."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"it has no {MANIFEST} that can be read"
    sealed = manifest if isinstance(manifest, dict) else {}
    changed = _differing(source, sealed.get("source"))
    if changed is not None:
        return f"it was made of another {changed} than the model has"
    changed = _differing(hashes_of(folder), sealed.get("files"))
    return None if changed is None else f"{changed} is not as it was made"


def _differing(hashes: Hashes, sealed: object) -> str | None:
    """The first file whose hash is not the sealed one, or that only one of both has."""
    if not isinstance(sealed, dict):
        return "model"
    names = sorted(hashes.keys() | sealed.keys())
    return next((name for name in names if hashes.get(name) != sealed.get(name)), None)


def _names(folder: Path) -> Iterable[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return (name for name in (path.relative_to(folder).as_posix() for path in paths) if name != MANIFEST)
