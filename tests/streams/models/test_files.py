"""Models are known by the hash of their weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from refrain.streams.errors import WrongSetup
from refrain.streams.models.files import ModelSource, check_weights, find


def test_other_weights_than_expected_are_refused_naming_both_hashes() -> None:
    with pytest.raises(WrongSetup, match=r"sha256 bb, expected AA.* set verify\.sha256"):
        check_weights("AA", "bb", "m", "verify")
    check_weights("AA", "aa", "m", "verify")


def test_a_model_in_a_folder_is_found_with_the_hash_of_its_weights(tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    found = find(ModelSource("verify", str(folder), digest.upper(), allow_download=False))
    assert (found.folder, found.sha256, found.name) == (folder, digest, "my-model")
    assert found.tag == digest[:12]
