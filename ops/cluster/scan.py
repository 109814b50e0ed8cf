"""Scans whole topics, with a progress bar on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from refrain.ops.terminal.progress import progress_bar

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster, Record

STEP = 1_000
"""Records after which the bar moves."""


def records(
    cluster: Cluster,
    topic: str,
    doing: str,
    *,
    partitions: Sequence[int] | None = None,
    starts: Mapping[int, int] | None = None,
) -> Iterator[Record]:
    """All committed records of the partitions (else of all), from `starts` (else the first), one after another."""
    ends = cluster.ends(topic)
    numbers = sorted(ends) if partitions is None else list(partitions)
    first = {number: max((starts or {}).get(number, 0), ends[number][0]) for number in numbers}
    total = sum(max(0, ends[number][1] - first[number]) for number in numbers)
    with progress_bar(doing, total) as progress:
        done = 0
        for number in numbers:
            for record in cluster.scan(topic, number, first[number]):
                if record.offset % STEP == 0:
                    progress(done + record.offset - first[number])
                yield record
            done += max(0, ends[number][1] - first[number])
            progress(done)
