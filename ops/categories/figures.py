"""Evaluation of a classifier artefact: shares with confidence intervals, and the confusion matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from refrain.ops.categories.examples import Example
from refrain.ops.data.intervals import CONFIDENCE, Share, share
from refrain.schemas.policy import UNCATEGORISED
from refrain.streams.models.category_classifier import CategoryClassifier
from refrain.streams.vectors import Ints

TITLES = {
    "accuracy": "likeliest category right, of in-scope",
    "abstained": "uncategorised, of all",
    "kept_right": "kept and right, of in-scope",
    "kept_wrong": "kept and wrong, of in-scope",
    "rejected": "uncategorised, of out-of-scope",
}
"""What each share of the figures is, for people."""


class ClassifierFigures(NamedTuple):
    """Figures that `categories test` prints."""

    accuracy: Share
    """In-scope questions whose likeliest category is right, above the floor or not."""
    abstained: Share
    """Questions of any kind that become uncategorised."""
    kept_right: Share
    """In-scope questions that are kept and in the right category."""
    kept_wrong: Share
    """In-scope questions that are kept in a wrong category."""
    rejected: Share
    """Out-of-scope questions that become uncategorised."""
    confusion: dict[str, dict[str, int]]
    """Counts by the true category, then by the one found."""

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        shares = {name: _to_json(value) for name, value in self._asdict().items() if isinstance(value, Share)}
        return {**shares, "confidence": CONFIDENCE, "confusion": self.confusion}


def figures(
    categories: CategoryClassifier, examples: Sequence[Example], vectors: Sequence[Ints | None]
) -> ClassifierFigures:
    """Evaluate the classifier on examples. A text without a vector is uncategorised."""
    confusion: dict[str, Counter[str]] = {}
    likeliest_right = 0
    for example, vector in zip(examples, vectors, strict=True):
        found = None if vector is None else categories.classify(vector)
        name = UNCATEGORISED if found is None or found.category is None else found.category
        confusion.setdefault(example.category or UNCATEGORISED, Counter())[name] += 1
        likeliest_right += found is not None and found.likeliest == example.category
    inside = {true: row for true, row in confusion.items() if true != UNCATEGORISED}
    total_in = sum(row.total() for row in inside.values())
    right = sum(row[true] for true, row in inside.items())
    abstained_in = sum(row[UNCATEGORISED] for row in inside.values())
    out = confusion.get(UNCATEGORISED, Counter())
    return ClassifierFigures(
        accuracy=share(likeliest_right, total_in),
        abstained=share(abstained_in + out[UNCATEGORISED], len(examples)),
        kept_right=share(right, total_in),
        kept_wrong=share(total_in - right - abstained_in, total_in),
        rejected=share(out[UNCATEGORISED], out.total()),
        confusion={true: dict(row) for true, row in sorted(confusion.items())},
    )


def share_text(found: Share) -> str:
    """Share as people read it."""
    if found.value is None:
        return "no examples"
    return f"{found.value:.1%} ({found.part} of {found.of}; {found.low:.1%} to {found.high:.1%})"


def matrix(figures: ClassifierFigures) -> tuple[list[str], list[list[object]]]:
    """Confusion matrix as columns and rows: a row a true category, a column a predicted one."""
    seen = {found for row in figures.confusion.values() for found in row} | set(figures.confusion)
    names = [*sorted(seen - {UNCATEGORISED}), UNCATEGORISED]
    rows: list[list[object]] = [
        [true, *(figures.confusion[true].get(found, 0) for found in names)]
        for true in names
        if true in figures.confusion
    ]
    return ["is \\ found", *names], rows


def _to_json(found: Share) -> dict[str, float | int | None]:
    """A share for JSON, unrounded. The value is None without any."""
    return {"value": found.value, "count": found.part, "total": found.of, "low": found.low, "high": found.high}
