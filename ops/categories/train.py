"""Trains the category classifier: fits models, and finds the score floor on held-out examples.

All that is chosen (regularisation, how the signals are blended, the floor) is chosen on held-out folds of the examples
given; scikit-learn works here alone, and never where questions are classified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.ops.categories.examples import Example
from refrain.ops.categories.floor import Floor, area, floor_for
from refrain.ops.terminal import output
from refrain.streams.errors import BadInput
from refrain.streams.models.category_artifact import CATEGORY_FILES, Artefact, Blend, TrainingRecord, linear_map
from refrain.streams.vectors import Ints, encode, quantise

FOLDS = 5
EXAMPLES_MIN = FOLDS
"""Examples that each label needs, and what is outside where any is: one a fold."""
REGULARISATIONS = (3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0)
"""C, from strong to weak; they are tried in this order until one does worse."""
OUTSIDE_REGULARISATION = 1.0
LANDMARKS_MAX = 1_024
"""More examples than this are stood for by the centres of groups of them, shared out among the labels."""
SEED = 0
OUTSIDE = -1
"""The label of what belongs to no category."""
SHOWN = 5

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]
Say = Callable[[str], None]


class Material(NamedTuple):
    """Training data as arrays. `label` is OUTSIDE for out-of-scope examples."""

    vectors: Array
    """Unit vectors (n, dim)."""
    label: Numbers
    category_of: Numbers
    """The category of each label."""
    categories: tuple[str, ...]

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        flags: npt.NDArray[np.bool_] = self.label != OUTSIDE
        return flags

    @property
    def category(self) -> Numbers:
        return np.where(self.inside, self.category_of[self.label], OUTSIDE)


class Fitted(NamedTuple):
    """Logistic regressions and landmarks, for unit vectors."""

    weights: Array
    biases: Array
    landmarks: Array
    line: tuple[Array, float] | None


class HeldOut(NamedTuple):
    """Held-out predictions: what models that had not seen an example say of it; each (n,)."""

    category: Numbers
    energy: Array
    nearest: Array
    outside: Array
    fold: Numbers
    """The fold that the example was held out with."""


def material(vectors: Sequence[Ints], examples: Sequence[Example]) -> Material:
    """Training data of examples and their vectors of record. Raises BadInput when there are too few to fold."""
    names = tuple(sorted({example.category for example in examples if example.category is not None}))
    _check_enough(names, Counter((example.category, example.label) for example in examples))
    finer = sorted({(example.category or "", example.label or "") for example in examples if example.category})
    number = {pair: at for at, pair in enumerate(finer)}
    label = [number[example.category, example.label or ""] if example.category else OUTSIDE for example in examples]
    wide = np.array(vectors, dtype=np.float64)
    unit = wide / np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return Material(unit, np.array(label), np.array([names.index(category) for category, _ in finer]), names)


def build_artefact(found: Material, embedder: str, examples_sha256: str, keep: float, say: Say) -> Artefact:
    """Build the artefact of the examples: the same one for the same examples on the same machine.

    `keep` is the least share of in-scope questions to keep in their category; `say` is told how it goes.
    """
    from threadpoolctl import threadpool_limits

    # With one thread sums have one order.
    with threadpool_limits(1):
        held, floor, blend, c = _select_model(found, keep, say)
        fitted = fit(found, c)
    return _artefact(found, fitted, blend, floor, held, (embedder, examples_sha256, c, keep))


def fit(found: Material, c: float) -> Fitted:
    """Fit all models on all examples."""
    weights, biases = _labels(found, c)
    return Fitted(weights, biases, _landmarks(found), _line(found))


def _select_model(found: Material, keep: float, say: Say) -> tuple[HeldOut, Floor, Blend, float]:
    """The regularisation with which most is kept and right where most is rejected, with its blend and floor."""
    best: tuple[float, HeldOut, Floor, Blend, float] | None = None
    rest = _held_out_signals(found)
    for c in REGULARISATIONS:
        held = _held_out(found, c, rest)
        blend = _blend(found, held)
        scores, right = _scores(held, blend), held.category == found.category
        merit = area(scores, right, found.inside)
        say(f"C {c:g}: accuracy {right[found.inside].mean():.4f}, area {merit:.5f} on held-out folds")
        if best is not None and merit <= best[0]:
            break
        best = merit, held, floor_for(scores, right, found.inside, held.fold, keep), blend, c
    assert best is not None
    return best[1:]


def _held_out_signals(found: Material) -> tuple[Array, Array, Numbers]:
    """The signals that no regularisation changes, of each example by models of the other folds, and its fold."""
    nearest, outside = np.zeros(len(found.label)), np.zeros(len(found.label))
    fold = np.zeros(len(found.label), dtype=np.intp)
    for number, (part, out) in enumerate(_folds(found)):
        fold[out] = number
        nearest[out] = (found.vectors[out] @ _landmarks(part).T).max(axis=1)
        line = _line(part)
        if line is not None:
            outside[out] = found.vectors[out] @ line[0] + line[1]
    return nearest, outside, fold


def _held_out(found: Material, c: float, rest: tuple[Array, Array, Numbers]) -> HeldOut:
    category, energy = np.zeros(len(found.label), dtype=np.intp), np.zeros(len(found.label))
    for part, out in _folds(found):
        weights, biases = _labels(part, c)
        category[out], energy[out] = likeliest(found.vectors[out] @ weights.T + biases, found.category_of)
    return HeldOut(category, energy, *rest)


def likeliest(logits: Array, category_of: Numbers) -> tuple[Numbers, Array]:
    """The category (n,) with the largest sum of probabilities, and the energy (n,), of logits (n, labels)."""
    most = logits.max(axis=1, keepdims=True)
    shares = np.exp(logits - most)
    sums = np.stack([shares[:, category_of == at].sum(axis=1) for at in range(category_of.max() + 1)], axis=1)
    return sums.argmax(axis=1), np.log(shares.sum(axis=1)) + most[:, 0]


def _folds(found: Material) -> Iterator[tuple[Material, Numbers]]:
    """The rest of the examples and the places of those held out, fold by fold.

    A fold is a block of neighbours of each label: lines written one after the other by one hand are alike, and
    shuffled apart they would make the held-out ones look easier than what is asked later.
    """
    from sklearn.model_selection import StratifiedKFold

    for kept, out in StratifiedKFold(FOLDS).split(found.vectors, found.label):
        yield found._replace(vectors=found.vectors[kept], label=found.label[kept]), out


def _labels(found: Material, c: float) -> tuple[Array, Array]:
    """Weights (labels, dim) and biases of a logistic regression over the labels."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=1_000).fit(found.vectors[found.inside], found.label[found.inside])
    weights, biases = model.coef_, model.intercept_
    if len(weights) == 1:  # two labels: scikit-learn gives the difference of their logits
        weights, biases = np.vstack([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    return weights, biases


def _line(found: Material) -> tuple[Array, float] | None:
    """The line between what is in scope and what is outside, None without examples outside."""
    from sklearn.linear_model import LogisticRegression

    if found.inside.all():
        return None
    model = LogisticRegression(C=OUTSIDE_REGULARISATION, class_weight="balanced", max_iter=1_000)
    model.fit(found.vectors, found.inside)
    return model.coef_[0], float(model.intercept_[0])


def _landmarks(found: Material) -> Array:
    """Unit vectors (m, dim): the examples in scope where these are few, else the centres of groups of each label."""
    inside: Array = found.vectors[found.inside]
    if len(inside) <= LANDMARKS_MAX:
        return inside
    share = max(1, LANDMARKS_MAX // len(found.category_of))
    centres = np.vstack([_centres(found.vectors[found.label == at], share) for at in range(len(found.category_of))])
    lengths = np.sqrt((centres * centres).sum(axis=1, keepdims=True))
    unit: Array = centres[lengths[:, 0] > 0] / lengths[lengths > 0][:, None]
    return unit


def _centres(vectors: Array, count: int) -> Array:
    from sklearn.cluster import KMeans

    distinct = np.unique(vectors, axis=0)
    if len(distinct) <= count:
        return distinct
    centres: Array = KMeans(count, n_init=1, random_state=SEED).fit(distinct).cluster_centers_
    return centres


def _blend(found: Material, held: HeldOut) -> Blend:
    """Weights of the signals: by logistic regression where examples outside are given, else evenly."""
    columns = np.stack([held.energy, held.nearest, held.outside], axis=1)
    mean, spread = columns[found.inside].mean(axis=0), columns[found.inside].std(axis=0)
    spread = np.where(spread == 0, 1.0, spread)
    weights, bias = np.array([1.0, 1.0, 0.0]), 0.0
    if not found.inside.all():
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(class_weight="balanced", max_iter=1_000)
        model.fit((columns - mean) / spread, found.inside)
        weights, bias = model.coef_[0], float(model.intercept_[0])
    plain = weights / spread
    energy, nearest, outside = plain.tolist()
    return Blend(energy=energy, nearest=nearest, outside=outside, bias=bias - float(plain @ mean))


def _scores(held: HeldOut, blend: Blend) -> Array:
    scores: Array = (
        blend.energy * held.energy + blend.nearest * held.nearest + blend.outside * held.outside + blend.bias
    )
    return scores


def _artefact(
    found: Material, fitted: Fitted, blend: Blend, floor: Floor, held: HeldOut, told: tuple[str, str, float, float]
) -> Artefact:
    embedder, examples_sha256, c, keep = told
    right = (held.category == found.category)[found.inside]
    counts = Counter(found.category[found.inside].tolist())
    content: dict[str, Any] = {
        "embedder": embedder,
        "dim": found.vectors.shape[1],
        "categories": found.categories,
        "labels": linear_map(fitted.weights, fitted.biases),
        "category_of": tuple(found.category_of.tolist()),
        "landmarks": encode(np.array([quantise(row) for row in fitted.landmarks])),
        "outside": None if fitted.line is None else linear_map(fitted.line[0][None, :], np.array([fitted.line[1]])),
        "blend": blend,
        "floor": floor.score,
        "made": TrainingRecord(
            examples_sha256=examples_sha256,
            examples={name: counts[at] for at, name in enumerate(found.categories)},
            outside=int((~found.inside).sum()),
            regularisation=c,
            keep=keep,
            held_out_accuracy=float(right.mean()),
            held_out_kept=floor.kept,
            held_out_rejected=floor.rejected,
        ),
    }
    return CATEGORY_FILES.seal(content)


def _check_enough(names: Sequence[str], counts: Counter[tuple[str | None, str | None]]) -> None:
    if len(names) < 2:
        raise BadInput(f"examples of {output.counted(len(names), 'category', 'categories')}: two at least are needed")
    few = [
        f"{label if category else 'what is out of scope'} has {count}"
        for (category, label), count in sorted(counts.items(), key=str)
        if count < EXAMPLES_MIN
    ]
    if few:
        raise BadInput(
            f"{'; '.join(few[:SHOWN])}: {EXAMPLES_MIN} examples at least are needed of each, add some or leave it out"
        )
