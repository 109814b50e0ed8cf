"""Sample of decisions: those whose seeded hash is least, so that the same sample comes again."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from refrain.ops.audit.limits import Asked
from refrain.ops.control.known_names import is_of
from refrain.schemas.base import Part
from refrain.streams.kafka.interface import Cluster, Record

HASH_BYTES = 8
CONFIDENCE = 0.95


class Sample(NamedTuple):
    """Sample: the decisions whose hash is at most `bound`. What is published for others is not looked at."""

    seed: int
    bound: int
    size: int
    """How many decisions it holds."""
    of: int
    """Of how many."""

    def holds(self, id_: str) -> bool:
        """Whether the decision of this id is in the sample."""
        return hash_of(id_, self.seed) <= self.bound

    @property
    def share_at_most(self) -> float:
        """The largest share of decisions that may differ, at CONFIDENCE, where none of the sample does.

        A sample of n finds none of a share p with the probability (1 - p) ** n.
        """
        return 1.0 if not self.size else 0.0 if self.size == self.of else 1 - (1 - CONFIDENCE) ** (1 / self.size)


class _Limited(Part):
    time_ms: int
    category: str | None = None


def hash_of(id_: str, seed: int) -> int:
    """The hash of a decision's id: nobody who has not seen the seed can tell which decisions it chooses."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{id_}".encode(), digest_size=HASH_BYTES).digest(), "big")


def draw(ids: Iterable[str], count: int, seed: int) -> Sample:
    """Draw `count` of the decisions with these ids, all when they are no more. Memory is that of the sample."""
    least: list[int] = []
    of = 0
    for id_ in ids:
        of += 1
        found = -hash_of(id_, seed)
        if len(least) < count:
            heapq.heappush(least, found)
        elif found > least[0]:
            heapq.heapreplace(least, found)
    return Sample(seed, -least[0] if least else -1, len(least), of)


def draw_published(cluster: Cluster, partitions: Iterable[int], asked: Asked, count: int, seed: int) -> Sample:
    """Draw of the decisions of these partitions that are within the limits of `asked`."""
    return draw((id_ for number in partitions for id_ in _published(cluster, number, asked)), count, seed)


def _published(cluster: Cluster, partition: int, asked: Asked) -> Iterator[str]:
    # Without limits the key is enough: nothing is read of the values.
    limited = asked.from_ms > 0 or asked.to_ms is not None or asked.category is not None
    for record in cluster.scan("decisions", partition):
        if not limited or _is_within(record, asked):
            yield (record.key or b"").decode("utf-8", "replace")


def _is_within(record: Record, asked: Asked) -> bool:
    try:
        decision = _Limited.model_validate_json(record.value or b"")
    except ValueError:
        return True
    return asked.holds(decision.time_ms) and is_of(decision.category, asked.category)
