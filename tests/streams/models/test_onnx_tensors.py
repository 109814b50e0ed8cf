"""Tensors of an ONNX file, read without the libraries of ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from refrain.streams.models.onnx_tensors import read_onnx_tensors

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)
SMALL = np.arange(-300, 300, dtype=np.int64).astype(np.int8).reshape(2, 300)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tensors = [
        numpy_helper.from_array(NUMBERS, "numbers"),
        numpy_helper.from_array(SMALL, "small"),
        numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "shape"),
        numpy_helper.from_array(np.array(7, dtype=np.float32), "one"),
    ]
    node = helper.make_node("Identity", ["numbers"], ["out"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [3, 4])
    model = helper.make_model(helper.make_graph([node], "graph", [], [out], tensors))
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_numbers_are_read_by_name_and_other_kinds_left_out(path: Path) -> None:
    found = read_onnx_tensors(path)
    assert set(found) == {"numbers", "small", "one"}
    assert np.array_equal(found["numbers"], NUMBERS)
    assert np.array_equal(found["small"], SMALL)
    assert found["one"].shape == ()


def test_a_file_that_is_cut_or_none_is_refused(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"\xff" * 20, b"\x0f" * 20):
        (tmp_path / "broken.onnx").write_bytes(data)
        with pytest.raises(ValueError, match=r"ends within|holds no tensors|wire type"):
            read_onnx_tensors(tmp_path / "broken.onnx")
