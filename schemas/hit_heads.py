"""The head of the hit rule: weights that `refrain hits train` learns from judged pairs, all in integers.

It is read by `refrain.streams.models.hit_head`, which says what is computed of them.
"""

from __future__ import annotations

import binascii
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refrain.schemas.base import Strict

WIDTH_MAX = 128
HIDDEN_MAX = 64
DIM_MAX = 4_096
BIAS_MAX = 2**30
OUTPUT_MAX = 2**24
"""With these bounds every sum of a layer is below 2^53, so that float64 holds it exactly, and the last below 2^63."""
CAP_MAX = 500_000
"""Millionths of similarity that a head may take off."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
HiddenBias = Annotated[int, Field(ge=-BIAS_MAX, le=BIAS_MAX)]
OutputWeight = Annotated[int, Field(ge=-OUTPUT_MAX, le=OUTPUT_MAX)]
Term = Annotated[int, Field(ge=-(2**53), le=2**53)]


class HeldOutRecall(Strict):
    """The best recall at a precision on held-out pairs, its 95 % interval, and the threshold that gives it."""

    recall: Share
    """The share of the pairs that ask the same which is served."""
    low: Share
    """The lower end of its 95 % interval."""
    high: Share
    """The upper end of its 95 % interval."""
    threshold: Share | None
    """None: no threshold reaches the precision."""


class Gain(Strict):
    """Held-out recall at a precision, of the rule alone and of the rule with a head."""

    precision: Share
    """The share of what is served that asks the same."""
    rule: HeldOutRecall
    """Of the rule alone."""
    head: HeldOutRecall
    """Of the rule with the head."""


class HeadTraining(Strict):
    """How a head was trained, and its figures on held-out pairs."""

    pairs: Count
    """Pairs that it was trained on."""
    positives: Count
    """Pairs that ask the same."""
    pairs_sha256: str
    """SHA-256 of the pairs, hex."""
    regularisation: Finite
    """Weight decay."""
    steps: Count = 0
    """How many batches of pairs it was fitted to: as many as were best for held-out pairs."""
    held_out: Annotated[tuple[Gain, ...], Field(min_length=1)]
    """What it gains on pairs that it was not trained on, by precision."""


class EvidenceTerms(Strict):
    """What the head adds up of the rule's own evidence: a factor for each number, before the sum is shifted."""

    similarity: Term
    """Of the similarity, in millionths."""
    letters: Term
    """Of the overlap of letters, in thousandths."""
    stems: Term
    """Of the overlap of stems, in thousandths."""
    penalty: Term
    """Of what the guards take off, in millionths."""
    bias: Term
    """Added to every sum."""


class HitHead(Strict):
    """The weights of a head. `version` is the hash of all other fields.

    A layer's sums are integers of its own unit, which the next layer's weights allow for.
    """

    kind: Literal["refrain.hits"] = "refrain.hits"
    """What the file is."""
    v: Literal[1] = 1
    """The version of the format."""
    version: Annotated[str, Field(pattern="^([0-9a-f]{12})?$")]
    """The hash of all other fields, 12 hex digits."""
    embedder: Annotated[str, Field(min_length=1)]
    """Identity of the embedder whose token vectors it reads."""
    dim: Annotated[int, Field(ge=1, le=DIM_MAX)]
    """Numbers of a token vector."""
    width: Annotated[int, Field(ge=1, le=WIDTH_MAX)]
    """Numbers of a projected token."""
    hidden: Annotated[int, Field(ge=1, le=HIDDEN_MAX)]
    """Units of the layer that compares a token with what it is aligned with."""
    projection: str
    """Base64 of int8, (width, dim)."""
    projection_scales: tuple[Positive, ...]
    """For each row of the projection the unit of its sums, in units of a projected token."""
    sharpness: Positive
    """Sixteenths of a power of two that an alignment loses for each unit that its product is below the largest."""
    layer: str
    """Base64 of int8, (hidden, 4 * width): of a token, its alignment, their distance and their product."""
    layer_biases: tuple[HiddenBias, ...]
    """Added to the sum of each unit."""
    output: tuple[OutputWeight, ...]
    """For the mean (hidden) and then the maximum (hidden) over tokens, both directions summed."""
    evidence: EvidenceTerms
    """What the rule's own evidence adds."""
    shift: Annotated[int, Field(ge=0, le=40)]
    """The sum of output and evidence, divided by 2^shift, is what is taken off, in millionths."""
    cap: Annotated[int, Field(ge=0, le=CAP_MAX)]
    """The most that is taken off, in millionths."""
    made: HeadTraining
    """How it was trained, and how good it is."""

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        for name, size in (("projection", self.width * self.dim), ("layer", self.hidden * 4 * self.width)):
            _check_bytes(name, getattr(self, name), size)
        lengths = {"projection_scales": self.width, "layer_biases": self.hidden, "output": 2 * self.hidden}
        for name, length in lengths.items():
            if len(getattr(self, name)) != length:
                raise ValueError(f"{name} has {len(getattr(self, name))} numbers, not {length}")
        return self


def _check_bytes(name: str, text: str, size: int) -> None:
    try:
        found = len(binascii.a2b_base64(text, strict_mode=True))
    except ValueError as error:
        raise ValueError(f"{name} is not base64: {error}") from error
    if found != size:
        raise ValueError(f"{name} has {found} numbers, not {size}")
