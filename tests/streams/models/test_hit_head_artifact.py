"""The head's file: read as it was written, its version the hash of its content, anything else refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from refrain.schemas.hit_heads import HitHead
from refrain.streams.errors import WrongSetup
from refrain.streams.models.hit_head_artifact import HEAD_FILES, decode_bytes, encode_bytes
from tests.streams.models.made_hit_heads import MADE, NO_EVIDENCE, RECALL, WIDTH, content, head

FULL = {"dim": 384, "width": 64, "hidden": 48}
HUGE = 10**30


def changed(**fields: Any) -> bytes:
    """The file with fields changed, its version as it was."""
    return json.dumps({**json.loads(HEAD_FILES.encode(head())), **fields}).encode()


@given(seed=st.integers(0, 100), sharpness=st.floats(1e-9, 1e3), cap=st.integers(0, 500_000))
def test_what_is_written_reads_back_as_the_same(seed: int, sharpness: float, cap: int) -> None:
    one = head(seed, sharpness=sharpness, cap=cap)
    assert HEAD_FILES.decode(HEAD_FILES.encode(one), "here") == one
    assert HEAD_FILES.encode(one) == HEAD_FILES.encode(head(seed, sharpness=sharpness, cap=cap))


def test_the_version_changes_with_the_content() -> None:
    assert head().version == head().version
    assert head(cap=1).version != head().version
    assert len(head().version) == 12


def test_a_head_of_full_size_fits_into_a_policy() -> None:
    random = np.random.default_rng(1)

    def weights(rows: int, columns: int) -> str:
        return encode_bytes(random.integers(-127, 128, size=(rows, columns)).astype(np.int8))

    made = head(
        **FULL,
        projection=weights(64, 384),
        projection_scales=tuple((random.random(64) / 32_767).tolist()),
        layer=weights(48, 256),
        layer_biases=tuple(random.integers(-(2**30), 2**30, size=48).tolist()),
        output=tuple(random.integers(-(2**24), 2**24, size=96).tolist()),
    )
    assert len(json.dumps(made.model_dump(mode="json"))) < 120_000


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a head of the hit rule"),
        (b'{"v": 1, "kind": "refrain.categories"}', "not a head of the hit rule"),
        (changed(v=2), "of format 2, this Refrain reads format 1: upgrade it"),
        (changed(cap=1), "damaged: its content is not that of version"),
        (changed(made={**MADE, "pairs": 3}), "damaged: its content is not that of version"),
    ],
    ids=range(8),
)
def test_a_file_that_is_not_whole_is_refused_with_what_to_do(data: bytes, said: str) -> None:
    with pytest.raises(WrongSetup, match=f"^somewhere is .*{said}.*refrain hits train"):
        HEAD_FILES.decode(data, "somewhere")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("version", "0123456789AB", "version"),
        ("embedder", "", "embedder"),
        ("dim", 11, "projection has 96 numbers, not 88"),
        ("width", 7, "projection has 96 numbers, not 84"),
        ("hidden", 5, "layer has 192 numbers, not 160"),
        ("hidden", 65, "hidden"),
        ("projection", "AAAA", "projection has 3 numbers, not 96"),
        ("projection", "not base64", "projection is not base64"),
        ("projection_scales", [1.0], "projection_scales has 1 numbers, not 8"),
        ("projection_scales", [-1.0] * WIDTH, "projection_scales"),
        ("sharpness", 0, "sharpness"),
        ("sharpness", float("nan"), "not JSON|sharpness"),
        ("layer", "AAAA", "layer has 3 numbers, not 192"),
        ("layer_biases", [0], "layer_biases has 1 numbers, not 6"),
        ("layer_biases", [2**30 + 1] * 6, "layer_biases"),
        ("output", [0], "output has 1 numbers, not 12"),
        ("output", [0.5] * 12, "output"),
        ("output", [2**24 + 1] * 12, "output"),
        ("evidence", {**NO_EVIDENCE, "bias": HUGE}, "evidence.bias"),
        ("evidence", {"bias": 0}, "evidence.similarity"),
        ("shift", 41, "shift"),
        ("shift", -1, "shift"),
        ("cap", -1, "cap"),
        ("cap", 500_001, "cap"),
        ("made", {**MADE, "held_out": []}, "made.held_out"),
        ("made", {**MADE, "held_out": [{"precision": 0.9, "rule": RECALL}]}, "made.held_out.0.head"),
        ("more", 1, "more"),
    ],
)
def test_each_damaged_field_is_refused_by_its_name(field: str, value: Any, said: str) -> None:
    with pytest.raises(WrongSetup, match=f"somewhere is damaged: .*({said})"):
        HEAD_FILES.decode(changed(**{field: value}), "somewhere")


@given(st.integers(0, len(HEAD_FILES.encode(head())) - 1), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(at: int, by: int) -> None:
    data = bytearray(HEAD_FILES.encode(head()))
    data[at] = (data[at] + by) % 256
    try:
        again = HEAD_FILES.decode(bytes(data), "here")
    except WrongSetup:
        return
    assert again == head()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongSetup, match=r"gone\.json cannot be read"):
        HEAD_FILES.read(tmp_path / "gone.json")
    (tmp_path / "here.json").write_bytes(HEAD_FILES.encode(head()))
    assert HEAD_FILES.read(tmp_path / "here.json") == head()


def test_its_model_is_closed() -> None:
    with pytest.raises(ValidationError):
        HitHead(**{**content(), "version": "", "surprise": 1})


def test_rows_of_bytes_read_back_as_they_were() -> None:
    rows = np.arange(-128, 128).astype(np.int8).reshape(8, 32)
    assert np.array_equal(decode_bytes(encode_bytes(rows), 32), rows)


def test_a_file_that_has_no_end_is_no_artefact() -> None:
    with pytest.raises(WrongSetup, match="has more than 256 MB"):
        HEAD_FILES.read(Path("/dev/zero"))
