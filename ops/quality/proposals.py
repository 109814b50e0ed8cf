"""The threshold to propose for a category, by the method of one's choice. Pure.

- `platt` expects a false-hit rate from a sigmoid of two numbers: 100 to 200 judged pairs from around the threshold are
  enough, of which ten of either label are among what would be served.
- `exact` takes no form for granted and bounds the rate by an exact interval; it needs hundreds of hits.
- `auto` is `platt` where there are enough of both labels for it, else `exact`: where guards refuse nearly all that is
  wrong, nothing is left to fit, and an interval shows as much with few hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from refrain.ops.quality.calibration import Calibrated, Sample, calibrate
from refrain.ops.quality.platt_calibration import calibrate_by_platt, labels_lacking

Method = Literal["auto", "platt", "exact"]


def propose(samples: Sequence[Sample], budget: float, confidence: float, method: Method) -> Calibrated:
    """Propose a threshold, or tell why there is none and what it takes."""
    if method == "exact":
        return calibrate(samples, budget, confidence)
    lacking = labels_lacking(samples)
    if method == "platt" or lacking is None:
        return calibrate_by_platt(samples, budget, confidence)
    found = calibrate(samples, budget, confidence)
    if found.threshold is not None:
        return found
    return found._replace(why=f"{found.why}. By Platt scaling: {lacking[1]}")
