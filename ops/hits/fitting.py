"""Fits the head of the hit rule to judged pairs: Adam on the cross entropy, from a start that is the rule's score.

Few pairs are to be enough. So at the start tokens are projected on their principal directions and evidence counts about
as the rule has it; weights decay towards that start, directions are dropped at random (Srivastava et al., 2014),
and the weights of all steps are averaged, the later ones the heavier. For how long is for held-out pairs to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.ops.hits.alignment import Array, Batch, Mask, Net, Numbers, gradient, outcome

BATCH = 64
PREDICTED = 256
CHUNK = 16 * BATCH
"""Pairs that are sorted by length together, so that little is padded."""
MOMENTUM, SCALING, EPSILON = 0.9, 0.99, 1e-8
WARM = 10
"""Steps over which the rate rises at the start."""
AVERAGING = 3
"""How much more later weights count in the mean: those of step t as t to this power (Shamir and Zhang, 2013)."""
DECAYING = ("projection", "layer", "output")
SHARPNESS = 3.0
"""Logarithm of what the products of unit vectors are multiplied by at the start."""
RIDGE = 10.0
"""How strongly the weights of the evidence are drawn to those of the rule."""
PULL_MIN = 0.01
LOGIT_MAX = 30.0
NEWTON_STEPS = 30
PRINCIPAL_TOKENS = 50_000
"""Tokens by which the principal directions are found."""
SEED = 11


Wide = npt.NDArray[np.float64]


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
    """The rule's evidence, each of mean 0 and spread 1, (n, 4)."""
    rule: Wide
    """What the rule's score is made of in the evidence, (4)."""
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

    def by_length(self, rows: Numbers) -> Numbers:
        """Places of these rows in the order of their longer texts."""
        return np.argsort(self.counts[self.texts[rows]].max(axis=1), kind="stable")


class Recipe(NamedTuple):
    """How to fit: the size of a head, and how freely its weights may move."""

    width: int = 64
    hidden: int = 48
    decay: float = 1.0
    """Of the distance to the start, for each step of the rate."""
    dropped: float = 0.3
    """The share of directions that a pair does without."""
    rate: float = 2e-3


RECIPE = Recipe()


def fit(pairs: Pairs, rows: Numbers, steps: Iterable[int], recipe: Recipe = RECIPE) -> Iterator[Net]:
    """Fit a head to the pairs of these rows, and yield it as it is after so many steps: the same for the same pairs.

    A step is one of a batch; `steps` rise. Each net is a mean of the weights so far, the later ones the heavier.
    """
    random = np.random.default_rng(SEED)
    adam = _Adam(_start(pairs, rows, recipe, random), recipe)
    mean, parts = adam.net, _batches(pairs, rows, random)
    for wanted in steps:
        for part in islice(parts, wanted - adam.done):
            kept = _kept(len(part), mean.projection.shape[1], recipe.dropped, random)
            net = adam.step(gradient(adam.net, pairs.batch(part), pairs.same[part], kept)[1])
            mean = _blend(mean, net, (adam.done - 1) / (adam.done + AVERAGING))
        yield mean


def predict(net: Net, pairs: Pairs, rows: Numbers) -> Array:
    """Logits (n) that the pairs of these rows ask the same."""
    found = np.zeros(len(rows), dtype=np.float32)
    order = pairs.by_length(rows)
    for at in range(0, len(rows), PREDICTED):
        part = order[at : at + PREDICTED]
        found[part] = outcome(net, pairs.batch(rows[part]))
    return found


