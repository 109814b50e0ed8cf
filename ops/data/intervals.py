"""Confidence intervals of shares, exact for counts: no normal approximation, right at 0 and at all.

The interval is Clopper and Pearson's ("The use of confidence or fiducial limits illustrated in the case of the
binomial", Biometrika 26, 1934): its coverage is never below the confidence, whatever the true share.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from refrain.streams.errors import WrongSetup, install_hint

CONFIDENCE = 0.95
PLACES = 6


class Share(NamedTuple):
    """`part` of `of`, and the bounds of its interval; without any there is no value, and nothing is known."""

    part: int
    of: int
    value: float | None
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """For JSON, rounded to six places."""
        value = None if self.value is None else round(self.value, PLACES)
        return {
            "value": value,
            "low": round(self.low, PLACES),
            "high": round(self.high, PLACES),
            "count": self.part,
            "of": self.of,
        }


def share(count: int, of: int, confidence: float = CONFIDENCE) -> Share:
    """A share with its two-sided interval."""
    if of == 0:
        return Share(0, 0, None, 0.0, 1.0)
    tail = (1 - confidence) / 2
    return Share(count, of, count / of, _lower(count, of, tail), upper(count, of, 1 - tail))


def upper(count: int, of: int, confidence: float) -> float:
    """The one-sided upper bound: a true share above it would give so few with a chance of at most 1 - confidence."""
    if count >= of:
        return 1.0
    return float(_beta().ppf(confidence, count + 1, of - count))


def least(budget: float, confidence: float) -> int:
    """Smallest sample without a false one for `upper` to stay within `budget`: about 3 / budget at 95% ("rule of
    three").
    """
    guess = max(1, math.ceil(math.log1p(-confidence) / math.log1p(-budget)) - 1)
    while upper(0, guess, confidence) > budget:
        guess += 1
    return guess


def _lower(count: int, of: int, tail: float) -> float:
    return 0.0 if count == 0 else float(_beta().ppf(tail, count, of - count + 1))


def _beta() -> Any:
    try:
        from scipy.stats import beta
    except ImportError as error:
        raise WrongSetup(f"intervals need scipy: {install_hint('learn')}") from error
    return beta
