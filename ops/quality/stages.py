"""Stages of a hit: which pairs pass cosine alone, then the guards, then the verifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.ops.data.vectors import Compared
from refrain.schemas.policy import Guard
from refrain.streams.errors import BadInput
from refrain.streams.models.verifier import Verifier

FLOOR = 0.5
"""The lowest threshold that a policy may set: below it nothing is ever served, and nothing is looked at."""
VERIFY_BATCH = 64
COSINE, GUARDED, VERIFIED = "cosine", "guards", "guards_and_verifier"
NAMES = {COSINE: "cosine alone", GUARDED: "with guards", VERIFIED: "with guards and verifier"}

Mask = npt.NDArray[np.bool_]
Unverified = Literal["miss", "hit"]


class ThresholdVerifier(NamedTuple):
    """A verifier, and the least score with which a pair is served."""

    verifier: Verifier
    score_min: float


class Stages(NamedTuple):
    """Result of the stages: which pairs (n) each lets through at any threshold; and which guard refused how many."""

    passing: dict[str, Mask]
    refused: dict[str, dict[str, int]]


def guards_of(text: str) -> tuple[Guard, ...]:
    """The guards named on the command line: `all`, `none`, or names with commas. Raises BadInput."""
    if text in ("all", "none"):
        return tuple(Guard) if text == "all" else ()
    named = [part.strip() for part in text.split(",") if part.strip()]
    strange = [name for name in named if name not in tuple(Guard)]
    if strange or not named:
        raise BadInput(
            f"no guard is called {', '.join(strange) or repr(text)}: name some of {', '.join(Guard)}, all, none"
        )
    return tuple(guard for guard in Guard if guard in named)


def stages(
    compared: Compared,
    guards: Sequence[Guard],
    unverified: Unverified,
    verifier: ThresholdVerifier | None,
    progress: Callable[[int, int], None],
) -> Stages:
    """Run the stages over pairs. Only what the stage before lets through is asked."""
    near: Mask = compared.similarities >= FLOOR
    passing = {COSINE: near}
    refused: dict[str, Counter[str]] = {"same": Counter(), "different": Counter()}
    if guards:
        passing[GUARDED] = _guarded(compared, near, guards, unverified, refused)
    if verifier is not None:
        before = passing.get(GUARDED, near)
        passing[VERIFIED] = _verified(compared, before, verifier, progress)
    return Stages(passing, {kind: dict(counts.most_common()) for kind, counts in refused.items()})


def lets_through(guards: Sequence[Guard], unverified: Unverified, question: str, cached: str) -> str | None:
    """None when the guards let the answer to `cached` serve `question`; else the guard that does not, with its verdict
    where that is not a refusal.
    """
    from refrain.streams.guards import check, read

    silent = None
    for verdict in check(guards, read(question), read(cached)):
        if verdict.verdict == "refused":
            return str(verdict.guard)
        if verdict.verdict == "not_applicable" and unverified == "miss" and silent is None:
            silent = f"{verdict.guard} (not applicable)"
    return silent


def behaviour() -> str:
    """Behaviour of the guards: the digest of their code and word lists."""
    from refrain.streams.guards import DIGEST

    return str(DIGEST)


def describe_verifier(verifier: ThresholdVerifier | None) -> dict[str, Any] | None:
    """The verifier for a report."""
    return None if verifier is None else {"identity": verifier.verifier.identity, "score_min": verifier.score_min}


def _guarded(
    compared: Compared,
    near: Mask,
    guards: Sequence[Guard],
    unverified: Unverified,
    refused: dict[str, Counter[str]],
) -> Mask:
    passed: Mask = near.copy()
    for number in np.flatnonzero(near):
        pair = compared.pairs[number]
        by = lets_through(guards, unverified, pair.text_a, pair.text_b)
        if by is not None:
            passed[number] = False
            refused["same" if pair.label else "different"][by] += 1
    return passed


def _verified(
    compared: Compared, before: Mask, verifier: ThresholdVerifier, progress: Callable[[int, int], None]
) -> Mask:
    served: Mask = np.zeros(len(before), dtype=np.bool_)
    asked = np.flatnonzero(before)
    for start in range(0, len(asked), VERIFY_BATCH):
        batch = asked[start : start + VERIFY_BATCH]
        texts = [(compared.pairs[n].text_a, compared.pairs[n].text_b) for n in batch]
        for number, score in zip(batch, verifier.verifier.scores(texts), strict=True):
            served[number] = score is not None and score >= verifier.score_min
        progress(start + len(batch), len(asked))
    return served
