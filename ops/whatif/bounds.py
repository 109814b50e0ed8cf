"""Bounds that a policy has to keep on recorded traffic before it is put in force."""

from __future__ import annotations

import re

from refrain.ops.policies.gate import Limits
from refrain.ops.terminal import output
from refrain.ops.whatif.run import WhatIf

_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%", re.ASCII)
_COUNT = re.compile(r"\d{1,12}", re.ASCII)


def lost_hits_max(text: str, hits: int) -> float:
    """How many of so many recorded hits may be lost, by a text such as `5%` or `12`. Raises ValueError."""
    share, count = _SHARE.fullmatch(text.strip()), _COUNT.fullmatch(text.strip())
    if share is not None and float(share[1]) <= 100:
        return hits * float(share[1]) / 100
    if count is not None:
        return float(count[0])
    raise ValueError(f"{text!r} is no bound: write a share such as 5%, or a count such as 12")


def broken(found: WhatIf, limits: Limits) -> list[str]:
    """The bounds that the one alternative breaks, each as a sentence with its figures."""
    live, other = found.recorded.whole(), found.alternatives[0].whole()
    out = []
    if limits.lost_hits is not None and other.lost > lost_hits_max(limits.lost_hits, live.hits):
        share = f" ({100 * other.lost / live.hits:.1f}%)" if live.hits else ""
        out.append(
            f"{other.lost} of {output.counted(live.hits, 'recorded hit')}{share} would be lost; {limits.lost_hits} may"
        )
    if limits.judged_wrong is not None and other.wrong > limits.judged_wrong:
        out.append(
            f"{output.counted(other.wrong, 'hit')} that was judged wrong would be served ({live.wrong} were);"
            f" {limits.judged_wrong} may"
        )
    return out
