"""Targets: whether a topic takes a record that is to be sent there, by the topic's own settings.

They are looked up before the first record for a topic, and again when they are old: never once a record. What is known
stays in use while a lookup fails; of what is not known, the broker decides.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection
from enum import StrEnum
from typing import NamedTuple

from refrain.schemas.topics import BY_NAME
from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.interface import Cluster, Outgoing, Target, wire_bytes
from refrain.streams.lru import LruCache

logger = logging.getLogger(__name__)

FRESH_S = 60.0
"""How long the settings of a topic of the table are taken for what they were."""
REPLY_FRESH_S = 10.0
"""The same of a client's reply topic: it may be gone at any time, and what is sent then holds others up."""
MISSING_S = 5.0
"""How long a topic is taken to be missing, and how long after a failed lookup the next one comes."""
TOPICS_MAX = 1_000
"""Topics that are known; those named longest ago are forgotten."""
REPLY_MARK = "/"
"""What a topic outside the table begins with: see `cluster_name`."""
_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")


class Unfit(StrEnum):
    """Why a topic does not take a record."""

    ILLEGAL = "illegal"
    """No topic can have that name."""
    OWN = "own"
    """The name, which came with a message, is one of Refrain's own topics."""
    MISSING = "missing"
    PARTITION = "partition"
    """There is no such partition."""
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

    def bytes_max(self, topic: str) -> int | None:
        """The largest record that the topic takes, None while nobody knows or when it is missing."""
        known = self._known.get(topic)
        return None if known is None or known.target is None else known.target.bytes_max

    def needs_key(self, topic: str) -> bool:
        """Whether the topic takes no record without a key, as far as is known."""
        known = self._known.get(topic)
        return known is not None and known.target is not None and known.target.keyed

    def problem(self, record: Outgoing) -> Misfit | None:
        """Why the record's topic does not take it, None when it does or nobody knows."""
        topic = record.topic
        if topic not in BY_NAME:
            named = self._problem_of_name(topic)
            if named is not None:
                return named
        known = self._known.get(topic)
        if known is None:
            return None
        target = known.target
        if target is None:
            if topic in BY_NAME and topic not in self._refused:
                return None
            return Misfit(Unfit.MISSING, f"topic {topic} does not exist, or is hidden from this user")
        return _problem_with(record, target)

    def _problem_of_name(self, topic: str) -> Misfit | None:
        name = topic[1:]
        if not topic.startswith(REPLY_MARK) or not _LEGAL.fullmatch(name) or name in (".", ".."):
            return Misfit(Unfit.ILLEGAL, f"{topic[:260]!r} is not the name of a topic")
        if name.startswith(self._prefix) and name[len(self._prefix) :] in BY_NAME:
            return Misfit(Unfit.OWN, f"{topic} is one of Refrain's own topics")
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
            fresh_s = FRESH_S if topic in BY_NAME else REPLY_FRESH_S
            self._known.put(topic, _Known(target, now_s + (MISSING_S if target is None else fresh_s)))
            if target is not None:
                self._refused.discard(topic)


def _problem_with(record: Outgoing, target: Target) -> Misfit | None:
    topic, partition = record.topic, record.partition
    if partition is not None and not 0 <= partition < target.partitions:
        return Misfit(Unfit.PARTITION, f"topic {topic} has {target.partitions} partitions, no {partition}")
    if target.keyed and record.key is None:
        return Misfit(Unfit.KEYLESS, f"topic {topic} is compacted, and the record has no key")
    size = wire_bytes(record)
    if size > target.bytes_max:
        text = f"a record of {size} bytes is more than topic {topic} takes ({target.bytes_max})"
        return Misfit(Unfit.TOO_LARGE, text, target.bytes_max)
    return None
