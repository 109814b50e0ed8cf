"""Weights of a BERT encoder in 8-bit integers, from an ONNX file of such weights or from a folder of safetensors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.streams.models.onnx_tensors import Tensors, read_onnx_tensors
from refrain.streams.vectors import Floats

LAYER_MATRICES = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
"""The matrices of a layer, in the order of their use."""
STEPS = 127
"""An 8-bit integer goes from -STEPS to STEPS."""
_EXPORTED = re.compile(r"val_(\d+)_q")
"""Matrices that an exporter left without a name."""


class Matrix(NamedTuple):
    """A matrix in 8-bit integers: its value is `rows` times `scale`, one a row."""

    rows: npt.NDArray[np.int8]
    """(outputs, inputs)"""
    scale: Floats
    """(outputs)"""


class BertWeights(NamedTuple):
    """The weights of a BERT encoder. Names are those of the layers in a BERT's safetensors, without `.weight`."""

    heads: int
    epsilon: float
    """Of the layers' norms."""
    words: Matrix
    """(vocabulary, width)"""
    positions: Floats
    """(positions, width), with what the first kind of token adds to every token."""
    matrices: dict[str, Matrix]
    vectors: dict[str, Floats]
    """Biases and norms, with `.bias` or `.weight`."""

    @property
    def layers(self) -> int:
        return len(self.matrices) // len(LAYER_MATRICES)

    @property
    def width(self) -> int:
        return int(self.positions.shape[1])


def read_exported_bert(path: Path, heads: int, epsilon: float) -> BertWeights:
    """Read the weights of an ONNX file that keeps them in 8-bit integers, a scale a row.

    Raises ValueError for a file of another make.
    """
    tensors = {name.removeprefix("inner."): array for name, array in read_onnx_tensors(path).items()}
    try:
        return BertWeights(
            heads,
            epsilon,
            Matrix(*_quantised(tensors, "embeddings.word_embeddings.weight")),
            _exported_positions(tensors),
            _exported_matrices(tensors),
            _vectors(tensors),
        )
    except KeyError as error:
        raise ValueError(f"{path} holds no tensor {error}") from error


def read_bert_folder(folder: Path) -> BertWeights:
    """Read the weights of a folder with `config.json` and `model.safetensors`, rounded to 8-bit integers.

    Raises ValueError for weights that are not those of a BERT encoder.
    """
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    try:
        tensors = {
            name.removeprefix("bert."): np.asarray(array, dtype=np.float32)
            for name, array in load_file(folder / "model.safetensors").items()
            if array.ndim > 0
        }
        names = [f"encoder.layer.{at}.{name}" for at in range(config["num_hidden_layers"]) for name in LAYER_MATRICES]
        return BertWeights(
            int(config["num_attention_heads"]),
            float(config["layer_norm_eps"]),
            to_integers(tensors["embeddings.word_embeddings.weight"]),
            tensors["embeddings.position_embeddings.weight"] + tensors["embeddings.token_type_embeddings.weight"][:1],
            {name: to_integers(tensors[f"{name}.weight"]) for name in names},
            _vectors(tensors),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the weights in {folder} are not those of a BERT encoder: {error}") from error


def to_integers(rows: Floats) -> Matrix:
    """Round a matrix (outputs, inputs) to 8-bit integers, with the largest number of a row at the end of the scale."""
    largest = np.abs(rows).max(axis=1)
    scale: Floats = np.where(largest > 0, largest / STEPS, 1.0).astype(np.float32)
    return Matrix(np.rint(rows / scale[:, None]).astype(np.int8), scale)


def _quantised(tensors: Tensors, name: str) -> tuple[npt.NDArray[np.int8], Floats]:
    return tensors[f"{name}_q"], tensors[f"{name}_scale"].reshape(-1)


def _exported_positions(tensors: Tensors) -> Floats:
    rows, scale = _quantised(tensors, "embeddings.position_embeddings.weight")
    positions: Floats = rows.astype(np.float32) * scale[:, None]
    return positions + tensors["embeddings.token_type_embeddings.weight"][:1]


def _exported_matrices(tensors: Tensors) -> dict[str, Matrix]:
    """The matrices of the layers; the numbers in their names are in the order of their use."""
    numbers = sorted(int(found[1]) for name in tensors if (found := _EXPORTED.fullmatch(name)))
    whole, rest = divmod(len(numbers), len(LAYER_MATRICES))
    if not whole or rest:
        raise ValueError(f"{len(numbers)} matrices are not those of a BERT's layers")
    names = [f"encoder.layer.{at}.{name}" for at in range(whole) for name in LAYER_MATRICES]
    matrices: dict[str, Matrix] = {}
    for name, number in zip(names, numbers, strict=True):
        columns, scale = _quantised(tensors, f"val_{number}")
        matrices[name] = Matrix(np.ascontiguousarray(columns.T), scale)
    return matrices


def _vectors(tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, Floats]:
    return {name: array for name, array in tensors.items() if array.ndim == 1 and name.endswith((".weight", ".bias"))}
