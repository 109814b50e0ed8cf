"""Batch size: how many questions are taken at once, so that embedding them takes about as long as is wanted. Pure."""

from __future__ import annotations

FIRST = 16
"""Questions taken at once while nothing is known of the embedder."""
SMOOTHING = 0.2
"""The weight of the last batch in what is known (exponentially weighted sums)."""
PROBES = 8
"""Each so many batches one is twice as large: sizes must differ, to tell a call's own time from that of its texts."""
OWN_TIMES = 2
"""Texts may take so many times the call's own time, even beyond the target: a call that is slow by itself, as over a
network, would else be made for a text or two."""
SHARE_MIN = 0.25
"""The share of questions that bring a new text counts as no smaller: of the next batch each may bring one."""
STEEPEST = 10
"""A text costs at least one part in so many of what it costs on the mean, whatever few batches seem to tell."""


class BatchSize:
    """Sizes batches by the smoothed cost of a call and of a new text in it, and by how many questions bring one.

    The cost of a batch is taken for a line: the time of the call itself, and so much a text (least squares).
    """

    def __init__(self, target_ms: int) -> None:
        self._target_s = target_ms / 1_000
        self._batches = 0
        self._weight = self._texts = self._seconds = self._texts_texts = self._texts_seconds = 0.0
        self._share = 1.0
        """The part of the questions that brings a new text: repeated ones and those that pass by bring none."""

    @property
    def seconds_per_text(self) -> float | None:
        """What a text costs on the mean, with its share of the call; None until one was embedded."""
        return self._seconds / self._texts if self._texts else None

    def observe(self, texts: int, seconds: float, questions: int) -> None:
        """Learn that so many new texts of a batch of so many questions took so long."""
        if questions:
            self._share += SMOOTHING * (min(1.0, texts / questions) - self._share)
        if texts == 0:
            return
        kept = 1 - SMOOTHING
        self._batches += 1
        self._weight = kept * self._weight + 1
        self._texts = kept * self._texts + texts
        self._seconds = kept * self._seconds + seconds
        self._texts_texts = kept * self._texts_texts + texts * texts
        self._texts_seconds = kept * self._texts_seconds + texts * seconds

    def wanted(self, batch_max: int) -> int:
        """How many questions to take at once: at least one, at most `batch_max`."""
        mean_s = self.seconds_per_text
        if mean_s is None:
            return min(FIRST, batch_max)
        each_s = self._seconds_each(mean_s)
        if each_s == 0:
            return batch_max
        own_s = (self._seconds - each_s * self._texts) / self._weight
        size = max(1.0, max(self._target_s - own_s, OWN_TIMES * own_s) / each_s / max(SHARE_MIN, self._share))
        return int(min(batch_max, size if self._batches % PROBES else 2 * size))

    def _seconds_each(self, mean_s: float) -> float:
        """What one more text costs (seconds)."""
        variance = self._texts_texts * self._weight - self._texts**2
        if variance <= 1e-6 * self._texts**2:
            return mean_s
        slope = (self._texts_seconds * self._weight - self._texts * self._seconds) / variance
        return min(mean_s, max(slope, mean_s / STEEPEST))
