"""Labelled pairs as samples for calibration: by category, and only those that its guards let through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from refrain.ops.data.lines import BadLine, Pair
from refrain.ops.data.vectors import Compared
from refrain.ops.quality.calibration import Sample
from refrain.ops.quality.heads import HeadWeights
from refrain.ops.quality.stages import FLOOR, ThresholdVerifier, stages
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.guards import GuardTerms

DEFAULT = "default"
FIELD = "category"


class SampleTerms(NamedTuple):
    """Terms of a category for calibration: guards, verifier and error budget."""

    guards: GuardTerms
    budget: float


class Samples(NamedTuple):
    """A category's samples, and of how many pairs: those that ask the same, and those that do not."""

    samples: list[Sample]
    same: int
    different: int


class Judging(NamedTuple):
    """Judging of pairs: a policy's terms where it has the category, else the given ones; a verifier, and a head."""

    policy: Policy | None
    given: SampleTerms
    verifier: ThresholdVerifier | None
    head: HeadWeights | None = None


def terms_of(policy: Policy | None, category: str, given: SampleTerms) -> SampleTerms:
    """A policy's terms of a category, else the given ones."""
    found = None if policy is None else policy.of(category)
    return given if found is None else SampleTerms(GuardTerms.of(found), found.error_budget)


def by_category(pairs: Sequence[Pair], only: str | None, bad: list[BadLine]) -> dict[str, list[Pair]]:
    """The pairs by their field `category`; those without one belong to `only`, else to `default`."""
    found: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        named = pair.row.get(FIELD)
        category = (only or DEFAULT) if named is None else named
        if not isinstance(category, str) or not category:
            bad.append(BadLine(pair.line, f"{FIELD}: not a name"))
        elif only is None or category == only:
            found[category].append(pair)
    return dict(sorted(found.items()))


def samples(compared: Compared, category: str, judging: Judging, progress: Callable[[int, int], None]) -> Samples:
    """Samples of a category: its pairs that guards and verifier let through, by their last score."""
    terms = terms_of(judging.policy, category, judging.given)
    staged = stages(compared, terms.guards, judging.verifier, progress, judging.head)
    last = list(staged.scores.values())[-1]
    kept = [Sample(float(last[n]), compared.pairs[n].label) for n in np.flatnonzero(last >= FLOOR)]
    same = sum(pair.label for pair in compared.pairs)
    return Samples(kept, same, len(compared.pairs) - same)


def part(compared: Compared, pairs: Sequence[Pair]) -> Compared:
    """Subset of the compared pairs."""
    lines = {pair.line for pair in pairs}
    mine = [number for number, pair in enumerate(compared.pairs) if pair.line in lines]
    return Compared([compared.pairs[n] for n in mine], compared.similarities[mine], 0)


def stands_against(threshold: float, category: CategoryPolicy | None) -> str | None:
    """Conflicts: what else of a category's policy must change with its threshold."""
    if category is None:
        return None
    if category.threshold_floor is not None and category.threshold_floor > threshold:
        return f"its threshold_floor is {category.threshold_floor}: lower that too, or remove it"
    if category.threshold_ceiling is not None and category.threshold_ceiling < threshold:
        return f"its threshold_ceiling is {category.threshold_ceiling}: raise that too"
    return None


def yaml_lines(thresholds: Mapping[str, float]) -> str:
    """Lines for the policy file (YAML)."""
    parts = [f"  {name}:\n    threshold: {threshold:g}\n" for name, threshold in thresholds.items()]
    return "categories:\n" + "".join(parts) if parts else ""
