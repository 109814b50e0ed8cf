"""Trains the head of the hit rule on judged pairs, and measures on held-out ones what it gains.

Folds of pairs are held out in turn. Each is scored by a head that learned from the others, in the integers of the
artefact, at one scale for all: so the figures are those of the arithmetic that decides later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, cast

import numpy as np

from refrain.ops.hits import folds
from refrain.ops.hits.alignment import Array, Mask, Net, Numbers
from refrain.ops.hits.fitting import RECIPE, fit, predict
from refrain.ops.hits.quantising import Scale, Standard, quantise
from refrain.ops.hits.training_pairs import JudgedPairs
from refrain.ops.quality.precision import Best, Labelled, best_recalls, chance_of_gain
from refrain.ops.quality.stages import FLOOR, Scores
from refrain.ops.terminal import output
from refrain.schemas.hit_heads import Gain, HeadTraining, HeldOutRecall, HitHead
from refrain.streams.errors import BadInput
from refrain.streams.guards import MICROS
from refrain.streams.models.hit_head import PairHead
from refrain.streams.models.hit_head_artifact import HEAD_FILES

PAIRS_MIN, EACH_MIN = 100, 20
"""Pairs that are needed, and of either label: fewer tell nothing of what a head gains."""
PRECISIONS = (0.90, 0.95)
AIM = PRECISIONS[0]
SURE = 0.8
"""A head gains when its recall at PRECISIONS is higher in so large a share of the draws of the bootstrap."""
SLOPE = 40_000
"""Millionths of score for each unit of a logit."""
LEVEL = 700_000
"""The score at which held-out pairs reach AIM: low enough to keep what the same question scores in other words, and
high enough that the cap takes the most similar pair below it."""
CAP = 300_000
LOGIT_AT_AIM = 2.2
"""The logit of AIM, where no held-out pairs reach it."""
LOOKS = (25, 50, 100, 150, 225, 340, 500, 750, 1_100)
"""After how many steps held-out pairs are looked at."""
BETTER = 0.001
"""What the loss of a held-out pair must fall by to be worth more steps."""
WORSE_MAX = 2
"""Looks in a row at which held-out pairs are told no better: then it ends."""
STAGES = len(LOOKS) + 1
"""Stages of training, at most: those looks, and the fit to all pairs."""
_NOTHING = HeldOutRecall(recall=0, low=0, high=1, threshold=None)
UNMEASURED = HeadTraining(
    pairs=0,
    positives=0,
    pairs_sha256="",
    regularisation=RECIPE.decay,
    held_out=(Gain(precision=AIM, rule=_NOTHING, head=_NOTHING),),
)
"""The record of heads that only score what was held out."""

Progress = Callable[[int, int], None]


class Trained(NamedTuple):
    """A head, and how sure it is that it gains recall: the share of draws of the bootstrap in which it does."""

    head: HitHead
    chance: float

    @property
    def gains(self) -> bool:
        """Whether it is worth using."""
        return self.chance >= SURE


class _Fitted(NamedTuple):
    """A net, what its evidence was standardised by, and the largest number of a projected token."""

    net: Net
    standard: Standard
    largest: float


class _HeldOut(NamedTuple):
    """The pairs of a fold, what was fitted to the rest, and the logits that it gives them."""

    rows: Numbers
    fitted: _Fitted
    logits: Array


class _Chosen(NamedTuple):
    """How many steps are best for held-out pairs, and what is held out after so many."""

    steps: int
    held: list[_HeldOut]


def train_head(pairs: JudgedPairs, embedder: str, progress: Progress) -> Trained:
    """Train a head on judged pairs: the same one for the same pairs on the same machine.

    `progress` hears of the stages done and of all, at most. Raises BadInput for too few pairs.
    """
    check_enough(pairs)
    with _one_thread():
        chosen = _choose(pairs, progress)
        scale = _scale(chosen.held, pairs.same)
        taken = _taken(chosen.held, pairs, scale, embedder)
        fitted = next(_fits(pairs, np.flatnonzero(pairs.decided), [chosen.steps]))
    progress(STAGES, STAGES)
    rule, headed = (Labelled(each, pairs.same, each >= FLOOR) for each in (pairs.scores, pairs.scores - taken))
    made = _record(pairs, chosen.steps, rule, headed)
    return Trained(_head(fitted, scale, embedder, made), chance_of_gain(rule, headed, PRECISIONS))


def check_enough(pairs: JudgedPairs) -> None:
    """Raises BadInput for too few pairs that a head has a say in."""
    mine = pairs.same[pairs.decided]
    same = int(np.count_nonzero(mine))
    if len(mine) < PAIRS_MIN or min(same, len(mine) - same) < EACH_MIN:
        raise BadInput(
            f"{output.counted(len(mine), 'judged pair')} that the rule may serve, {same} the same and"
            f" {len(mine) - same} not: {PAIRS_MIN} at least are needed, and {EACH_MIN} of either;"
            " refrain hits label judges more"
        )


def _one_thread() -> AbstractContextManager[object]:
    """One thread for linear algebra, with which sums have one order."""
    from threadpoolctl import threadpool_limits

    return cast(AbstractContextManager[object], threadpool_limits(1))


def _choose(pairs: JudgedPairs, progress: Progress) -> _Chosen:
    """Fit until the loss of held-out pairs has risen, all folds at once, and go back to where it was least."""
    best, least, worse = None, np.inf, 0
    for look, held in enumerate(zip(*_folds(pairs), strict=True)):
        progress(look + 1, STAGES)
        loss = _loss(held, pairs.same)
        worse = 0 if loss < least - BETTER else worse + 1
        if worse == 0:
            best, least = _Chosen(LOOKS[look], list(held)), loss
        if worse == WORSE_MAX:
            break
    if best is None:
        raise BadInput("every pair shares a text with the others: judge pairs of other texts too")
    return best


def _folds(pairs: JudgedPairs) -> list[Iterator[_HeldOut]]:
    """For each fold what is held out after each of LOOKS; none for a fold without which nothing is left to learn."""
    of_text = folds.folds_of_texts(pairs.texts, pairs.same, len(pairs.counts))
    found = []
    for fold in range(folds.FOLDS):
        rows = np.flatnonzero(pairs.decided & folds.learned_from(pairs.texts, of_text, fold))
        out = np.flatnonzero(pairs.decided & folds.held_out(pairs.texts, of_text, fold))
        if len(out) and pairs.same[rows].any() and not pairs.same[rows].all():
            found.append(_held_out(pairs, rows, out))
    return found


def _held_out(pairs: JudgedPairs, rows: Numbers, out: Numbers) -> Iterator[_HeldOut]:
    for fitted in _fits(pairs, rows, LOOKS):
        yield _HeldOut(out, fitted, predict(fitted.net, pairs.learnable(fitted.standard), out))


def _fits(pairs: JudgedPairs, rows: Numbers, steps: Iterable[int]) -> Iterator[_Fitted]:
    standard = pairs.standard(rows)
    for net in fit(pairs.learnable(standard), rows, steps):
        yield _Fitted(net, standard, float(np.abs(pairs.tokens @ net.projection).max()))


def _loss(held: Sequence[_HeldOut], same: Mask) -> float:
    """The mean cross entropy of all that is held out."""
    logits = np.concatenate([each.logits for each in held])
    right = same[np.concatenate([each.rows for each in held])]
    return float(np.logaddexp(0, np.where(right, -logits, logits)).mean())


def _scale(held: Sequence[_HeldOut], same: Mask) -> Scale:
    """What a logit is worth: LEVEL at the lowest one down to which held-out pairs reach AIM."""
    logits = np.concatenate([each.logits for each in held])
    order = np.argsort(-logits, kind="stable")
    right = same[np.concatenate([each.rows for each in held])][order]
    reached = np.flatnonzero(np.cumsum(right) >= AIM * np.arange(1, len(order) + 1))
    at_aim = float(logits[order[reached[-1]]]) if len(reached) else LOGIT_AT_AIM
    return Scale(SLOPE, LEVEL - SLOPE * at_aim)


def _taken(held: Sequence[_HeldOut], pairs: JudgedPairs, scale: Scale, embedder: str) -> Scores:
    """What heads take off the similarity of pairs (n) that they did not learn from; 0 of those not held out."""
    taken = np.zeros(len(pairs.same))
    for each in held:
        head = PairHead(_head(each.fitted, scale, embedder, UNMEASURED))
        sides = {text: head.text_side(pairs.tokens_of(text)) for text in np.unique(pairs.texts[each.rows]).tolist()}
        for row in each.rows.tolist():
            asked, kept = pairs.texts[row].tolist()
            taken[row] = head.weight(sides[asked], sides[kept], *pairs.evidence[row].tolist()) / MICROS
    return taken


def _head(fitted: _Fitted, scale: Scale, embedder: str, made: HeadTraining) -> HitHead:
    content = quantise(fitted.net, fitted.largest, fitted.standard, scale)
    return HEAD_FILES.seal({"embedder": embedder, "cap": CAP, "made": made, **content})


def _record(pairs: JudgedPairs, steps: int, rule: Labelled, headed: Labelled) -> HeadTraining:
    both = (best_recalls(each, PRECISIONS) for each in (rule, headed))
    return HeadTraining(
        pairs=len(pairs.same),
        positives=int(np.count_nonzero(pairs.same)),
        pairs_sha256=pairs.sha256,
        regularisation=RECIPE.decay,
        steps=steps,
        held_out=tuple(
            Gain(precision=one.precision, rule=_recall(one, pairs.same), head=_recall(other, pairs.same))
            for one, other in zip(*both, strict=True)
        ),
    )


def _recall(best: Best, same: Mask) -> HeldOutRecall:
    recall = best.true_hits / max(int(np.count_nonzero(same)), 1)
    return HeldOutRecall(recall=recall, low=best.low, high=best.high, threshold=best.threshold)
