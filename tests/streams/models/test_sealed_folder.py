"""What is made of a model is loaded as it was made, and made again where it, or the model, is not what it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from refrain.streams.models.backends import Kind, exported
from refrain.streams.models.files import ModelFolder, ModelSource, find
from refrain.streams.models.sealed_folder import MANIFEST


class Export:
    """Makes an ONNX form, and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, kind: Kind, folder: Path, aside: Path) -> None:
        self.count += 1
        (aside / "onnx").mkdir()
        (aside / "onnx" / "model.onnx").write_bytes(b"the form of " + (folder / "model.safetensors").read_bytes())
        (aside / "config.json").write_text("{}")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    for name in ("config.json", "tokenizer.json", "vocab.txt", "1_Pooling/config.json"):
        (folder / name).write_text("{}")
    return folder


def found(folder: Path) -> ModelFolder:
    return find(ModelSource("embedding", str(folder), None, allow_download=False))


def test_a_form_that_is_as_it_was_made_is_made_once(model: Path, tmp_path: Path) -> None:
    export = Export()
    for _ in range(2):
        assert exported("SentenceTransformer", found(model), tmp_path / "made", export) == tmp_path / "made"
    assert export.count == 1


def reversed_file(made: Path) -> None:
    path = made / "onnx" / "model.onnx"
    path.write_bytes(path.read_bytes()[::-1])


def changed_manifest(made: Path) -> None:
    manifest = json.loads((made / MANIFEST).read_text())
    manifest["files"]["config.json"] = "0" * 64
    (made / MANIFEST).write_text(json.dumps(manifest))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a reversed file": reversed_file,
    "a lost file": lambda made: (made / "config.json").unlink(),
    "a file more": lambda made: (made / "onnx" / "model.onnx_data").write_bytes(b"x"),
    "another setting": lambda made: (made / "config.json").write_text('{"a": 1}'),
    "no manifest": lambda made: (made / MANIFEST).unlink(),
    "half a manifest": lambda made: (made / MANIFEST).write_text("{"),
    "a manifest of nothing": lambda made: (made / MANIFEST).write_text("[]"),
    "a manifest of another": changed_manifest,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_form_that_is_not_as_it_was_made_is_made_again(change: str, model: Path, tmp_path: Path) -> None:
    export, made = Export(), tmp_path / "made"
    exported("SentenceTransformer", found(model), made, export)
    CHANGES[change](made)
    exported("SentenceTransformer", found(model), made, export)
    assert export.count == 2
    assert (made / "onnx" / "model.onnx").read_bytes() == b"the form of weights"
    assert not (made / "onnx" / "model.onnx_data").exists()
    exported("SentenceTransformer", found(model), made, export)
    assert export.count == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "model"]


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "vocab.txt", "1_Pooling/config.json"]
)
def test_a_form_of_another_model_is_made_again(name: str, model: Path, tmp_path: Path) -> None:
    export = Export()
    exported("SentenceTransformer", found(model), tmp_path / "made", export)
    (model / name).write_text("other")
    exported("SentenceTransformer", found(model), tmp_path / "made", export)
    assert export.count == 2
