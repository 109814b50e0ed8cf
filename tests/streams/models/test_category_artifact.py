"""The artefact's file: read as it was written, its version the hash of its content, anything else refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from refrain.streams.errors import WrongSetup
from refrain.streams.models.category_artifact import CATEGORY_FILES, Artefact, linear_map, rows_of
from tests.streams.models.made_categories import DIM, NAMES, artefact

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


def changed(**fields: Any) -> bytes:
    """The file with fields changed, its version as it was."""
    return json.dumps({**json.loads(CATEGORY_FILES.encode(artefact())), **fields}).encode()


@given(floor=NUMBERS, bias=NUMBERS, keep=st.floats(0.5, 0.999))
def test_what_is_written_reads_back_as_the_same(floor: float, bias: float, keep: float) -> None:
    blend = {"energy": 1 / 3, "nearest": 0.1, "outside": 1e-17, "bias": bias}
    made = {**artefact().made.model_dump(), "keep": keep}
    one = artefact(floor=floor, blend=blend, made=made)
    assert CATEGORY_FILES.decode(CATEGORY_FILES.encode(one), "here") == one
    assert CATEGORY_FILES.encode(one) == CATEGORY_FILES.encode(artefact(floor=floor, blend=blend, made=made))


def test_the_version_changes_with_the_content() -> None:
    assert artefact().version == artefact().version
    assert artefact(floor=0.91).version != artefact().version
    assert len(artefact().version) == 12


def test_weights_are_kept_to_a_part_in_thirty_thousand() -> None:
    weights = np.random.default_rng(3).normal(size=(4, DIM))
    weights[3] = 0
    kept = linear_map(weights, np.zeros(4))
    again = rows_of(kept.rows, DIM) * np.array(kept.scales)[:, None]
    assert np.abs(again - weights).max() <= np.abs(weights).max() / 32_767


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not an artefact of categories"),
        (b'{"v": 1}', "not an artefact of categories"),
        (changed(v=2), "of format 2, this Refrain reads format 1: upgrade it"),
        (changed(v=None), "of format None"),
        (changed(floor=0.5), "damaged: its content is not that of version"),
        (changed(floor="high"), "damaged: floor"),
        (changed(floor=float("nan")), "damaged"),
        (changed(more=1), "damaged: more"),
        (changed(landmarks="AAAA"), "damaged"),
        (changed(landmarks="not base64"), "damaged"),
        (changed(categories=["chat", "code"]), "damaged"),
        (changed(category_of=[0, 1]), "damaged"),
    ],
    ids=range(15),
)
def test_a_file_that_is_not_whole_is_refused_with_what_to_do(data: bytes, said: str) -> None:
    with pytest.raises(WrongSetup, match=f"^somewhere is .*{said}.*refrain categories train"):
        CATEGORY_FILES.decode(data, "somewhere")


@given(st.integers(0, len(CATEGORY_FILES.encode(artefact())) - 1), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(at: int, by: int) -> None:
    data = bytearray(CATEGORY_FILES.encode(artefact()))
    data[at] = (data[at] + by) % 256
    try:
        again = CATEGORY_FILES.decode(bytes(data), "here")
    except WrongSetup:
        return
    assert again == artefact()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongSetup, match=r"gone\.json cannot be read"):
        CATEGORY_FILES.read(tmp_path / "gone.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"categories": ("a",)},
        {"categories": ("a", "a", "b")},
        {"category_of": (0, 1, 1)},
        {"category_of": (0, 1, 3)},
        {"outside": linear_map(np.ones((2, DIM)), np.zeros(2))},
        {"dim": DIM + 1},
        {"floor": float("inf")},
    ],
)
def test_an_artefact_at_odds_with_itself_cannot_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        artefact(**changes)


def test_its_model_is_closed() -> None:
    assert artefact().categories == NAMES
    with pytest.raises(ValidationError):
        Artefact(**{**artefact().model_dump(), "surprise": 1})
