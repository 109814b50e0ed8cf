"""Fits the head of the hit rule to judged pairs: Adam on the cross entropy, from a start that is the rule itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from refrain.ops.hits.alignment import EVIDENCE, Array, Batch, Mask, Net, Numbers, gradient, outcome

BATCH = 64
CHUNK = 16
"""Batches whose pairs are sorted by length together, so that little is padded."""
MOMENTUM, SCALING, EPSILON = 0.9, 0.99, 1e-8
AVERAGED = 0.4
"""The last part of the steps, whose weights are averaged (Polyak and Juditsky, 1992): they are steadier than any."""
SHARPNESS = 3.0
"""Logarithm of what the products of unit vectors are multiplied by at the start."""
SEED = 11


class Pairs(NamedTuple):
    """Pairs to learn from. Tokens of all texts lie one after another."""

    tokens: Array
    """Unit vectors, (tokens, dim)."""
    starts: Numbers
    """Where the tokens of each text begin, (texts)."""
    counts: Numbers
    """How many tokens each text has, (texts)."""
    texts: Numbers
    """The two texts of each pair, (n, 2)."""
    evidence: Array
    """The rule's evidence, each of mean 0 and spread 1, (n, EVIDENCE)."""
    same: Mask
    """Whether both ask the same, (n)."""

    def batch(self, rows: Numbers) -> Batch:
        """The pairs of these rows as a batch."""
        texts = np.concatenate([self.texts[rows, 0], self.texts[rows, 1]])
        counts = self.counts[texts]
        steps = np.arange(counts.max())
        real = steps < counts[:, None]
        places = np.where(real, self.starts[texts][:, None] + steps, 0)
        return Batch(self.tokens[places] * real[:, :, None], real, self.evidence[rows])

    def lengths(self, rows: Numbers) -> Numbers:
        """Tokens of the longer text of each of these pairs."""
        found: Numbers = self.counts[self.texts[rows]].max(axis=1)
        return found


class Recipe(NamedTuple):
    """How to fit: the size of the head, and how freely its weights may move."""

    width: int = 64
    hidden: int = 48
    decay: float = 0.05
    rate: float = 2e-3
    epochs: int = 12
    dropped: float = 0.0
    shrink: float = 1.0


def fit(pairs: Pairs, rows: Numbers, recipe: Recipe, seed: int = SEED) -> Net:
    """Fit a head to the pairs of these rows: the same one for the same pairs."""
    random = np.random.default_rng(seed)
    net = start(pairs, rows, recipe, random)
    first = net
    speed, size = (Net(*(np.zeros_like(each) for each in net)) for _ in range(2))
    total = recipe.epochs * -(-len(rows) // BATCH)
    mean, averaged, step = net, 0, 0
    for _ in range(recipe.epochs):
        for part in batches(pairs, rows, random):
            step += 1
            _, slope = gradient(net, pairs.batch(part), pairs.same[part], _kept(recipe, len(part), net, random))
            rate = recipe.rate * min(1.0, step / (0.05 * total + 1)) * (1 - 0.9 * step / total)
            speed = Net(*(MOMENTUM * m + (1 - MOMENTUM) * g for m, g in zip(speed, slope, strict=True)))
            size = Net(*(SCALING * v + (1 - SCALING) * g * g for v, g in zip(size, slope, strict=True)))
            net = Net(
                *(
                    (w - rate * (m / (1 - MOMENTUM**step) / (np.sqrt(v / (1 - SCALING**step)) + EPSILON) + d * (w - w0))).astype(np.float32)
                    for w, w0, m, v, d in zip(net, first, speed, size, _decays(recipe), strict=True)
                )
            )
            if step > (1 - AVERAGED) * total:
                averaged += 1
                mean = Net(*((old + (new - old) / averaged).astype(np.float32) for old, new in zip(mean, net, strict=True)))
    return mean


def _decays(recipe: Recipe):
    return Net(recipe.decay, 0.0, recipe.decay, 0.0, recipe.decay, 0.0, 0.0)


def start(pairs: Pairs, rows: Numbers, recipe: Recipe, random) -> Net:
    dim = pairs.tokens.shape[1]
    width, hidden = min(recipe.width, dim), recipe.hidden
    layer = random.normal(0, (2 / (4 * width)) ** 0.5 * recipe.shrink, (4 * width, hidden))
    ev, b = logistic(pairs.evidence[rows], pairs.same[rows])
    return Net(*(np.asarray(each, dtype=np.float32) for each in (
        principal(pairs.tokens, width), SHARPNESS - np.log(width), layer, np.zeros(hidden), np.zeros(2 * hidden), ev, b)))


def logistic(x, y, penalty=1.0):
    x1 = np.concatenate([x, np.ones((len(x), 1))], axis=1).astype(np.float64)
    w = np.zeros(x1.shape[1])
    ridge = np.append(np.full(x.shape[1], penalty), 1e-3)
    for _ in range(30):
        p = 1 / (1 + np.exp(-(x1 @ w)))
        h = (x1 * (p * (1 - p))[:, None]).T @ x1 + np.diag(ridge)
        step = np.linalg.solve(h, x1.T @ (p - y) + ridge * w)
        w -= step
        if np.abs(step).max() < 1e-9:
            break
    return w[:-1], w[-1]


def principal(tokens: Array, width: int) -> Array:
    """Directions (dim, width) in which the tokens differ most, scaled so that a projected token is of about unit length."""
    some = tokens[:: max(1, len(tokens) // 50_000)].astype(np.float64)
    _, vectors = np.linalg.eigh(some.T @ some)
    found = vectors[:, ::-1][:, :width]
    signs = np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    return found * signs * width**0.5


def batches(pairs: Pairs, rows: Numbers, random) -> Iterator[Numbers]:
    order = random.permutation(rows)
    found = []
    for at in range(0, len(order), BATCH * CHUNK):
        chunk = order[at : at + BATCH * CHUNK]
        chunk = chunk[np.argsort(pairs.lengths(chunk), kind="stable")]
        found += [chunk[b : b + BATCH] for b in range(0, len(chunk), BATCH)]
    for n in random.permutation(len(found)):
        yield found[n]


def predict(net: Net, pairs: Pairs, rows: Numbers) -> Array:
    order = np.argsort(pairs.lengths(rows), kind="stable")
    out = np.zeros(len(rows), dtype=np.float32)
    for at in range(0, len(rows), 256):
        part = order[at : at + 256]
        out[part] = outcome(net, pairs.batch(rows[part]))
    return out


def _kept(recipe, n, net, random):
    if not recipe.dropped:
        return None
    k = (random.random((n, 1, net.projection.shape[1])) >= recipe.dropped) / (1 - recipe.dropped)
    return np.concatenate([k, k]).astype(np.float32)
