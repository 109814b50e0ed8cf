"""A BERT encoder on CTranslate2, the engine of the light embedder.

The engine is optional (the extra `light`): it is imported when a model is loaded, not before. It computes products of
weights in 8-bit integers, which are exact; what else it rounds depends on how many tokens a text has, and to how many
it is padded. So a text that is always padded alike has the same vectors in every batch, on any number of threads, to
the last bit.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refrain.streams.models.bert_weights import BertWeights, Matrix
from refrain.streams.vectors import Floats

ENGINE = "ctranslate2"
COMPUTE_TYPE = "int8"
FORMAT = 6
"""The version of the engine's model files that is written here."""
_KINDS = ("float32", "int8", "int16", "int32", "float16", "bfloat16")
PADDED_TO = 8
"""Texts are padded to a multiple of so many tokens, and run with those that are padded to as many. Of questions, eight
then take 2.8 calls of the engine and not 6.5, and two thirds of the time.
"""
_GELU = 3
_NO_MERGE = 0


class CTranslate2Encoder:
    """The last layer of a BERT, on `threads` threads of the CPU."""

    def __init__(self, weights: BertWeights, threads: int) -> None:
        """Load the weights into the engine. Raises RuntimeError when it does not take them."""
        # Threads that spin between calls take the processors from the workers beside this one.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import ctranslate2

        files = {
            "model.bin": model_file(weights),
            "config.json": json.dumps(_config(weights)).encode(),
            "vocabulary.json": json.dumps(_names(weights)).encode(),
        }
        self._engine: Any = ctranslate2.Encoder(
            "bert", device="cpu", compute_type=COMPUTE_TYPE, inter_threads=1, intra_threads=threads, files=files
        )
        self.width = weights.width
        self._positions = len(weights.positions)
        self._array: Callable[[npt.NDArray[np.int32]], Any] = ctranslate2.StorageView.from_array

    def padded(self, tokens: int) -> int:
        """The number of tokens that a text of so many is padded to, whatever it runs with."""
        return min(-(-tokens // PADDED_TO) * PADDED_TO, self._positions)

    def last_layer(self, ids: Sequence[Sequence[int]]) -> list[Floats]:
        """Encode texts that are padded to equally many tokens: the token vectors (tokens, width) of each."""
        (padded,) = {self.padded(len(row)) for row in ids}
        lengths = np.array([len(row) for row in ids], dtype=np.int32)
        rows = np.zeros((len(ids), padded), dtype=np.int32)
        for row, own in zip(rows, ids, strict=True):
            row[: len(own)] = own
        found = self._engine.forward_batch(self._array(rows), self._array(lengths))
        states: Floats = np.asarray(found.last_hidden_state, dtype=np.float32)
        return [own[:length] for own, length in zip(states, lengths, strict=True)]


def model_file(weights: BertWeights) -> bytes:
    """The weights as a model file of the engine."""
    variables = sorted(_variables(weights).items())
    head = [struct.pack("<I", FORMAT), _text("TransformerEncoderSpec"), struct.pack("<II", 1, len(variables))]
    return b"".join([*head, *(_variable(name, value) for name, value in variables), struct.pack("<I", 0)])


def _names(weights: BertWeights) -> list[str]:
    # The engine wants a name for each token; texts come to it as ids.
    return [str(at) for at in range(len(weights.words.rows))]


def _config(weights: BertWeights) -> dict[str, Any]:
    # And names of tokens for purposes that texts which come as ids do not have.
    unused = {f"{purpose}_token": "0" for purpose in ("unk", "bos", "eos")}
    return {"layer_norm_epsilon": weights.epsilon, **unused}


def _variables(weights: BertWeights) -> dict[str, npt.NDArray[Any]]:
    """The variables of the engine's encoder by their names."""
    found: dict[str, npt.NDArray[Any]] = {
        "encoder/activation": np.array(_GELU, np.int8),
        "encoder/embeddings_merge": np.array(_NO_MERGE, np.int8),
        "encoder/multi_query_attention": np.array(0, np.int8),
        "encoder/num_heads": np.array(weights.heads, np.int16),
        "encoder/pre_norm": np.array(0, np.int8),
        "encoder/scale_embeddings": np.array(0, np.int8),
        "encoder/position_encodings/encodings": weights.positions,
        **_matrix("encoder/embeddings_0", weights.words),
        **_norm("encoder/layernorm_embedding", weights, "embeddings.LayerNorm"),
    }
    for at in range(weights.layers):
        found |= _layer(f"encoder/layer_{at}", weights, f"encoder.layer.{at}.")
    return found


def _layer(name: str, weights: BertWeights, source: str) -> dict[str, npt.NDArray[Any]]:
    return {
        **_linear(f"{name}/self_attention/linear_0", weights,
                  [f"{source}attention.self.{part}" for part in ("query", "key", "value")]),
        **_linear(f"{name}/self_attention/linear_1", weights, [f"{source}attention.output.dense"]),
        **_norm(f"{name}/self_attention/layer_norm", weights, f"{source}attention.output.LayerNorm"),
        **_linear(f"{name}/ffn/linear_0", weights, [f"{source}intermediate.dense"]),
        **_linear(f"{name}/ffn/linear_1", weights, [f"{source}output.dense"]),
        **_norm(f"{name}/ffn/layer_norm", weights, f"{source}output.LayerNorm"),
    }  # fmt: skip


def _linear(name: str, weights: BertWeights, sources: list[str]) -> dict[str, npt.NDArray[Any]]:
    """One product of the engine; where it has several sources, their outputs stand one after the other."""
    matrices = [weights.matrices[source] for source in sources]
    both = Matrix(*(np.concatenate(parts) for parts in zip(*matrices, strict=True)))
    bias = np.concatenate([weights.vectors[f"{source}.bias"] for source in sources])
    return {**_matrix(name, both), f"{name}/bias": bias}


def _matrix(name: str, matrix: Matrix) -> dict[str, npt.NDArray[Any]]:
    # The engine divides by what it calls the scale.
    return {f"{name}/weight": matrix.rows, f"{name}/weight_scale": (1 / matrix.scale).astype(np.float32)}


def _norm(name: str, weights: BertWeights, source: str) -> dict[str, npt.NDArray[Any]]:
    return {f"{name}/gamma": weights.vectors[f"{source}.weight"], f"{name}/beta": weights.vectors[f"{source}.bias"]}


def _variable(name: str, value: npt.NDArray[Any]) -> bytes:
    shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
    return _text(name) + shape + struct.pack("<BI", _KINDS.index(value.dtype.name), value.nbytes) + value.tobytes()


def _text(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<H", len(data)) + data
