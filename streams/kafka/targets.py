"""Targets: whether a topic takes a record that is to be sent there, by the topic's own settings.

They are looked up before the first record for a topic, and again when they are old: never once a record. What is known
stays in use while a lookup fails; of what is not known, the broker decides.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from typing import NamedTuple

from refrain.schemas.topics import BY_NAME
from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.config import BATCH_BYTES_MAX
from refrain.streams.kafka.interface import Cluster, Outgoing, Target, wire_bytes
from refrain.streams.kafka.names import is_legal, is_own
from refrain.streams.lru import LruCache

logger = logging.getLogger(__name__)

FRESH_S = 60.0
"""How long the settings of a topic of the table are taken for what they were."""
REPLY_FRESH_S = 10.0
"""The same of a client's reply topic: it may be gone at any time, and what is sent then holds others up."""
MISSING_S = 5.0
"""How long a topic is taken to be missing, and how long after a failed lookup the next one comes."""
OWN_MISSING_S = 0.5
"""The same of a topic of the table: it is on its way back, and what is not sent meanwhile is lost."""
UNCHECKED = "documents"
"""Most of what lookup writes: the fold bounds it, and lookup looks at the topic when it starts."""
TOPICS_MAX = 1_000
"""Topics that are known; those named longest ago are forgotten."""
REPLY_MARK = "/"
"""What a topic outside the table begins with: see `cluster_name`."""


class Unfit(StrEnum):
    """Why a topic does not take a record."""

    ILLEGAL = "illegal"
    """No topic can have that name."""
    OWN = "own"
    """The name, which came with a message, is that of one of Refrain's own topics, or of the broker's."""
    MISSING = "missing"
    PARTITION = "partition"
    """The topic has no partition of that number."""
    KEYLESS = "keyless"
    """The topic is compacted, and the record has no key."""
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    """The broker says so, and what is known of the topic does not tell why."""


class Misfit(NamedTuple):
    """Why a record does not fit its target: for people in `text`; the topic takes `bytes_max` (None: not known)."""

    kind: Unfit
    text: str
    bytes_max: int | None = None


class _Known(NamedTuple):
    target: Target | None
    until_s: float


class Targets:
    """What topics take, as far as it is known. For one thread; `elapsed_s` is a clock (seconds)."""

    def __init__(self, cluster: Cluster, prefix: str, elapsed_s: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._prefix = prefix
        self._elapsed_s = elapsed_s
        self._known: LruCache[str, _Known] = LruCache(TOPICS_MAX)
        self._refused: set[str] = set()
        """Topics of the table that the broker refused a record for: that they are missing is believed."""
        self._asked_again_s = float("-inf")
        self.tight: set[str] = set()
        """Topics that take less at once than a whole batch."""

    def look_up(self, topics: Collection[str]) -> None:
        """Look up those of the topics that are not known or are old. Does nothing while lookups fail."""
        now_s = self._elapsed_s()
        due = [topic for topic in topics if self._is_due(topic, now_s)]
        if due and now_s >= self._asked_again_s:
            self._ask(due)

    def forget(self, topics: Collection[str]) -> None:
        """Forget what is known of topics for which a broker refused a record; they are looked up again."""
        for topic in topics:
            self._known.drop(topic)
        self._refused.update(topic for topic in topics if topic in BY_NAME)

    def partitions(self, topic: str) -> int | None:
        """The number of partitions, 0 for a topic that is missing or cannot be, None while nobody knows."""
        if topic not in BY_NAME and self._problem_of_name(topic) is not None:
            return 0
        known = self._known.get(topic)
        if known is None:
            return None
        return 0 if known.target is None else known.target.partitions

    def needs_key(self, topic: str) -> bool:
        """Whether the topic takes no record without a key, as far as is known."""
        known = self._known.get(topic)
        return known is not None and known.target is not None and known.target.keyed

    def problem(self, record: Outgoing) -> Misfit | None:
        """Why the record's topic does not take it, None when it does or nobody knows."""
        return self.problems((record,)).get(0)

    def problems(self, records: Sequence[Outgoing]) -> dict[int, Misfit]:
        """Why topics do not take some of the records, by their place."""
        found: dict[int, Misfit] = {}
        views: dict[str, Target | Misfit | None] = {}
        for place, record in enumerate(records):
            topic = record.topic
            if topic not in views:
                views[topic] = self._view(topic)
            view = views[topic]
            if isinstance(view, Misfit):
                found[place] = view
            elif view is not None:
                misfit = _problem_with(record, view)
                if misfit is not None:
                    found[place] = misfit
        return found

    def _view(self, topic: str) -> Target | Misfit | None:
        """What the topic takes, or why it takes nothing; None while nobody knows."""
        if topic == UNCHECKED:
            return None
        named = None if topic in BY_NAME else self._problem_of_name(topic)
        if named is not None:
            return named
        known = self._known.get(topic)
        if known is None or known.target is not None:
            return None if known is None else known.target
        if topic in BY_NAME and topic not in self._refused:
            return None
        return Misfit(Unfit.MISSING, f"topic {topic} does not exist, or is hidden from this user")

    def _problem_of_name(self, topic: str) -> Misfit | None:
        name = topic[1:]
        if not topic.startswith(REPLY_MARK) or not is_legal(name):
            return Misfit(Unfit.ILLEGAL, f"{topic[:260]!r} is not the name of a topic")
        if is_own(name, self._prefix):
            return Misfit(Unfit.OWN, f"{topic} is one of Refrain's own topics, or of the broker's")
        return None

    def _is_due(self, topic: str, now_s: float) -> bool:
        if topic not in BY_NAME and self._problem_of_name(topic) is not None:
            return False
        known = self._known.get(topic)
        return known is None or known.until_s <= now_s

    def _ask(self, topics: Collection[str]) -> None:
        try:
            found = self._cluster.targets(topics)
        except ClusterFailed as failed:
            self._asked_again_s = self._elapsed_s() + MISSING_S
            logger.warning("what topics take is looked up later: %s", failed)
            return
        now_s = self._elapsed_s()
        for topic in topics:
            target = found.get(topic)
            fresh_s, missing_s = (FRESH_S, OWN_MISSING_S) if topic in BY_NAME else (REPLY_FRESH_S, MISSING_S)
            self._known.put(topic, _Known(target, now_s + (missing_s if target is None else fresh_s)))
            if target is not None:
                self._refused.discard(topic)
            self._note_tight(topic, target)

    def _note_tight(self, topic: str, target: Target | None) -> None:
        if target is None or target.bytes_max >= BATCH_BYTES_MAX:
            self.tight.discard(topic)
        else:
            if len(self.tight) >= TOPICS_MAX:
                # Some are not known any more; those that still are will be noted again.
                self.tight.clear()
            self.tight.add(topic)


def _problem_with(record: Outgoing, target: Target) -> Misfit | None:
    size, topic, partition = wire_bytes(record), record.topic, record.partition
    if partition is not None and not 0 <= partition < target.partitions:
        return Misfit(Unfit.PARTITION, f"topic {topic} has {target.partitions} partitions, no {partition}")
    if target.keyed and record.key is None:
        return Misfit(Unfit.KEYLESS, f"topic {topic} is compacted, and the record has no key")
    if size > target.bytes_max:
        text = f"a record of {size} bytes is more than topic {topic} takes ({target.bytes_max})"
        return Misfit(Unfit.TOO_LARGE, text, target.bytes_max)
    return None
