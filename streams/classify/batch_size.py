"""Batch size: how many questions are taken at once, so that embedding them takes about as long as is wanted. Pure."""

from __future__ import annotations

FIRST = 16
"""Questions taken at once while nothing is known of the embedder."""
SMOOTHING = 0.2
"""The weight of the last batch in the cost of a text (an exponentially weighted mean)."""


class BatchSize:
    """Sizes batches by the smoothed cost of a new text: those whose vectors are remembered cost nothing."""

    def __init__(self, target_ms: int) -> None:
        self._target_s = target_ms / 1_000
        self.seconds_per_text: float | None = None
        """None until a text was embedded."""

    def observe(self, texts: int, seconds: float) -> None:
        """Learn that so many new texts took so long."""
        if texts == 0:
            return
        cost = seconds / texts
        before = cost if self.seconds_per_text is None else self.seconds_per_text
        self.seconds_per_text = before + SMOOTHING * (cost - before)

    def wanted(self, batch_max: int) -> int:
        """How many questions to take at once: at least one, at most `batch_max`."""
        if self.seconds_per_text is None:
            return min(FIRST, batch_max)
        if self.seconds_per_text * batch_max <= self._target_s:
            return batch_max
        return max(1, int(self._target_s / self.seconds_per_text))