class _Adam:
    """Adam with decay apart from the gradient (Loshchilov and Hutter, 2019), towards the weights of the start."""

    def __init__(self, first: Net, recipe: Recipe) -> None:
        self.net = self._first = first
        self.done = 0
        self._speed = self._size = Net(*(np.zeros_like(each) for each in first))
        self._rate = recipe.rate
        self._decays = [recipe.decay if name in DECAYING else 0.0 for name in Net._fields]

    def step(self, slope: Net) -> Net:
        self.done += 1
        rates = [self._rate * min(1.0, self.done / WARM)] * len(slope)
        self._speed = _blend(self._speed, slope, MOMENTUM)
        self._size = _blend(self._size, Net(*(each * each for each in slope)), SCALING)
        self.net = Net(*map(self._moved, self.net, self._first, self._speed, self._size, self._decays, rates))
        return self.net

    def _moved(self, weight: Array, first: Array, speed: Array, size: Array, decay: float, rate: float) -> Array:
        direction = speed / (1 - MOMENTUM**self.done) / (np.sqrt(size / (1 - SCALING**self.done)) + EPSILON)
        return np.asarray(weight - rate * (direction + decay * (weight - first)), dtype=np.float32)


def _blend(old: Net, new: Net, part: float) -> Net:
    return Net(
        *(np.asarray(part * each + (1 - part) * other, np.float32) for each, other in zip(old, new, strict=True))
    )


def _start(pairs: Pairs, rows: Numbers, recipe: Recipe, random: np.random.Generator) -> Net:
    width = min(recipe.width, pairs.tokens.shape[1])
    evidence, bias = _evidence(pairs, rows)
    arrays = (
        _principal(pairs.tokens, width),
        SHARPNESS - np.log(width),
        random.normal(0, (2 / (4 * width)) ** 0.5, (4 * width, recipe.hidden)),
        np.zeros(recipe.hidden),
        np.zeros(2 * recipe.hidden),
        evidence,
        bias,
    )
    return Net(*(np.asarray(each, dtype=np.float32) for each in arrays))


def _principal(tokens: Array, width: int) -> Wide:
    """Principal directions (dim, width) of the tokens, so long that a projected number is about 1."""
    some = tokens[:: max(1, len(tokens) // PRINCIPAL_TOKENS)].astype(np.float64)
    directions = np.linalg.eigh(some.T @ some)[1][:, ::-1][:, :width]
    # Either sign of a direction is as good: the largest number is to be positive.
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(width)])
    return np.asarray(directions * signs * width**0.5)


def _evidence(pairs: Pairs, rows: Numbers) -> tuple[Wide, float]:
    """Weights of the evidence and a bias: those of the rule's score, moved as far as the pairs demand."""
    columns, same = pairs.evidence[rows].astype(np.float64), pairs.same[rows]
    slope, _ = _logistic((columns @ pairs.rule)[:, None], same, np.zeros(1), 0.0)
    return _logistic(columns, same, slope * pairs.rule, RIDGE)


def _logistic(columns: Wide, same: Mask, centre: Wide, ridge: float) -> tuple[Wide, float]:
    """Weights (m) and bias of a logistic regression on columns (n, m), by Newton's method, drawn towards a centre."""
    wide = np.concatenate([columns, np.ones((len(columns), 1))], axis=1)
    pull = np.append(np.full(columns.shape[1], ridge), 0.0) + PULL_MIN
    middle = np.append(centre, 0.0)
    weights = np.zeros(wide.shape[1])
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(wide @ weights, -LOGIT_MAX, LOGIT_MAX)))
        curve = (wide * (chance * (1 - chance))[:, None]).T @ wide + np.diag(pull)
        weights -= np.linalg.solve(curve, wide.T @ (chance - same) + pull * (weights - middle))
    return weights[:-1], float(weights[-1])


def _batches(pairs: Pairs, rows: Numbers, random: np.random.Generator) -> Iterator[Numbers]:
    """All rows in batches of texts of about one length, in random order, again and again."""
    while True:
        order = random.permutation(rows)
        found: list[Numbers] = []
        for at in range(0, len(order), CHUNK):
            chunk = order[at : at + CHUNK]
            chunk = chunk[pairs.by_length(chunk)]
            found += [chunk[start : start + BATCH] for start in range(0, len(chunk), BATCH)]
        for number in random.permutation(len(found)):
            yield found[number]


def _kept(count: int, width: int, dropped: float, random: np.random.Generator) -> Array:
    """What directions of both texts of each pair are multiplied by, (2 * count, 1, width)."""
    kept = (random.random((count, 1, width)) >= dropped) / (1 - dropped)
    return np.concatenate([kept, kept]).astype(np.float32)
