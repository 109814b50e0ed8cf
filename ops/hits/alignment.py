"""The head of the hit rule in floating point, as it is trained: its outcome for a batch of pairs, and its gradient.

What it computes is told in `refrain.streams.models.hit_head`, which computes the same in integers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.intp]


class Net(NamedTuple):
    """Weights of a head, or their gradient."""

    projection: Array
    """(dim, width)."""
    sharpness: Array
    """Logarithm of what products are multiplied by before the softmax, ()."""
    layer: Array
    """(4 * width, hidden)."""
    biases: Array
    """(hidden)."""
    output: Array
    """For mean and maximum, (2 * hidden)."""
    evidence: Array
    """For the rule's own evidence: similarity, overlap of letters, overlap of stems and penalty, (4)."""
    bias: Array
    """()."""


class Batch(NamedTuple):
    """A batch of n pairs: the tokens of their first texts (n), then of their second texts, padded to one length."""

    tokens: Array
    """(2n, length, dim)."""
    real: Mask
    """Which of the tokens are none of padding, (2n, length). Every text has one at least."""
    evidence: Array
    """The rule's own, (n, 4)."""


class _Trace(NamedTuple):
    """What the gradient needs of the way to an outcome."""

    own: Array
    others: Array
    products: Array
    shares: Array
    aligned: Array
    features: Array
    units: Array
    largest: Numbers
    counts: Array
    pooled: Array


def outcome(net: Net, batch: Batch) -> Array:
    """Logits (n) that the pairs of a batch ask the same."""
    return _run(net, batch)[0]


def gradient(net: Net, batch: Batch, same: Mask, kept: Array | None = None) -> tuple[float, Net]:
    """The mean cross entropy of a batch, and its gradient.

    `kept` (2n, 1, width) is what the numbers of projected tokens are multiplied by: 0 for those that are dropped.
    """
    logits, trace = _run(net, batch, kept)
    loss = float(np.logaddexp(0, np.where(same, -logits, logits)).mean())
    wrong = (1 / (1 + np.exp(-logits)) - same) / len(same)
    return loss, _back(net, batch, trace, wrong.astype(np.float32), kept)


def _run(net: Net, batch: Batch, kept: Array | None = None) -> tuple[Array, _Trace]:
    n = len(batch.evidence)
    own = batch.tokens @ net.projection
    if kept is not None:
        own *= kept
    others = np.concatenate([own[n:], own[:n]])
    real_others = np.concatenate([batch.real[n:], batch.real[:n]])
    products = own @ others.transpose(0, 2, 1)
    powers = np.where(real_others[:, None, :], np.exp(net.sharpness) * products, -np.inf)
    shares = np.exp(powers - powers.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    aligned = shares @ others
    features = np.concatenate([own, aligned, np.abs(own - aligned), own * aligned], axis=2)
    units = np.maximum(features @ net.layer + net.biases, 0) * batch.real[:, :, None]
    counts = batch.real.sum(axis=1, keepdims=True).astype(np.float32)
    # Units are not negative, so that the zeros of padding are no maximum but where all are zero.
    largest = units.argmax(axis=1)
    most = np.take_along_axis(units, largest[:, None, :], axis=1)[:, 0]
    pooled = np.concatenate([units.sum(axis=1) / counts, most], axis=1)
    pooled = pooled[:n] + pooled[n:]
    logits = pooled @ net.output + batch.evidence @ net.evidence + net.bias
    return logits, _Trace(own, others, products, shares, aligned, features, units, largest, counts, pooled)


def _back(net: Net, batch: Batch, trace: _Trace, wrong: Array, kept: Array | None) -> Net:
    """The gradient, from that of the logits (n)."""
    both = np.concatenate([wrong, wrong])
    to_units = _to_units(net, trace, both)
    to_features = to_units @ net.layer.T
    to_own, to_others, to_sharpness = _to_tokens(net, trace, to_features)
    n = len(wrong)
    to_own += np.concatenate([to_others[n:], to_others[:n]])
    if kept is not None:
        to_own *= kept
    return Net(
        projection=_flat(batch.tokens).T @ _flat(to_own),
        sharpness=to_sharpness,
        layer=_flat(trace.features).T @ _flat(to_units),
        biases=to_units.sum(axis=(0, 1)),
        output=wrong @ trace.pooled,
        evidence=wrong @ batch.evidence,
        bias=wrong.sum(),
    )


def _to_units(net: Net, trace: _Trace, both: Array) -> Array:
    hidden = len(net.biases)
    mean = (both[:, None] / trace.counts * net.output[:hidden])[:, None, :]
    to_units = np.broadcast_to(mean, trace.units.shape).copy()
    at = trace.largest[:, None, :]
    most = np.take_along_axis(to_units, at, axis=1) + (both[:, None] * net.output[hidden:])[:, None, :]
    np.put_along_axis(to_units, at, most, axis=1)
    to_units *= trace.units > 0
    return to_units


def _to_tokens(net: Net, trace: _Trace, to_features: Array) -> tuple[Array, Array, Array]:
    to_own, to_aligned, to_distance, to_product = np.split(to_features, 4, axis=2)
    signed = np.sign(trace.own - trace.aligned) * to_distance
    to_aligned = to_aligned - signed + to_product * trace.own
    to_shares = to_aligned @ trace.others.transpose(0, 2, 1)
    to_powers = trace.shares * (to_shares - (trace.shares * to_shares).sum(axis=2, keepdims=True))
    to_products = np.exp(net.sharpness) * to_powers
    to_own = to_own + signed + to_product * trace.aligned + to_products @ trace.others
    to_others = trace.shares.transpose(0, 2, 1) @ to_aligned + to_products.transpose(0, 2, 1) @ trace.own
    return to_own, to_others, (to_products * trace.products).sum()


def _flat(rows: Array) -> Array:
    return rows.reshape(-1, rows.shape[-1])
