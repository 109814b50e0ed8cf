"""Stages of a hit: the score of pairs by cosine alone, then by the guards' evidence, then less what a head takes off,
then where the verifier agrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import typer

from refrain.ops.data.vectors import NEVER, Compared
from refrain.ops.terminal.choices import suggestion
from refrain.schemas.policy import Guard, Strictness
from refrain.streams.models.verifier import Verifier

if TYPE_CHECKING:
    from refrain.ops.quality.heads import HeadWeights
    from refrain.streams.guards import Evidence, GuardTerms

FLOOR = 0.5
"""The lowest threshold that a policy may set: below it nothing is ever served, and nothing is looked at."""
VERIFY_BATCH = 64
COSINE, GUARDED, HEADED, VERIFIED = "cosine", "guards", "head", "guards_and_verifier"
NAMES = {
    COSINE: "cosine alone",
    GUARDED: "with guards",
    HEADED: "with the head",
    VERIFIED: "with guards and verifier",
}

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]
Unverified = Literal["miss", "hit", "frame"]


class ThresholdVerifier(NamedTuple):
    """A verifier, and the least score with which a pair is served."""

    verifier: Verifier
    score_min: float


class Stages(NamedTuple):
    """Result of the stages: of each pair (n) the score with which each stage would serve it, NEVER where it would at no
    threshold; and which guard weighed most against how many."""

    scores: dict[str, Scores]
    refused: dict[str, dict[str, int]]


def guards_of(text: str) -> tuple[Guard, ...]:
    """The guards named on the command line: `all`, `none`, or names with commas. Raises typer.BadParameter."""
    if text in ("all", "none"):
        return tuple(Guard) if text == "all" else ()
    named = [part.strip() for part in text.split(",") if part.strip()]
    strange = [name for name in named if name not in tuple(Guard)]
    if strange or not named:
        wrong = strange[0] if strange else text
        raise typer.BadParameter(f"no guard is called {wrong!r}: {suggestion(wrong, [*Guard, 'all', 'none'])}")
    return tuple(guard for guard in Guard if guard in named)


def terms_of(guards: str, strictness: Strictness, veto: str, unverified: Unverified) -> GuardTerms:
    """Terms of the guards that the command line names. Raises typer.BadParameter."""
    from refrain.streams.guards import GuardTerms

    return GuardTerms(guards_of(guards), strictness, guards_of(veto), unverified)


def stages(
    compared: Compared,
    terms: GuardTerms,
    verifier: ThresholdVerifier | None,
    progress: Callable[[int, int], None],
    head: HeadWeights | None = None,
) -> Stages:
    """Run the stages over pairs. Only what the stage before lets through is asked."""
    near: Mask = compared.similarities >= FLOOR
    scores = {COSINE: np.where(near, compared.similarities, NEVER)}
    refused: dict[str, Counter[str]] = {"same": Counter(), "different": Counter()}
    if terms.guards:
        scores[GUARDED] = _guarded(compared, near, terms, refused)
    if head is not None:
        scores[HEADED] = _headed(compared, _last(scores), terms, head)
    if verifier is not None:
        scores[VERIFIED] = _verified(compared, _last(scores), verifier, progress)
    return Stages(scores, {kind: dict(counts.most_common()) for kind, counts in refused.items()})


class Weighed(NamedTuple):
    """Weighed pair: the score (a similarity) that is left, and the guard that weighs most against it."""

    score: float
    against: str | None


def weigh(terms: GuardTerms, question: str, cached: str, similarity: float) -> Weighed:
    """Weigh the answer to `cached` for `question`, as a shard does; the score is NEVER under a veto."""
    from refrain.streams.guards import MICROS

    found = evidence(terms, question, cached)
    if found.refused is not None:
        silent = found.verdicts[-1].verdict == "not_applicable"
        return Weighed(NEVER, f"{found.refused} (not applicable)" if silent else str(found.refused))
    heaviest = found.heaviest
    return Weighed(found.score(similarity) / MICROS, str(heaviest.guard) if heaviest.weight else None)


def evidence(terms: GuardTerms, question: str, cached: str) -> Evidence:
    """The guards' evidence of two texts."""
    from refrain.streams.guards import read
    from refrain.streams.guards import weigh as evidence_of

    return evidence_of(terms, read(question), read(cached))


def behaviour() -> str:
    """Behaviour of the guards: the digest of their code and word lists."""
    from refrain.streams.guards import DIGEST

    return str(DIGEST)


def describe_verifier(verifier: ThresholdVerifier | None) -> dict[str, Any] | None:
    """The verifier for a report."""
    return None if verifier is None else {"identity": verifier.verifier.identity, "score_min": verifier.score_min}


def _guarded(compared: Compared, near: Mask, terms: GuardTerms, refused: dict[str, Counter[str]]) -> Scores:
    scores: Scores = np.full(len(near), NEVER)
    for number in np.flatnonzero(near):
        pair = compared.pairs[number]
        scores[number], against = weigh(terms, pair.text_a, pair.text_b, float(compared.similarities[number]))
        if against is not None:
            refused["same" if pair.label else "different"][against] += 1
    return scores


def _headed(compared: Compared, before: Scores, terms: GuardTerms, head: HeadWeights) -> Scores:
    from refrain.streams.guards import MICROS

    scores: Scores = np.full(len(before), NEVER)
    for number in np.flatnonzero(before >= FLOOR):
        pair, similarity = compared.pairs[number], float(compared.similarities[number])
        found = evidence(terms, pair.text_a, pair.text_b)
        taken = head.weight(pair.text_a, pair.text_b, similarity, found)
        scores[number] = (found.score(similarity) - taken) / MICROS
    return scores


def _last(scores: dict[str, Scores]) -> Scores:
    return list(scores.values())[-1]


def _verified(
    compared: Compared, before: Scores, verifier: ThresholdVerifier, progress: Callable[[int, int], None]
) -> Scores:
    served: Scores = np.full(len(before), NEVER)
    asked = np.flatnonzero(before >= FLOOR)
    for start in range(0, len(asked), VERIFY_BATCH):
        batch = asked[start : start + VERIFY_BATCH]
        texts = [(compared.pairs[n].text_a, compared.pairs[n].text_b) for n in batch]
        for number, score in zip(batch, verifier.verifier.scores(texts), strict=True):
            if score is not None and score >= verifier.score_min:
                served[number] = before[number]
        progress(start + len(batch), len(asked))
    return served
