"""Turns a head in floating point into the integers of its artefact."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.ops.hits.alignment import Net
from refrain.schemas.hit_heads import BIAS_MAX, OUTPUT_MAX
from refrain.streams.models.hit_head import FINER, LARGEST, PRODUCT_UNIT, STEPS_PER_OCTAVE
from refrain.streams.models.hit_head_artifact import encode_bytes
from refrain.streams.vectors import SCALE

SHIFT_MAX = 40

Wide = npt.NDArray[np.float64]


class Scale(NamedTuple):
    """What a logit z of the head is worth as a score, in millionths of similarity: slope * z + offset."""

    slope: float
    offset: float


class Standard(NamedTuple):
    """Mean and spread of each number of the rule's evidence, by which it was standardised."""

    mean: Wide
    spread: Wide


def quantise(net: Net, largest: float, standard: Standard, scale: Scale) -> dict[str, Any]:
    """The fields of the artefact that say what is computed.

    `largest` is the largest absolute number of a projected token: it becomes LARGEST, and what is beyond is cut.
    """
    unit = largest / LARGEST
    projection, projection_scales = _rows(net.projection.T)
    layer, layer_scales = _rows((net.layer * _feature_units(net, unit / FINER)[:, None]).T)
    output = -scale.slope * net.output * np.tile(layer_scales, 2)
    evidence = _evidence(net, standard, scale)
    shift = _shift(np.abs(output).max())
    return {
        "dim": len(net.projection),
        "width": len(projection),
        "hidden": len(layer),
        "projection": encode_bytes(projection),
        "projection_scales": tuple((projection_scales / (SCALE * unit)).tolist()),
        "sharpness": math.exp(float(net.sharpness)) * unit * unit * STEPS_PER_OCTAVE / math.log(2),
        "layer": encode_bytes(layer),
        "layer_biases": _whole(np.clip(net.biases / layer_scales, -BIAS_MAX, BIAS_MAX)),
        "output": _whole(output * 2.0**shift),
        "evidence": {name: round(value * 2**shift) for name, value in evidence.items()},
        "shift": shift,
    }


def _feature_units(net: Net, fine: float) -> Wide:
    """What one unit of each feature (4 * width) is worth."""
    width = net.projection.shape[1]
    return np.repeat([fine, fine, fine, fine * fine * PRODUCT_UNIT], width)


def _evidence(net: Net, standard: Standard, scale: Scale) -> dict[str, float]:
    """Factors of what is taken off: similarity less penalty less the score that the head gives."""
    factors = net.evidence / standard.spread
    similarity, letters, stems, penalty = (-scale.slope * factors).tolist()
    bias = -scale.slope * (float(net.bias) - float(factors @ standard.mean)) - scale.offset
    return {
        "similarity": 1 + similarity,
        "letters": letters,
        "stems": stems,
        "penalty": penalty - 1,
        "bias": bias,
    }


def _rows(weights: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int8], Wide]:
    """Rows in 8 bits, and what their unit is worth: the largest number of each becomes LARGEST."""
    largest = np.abs(weights.astype(np.float64)).max(axis=1)
    units = np.where(largest == 0, 1.0, largest) / LARGEST
    return np.rint(weights / units[:, None]).astype(np.int8), units


def _shift(largest: float) -> int:
    """The largest shift with which the weights of the output are in their bounds."""
    if largest == 0:
        return SHIFT_MAX
    return min(max(math.floor(math.log2(OUTPUT_MAX / largest)), 0), SHIFT_MAX)


def _whole(values: npt.NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in np.rint(values))
