"""The reply topic of a response: `responses`, or an allowed topic that the request's headers name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Headers
from refrain.streams.kafka.names import is_legal, is_own
from refrain.streams.kafka.targets import Targets
from refrain.streams.lru import LruCache
from refrain.streams.messaging.own_topics import RESPONSES
from refrain.streams.messaging.reply_headers import PARTITION_HEADER, TOPIC_HEADERS

FRESH_MS = 60_000
"""How long a topic is taken to be there without asking again."""
MISSING_MS = 5_000
"""How long a topic is taken to be missing."""
TOPICS_MAX = 1_000
UNKNOWN = 1 << 31
"""The partition count of a topic while the cluster does not tell: what is sent there is looked at again then."""


class ReplyTarget(NamedTuple):
    """A reply topic, as `Outgoing` names topics, and its partition or None."""

    topic: str
    partition: int | None = None


DEFAULT = ReplyTarget(RESPONSES)


class ReplyTopics:
    """Finds the reply topic in headers. `partitions` gives a topic's count, or None for a topic that is not there;
    `needs_key` tells a compacted one. `progress_partitions` are those of `progress`, where pieces of answers go."""

    def __init__(
        self,
        prefix: str,
        allowed: Sequence[str],
        partitions: Callable[[str], int | None],
        now_ms: Callable[[], int],
        needs_key: Callable[[str], bool] = lambda _: False,
        progress_partitions: int = UNKNOWN,
    ) -> None:
        self.progress_partitions = progress_partitions
        self._prefix = prefix
        self._names = frozenset(name for name in allowed if not name.endswith("*"))
        self._beginnings = tuple(name[:-1] for name in allowed if name.endswith("*"))
        self._partitions = partitions
        self._now_ms = now_ms
        self._needs_key = needs_key
        self._known: LruCache[str, tuple[int, int | None]] = LruCache(TOPICS_MAX)

    def target(self, headers: Headers, key: bytes | None = None) -> ReplyTarget:
        """The reply topic that the headers name, else `responses`; `key` is the response's.

        Raises Refusal(BAD_REPLY_TO).
        """
        found = {name: value for name, value in headers if name in TOPIC_HEADERS or name == PARTITION_HEADER}
        if not found:
            return DEFAULT
        named = next((found[name] for name in TOPIC_HEADERS if name in found), RESPONSES.encode())
        topic = self._topic(named)
        count = self._count(topic)
        if key is None and self._needs_key(topic):
            raise _bad("the reply topic is compacted, and the request has no key: give it one")
        if PARTITION_HEADER not in found:
            return ReplyTarget(topic)
        partition = _partition_of(found[PARTITION_HEADER])
        if not 0 <= partition < count:
            raise _bad(f"{PARTITION_HEADER} is not a partition of the topic, which has {count}")
        return ReplyTarget(topic, partition)

    def _topic(self, raw: bytes | None) -> str:
        name = "" if raw is None else raw.decode("ascii", "replace")
        if name in (RESPONSES, self._prefix + RESPONSES):
            return RESPONSES
        if not is_legal(name):
            raise _bad("the reply topic is not a name that a topic can have")
        # A client must not write into Refrain's own topics, however wide the allowed list is.
        if is_own(name, self._prefix) or not (name in self._names or name.startswith(self._beginnings)):
            raise _bad("the reply topic is not allowed: use responses, or have it added to classify.reply_topics")
        return f"/{name}"

    def _count(self, topic: str) -> int:
        now_ms = self._now_ms()
        known = self._known.get(topic)
        if known is None or known[0] <= now_ms:
            count = self._partitions(topic)
            self._known.put(topic, (now_ms + (MISSING_MS if count is None else FRESH_MS), count))
        else:
            count = known[1]
        if count is None:
            raise _bad("the reply topic does not exist: create it first")
        return count


def partitions_of(targets: Targets) -> Callable[[str], int | None]:
    """A function that tells a topic's partition count; None when it is missing, `UNKNOWN` while nobody knows."""

    def count(topic: str) -> int | None:
        targets.look_up((topic,))
        known = targets.partitions(topic)
        return UNKNOWN if known is None else known or None

    return count


def needs_key(targets: Targets) -> Callable[[str], bool]:
    """A function that tells whether a topic takes no record without a key, as far as is known."""

    def needs(topic: str) -> bool:
        targets.look_up((topic,))
        return targets.needs_key(topic)

    return needs


def _partition_of(raw: bytes | None) -> int:
    """A partition as decimal text, or as the four bytes that Spring writes. -1 for anything else.

    The two cannot be confused: four digits read as an integer are far above any partition.
    """
    if raw is not None and 0 < len(raw) <= 10 and raw.isdigit():
        return int(raw)
    return int.from_bytes(raw, "big", signed=True) if raw is not None and len(raw) == 4 else -1


def _bad(text: str) -> Refusal:
    return Refusal(RefusalCode.BAD_REPLY_TO, text)
