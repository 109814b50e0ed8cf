"""A stretch of one partition: from an offset on, so many records at most."""

from __future__ import annotations

from collections.abc import Iterator

from refrain.streams.kafka.interface import Cluster, Record, Span, Wanted


class Stretch:
    """Part of a partition that is looked through for a few records."""

    def __init__(self, cluster: Cluster, topic: str, partition: int, start: int, most: int | None) -> None:
        """From the offset `start` on `most` records (None: to the end). Raises WrongSetup where there is no topic."""
        first, end = cluster.ends(topic)[partition]
        start = max(start, first)
        self._cluster, self._topic, self._partition = cluster, topic, partition
        self._span = Span(start, end if most is None else min(end, start + most))
        self.is_whole = self._span.end == end
        """Whether it reaches the end of the partition."""

    def sift(self, wanted: Wanted) -> Iterator[Record]:
        """The records of it that are wanted, in their order. Raises WrongSetup where they may not be read."""
        return self._cluster.sift(self._topic, {self._partition: self._span}, wanted)
