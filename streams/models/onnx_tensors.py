"""Tensors of an ONNX file: the initialisers of its graph, read without the libraries of ONNX.

An ONNX file is a protobuf message; of its many fields four levels are needed, so that a model's weights can be taken
from it by whatever engine runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Tensors = dict[str, npt.NDArray[Any]]
Field = tuple[int, int | memoryview]

_GRAPH = 7
"""Of the model."""
_INITIALISER = 5
"""Of the graph."""
_DIMS, _TYPE, _NAME, _RAW = 1, 2, 8, 9
"""Of a tensor."""
_TYPES: dict[int, npt.DTypeLike] = {1: "<f4", 3: "i1"}
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def read_onnx_tensors(path: Path) -> Tensors:
    """Read the float32 and int8 initialisers of an ONNX file by name. Raises ValueError for a file that is none."""
    model = memoryview(path.read_bytes())
    found: Tensors = {}
    for graph in _parts(model, _GRAPH):
        for tensor in _parts(graph, _INITIALISER):
            name, array = _tensor(tensor)
            if array is not None:
                found[name] = array
    if not found:
        raise ValueError(f"{path} holds no tensors of an ONNX model")
    return found


def _tensor(message: memoryview) -> tuple[str, npt.NDArray[Any] | None]:
    dims: list[int] = []
    kind, name, raw = 0, "", memoryview(b"")
    for number, value in _fields(message):
        if isinstance(value, int):
            dims += [value] if number == _DIMS else []
            kind = value if number == _TYPE else kind
        elif number == _DIMS:
            dims += _varints(value)
        elif number == _NAME:
            name = bytes(value).decode()
        elif number == _RAW:
            raw = value
    if kind not in _TYPES:
        return name, None
    return name, np.frombuffer(raw, dtype=_TYPES[kind]).reshape(dims)


def _parts(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(message):
        if number == wanted and not isinstance(value, int):
            yield value


def _fields(message: memoryview) -> Iterator[Field]:
    """The fields of a protobuf message: number and value, bytes where they have a length."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        value: int | memoryview
        if wire == _VARINT:
            value, at = _varint(message, at)
        else:
            length, at = _length(message, at, wire)
            if at + length > len(message):
                raise ValueError("the file ends within a field")
            value, at = message[at : at + length], at + length
        yield number, value


def _length(message: memoryview, at: int, wire: int) -> tuple[int, int]:
    if wire == _BYTES:
        return _varint(message, at)
    if wire in (_EIGHT_BYTES, _FOUR_BYTES):
        return (8 if wire == _EIGHT_BYTES else 4), at
    raise ValueError(f"a field has wire type {wire}, which no ONNX file has")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
    raise ValueError("the file ends within a number")


def _varints(packed: memoryview) -> list[int]:
    values: list[int] = []
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        values.append(value)
    return values
