"""Batches that nobody can read: found where the client is silent or its offsets cannot be, and passed over.

librdkafka gives nothing of what stands behind a batch that it cannot read, mostly without a word, and believes what a
record says of its own offset. So a consumer looks at the batches themselves (`look`) where nothing comes though
something is there, where the client says that a batch is broken, and where an offset cannot be right. Each batch that
is passed over becomes one record with a `flaw`, at the last offset of the batch.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from refrain.streams.kafka.batches import Batch, batches_in, committed, flaw_of, told_of
from refrain.streams.kafka.interface import Record
from refrain.streams.kafka.raw_fetch import Fetch, FetchFailed

logger = logging.getLogger(__name__)

SILENT_S = 2.0
"""How long nothing comes of a partition, though something is there, until its batches are looked at."""
ALERT_SILENT_S = 0.2
ALERT_S = 60.0
"""So long after a batch that cannot be read, the next is looked for sooner: who writes one may write many."""
GAPS_EVERY_S = 1.0
"""How often gaps between offsets are looked into at most: each transaction of a producer leaves one."""
LOOK_S = 0.5
"""How long batches are gone through at once: what is further ahead is looked at when it comes next."""
TRANSACTIONAL = frozenset({"journal", "documents", "decisions"})
"""Topics that Refrain itself writes in transactions, and no outsider at all: gaps are no sign of anything."""
CANNOT_DECOMPRESS = "the client cannot decompress it"


class Sifted(NamedTuple):
    """What is believed of the records of a partition: the first `kept`, and then what stands for others."""

    kept: int
    flawed: Sequence[Record] = ()
    """One for each batch that is passed over."""
    place: int | None = None
    """Where to read on instead, if so."""


class Passed:
    """What is known of one partition, from the offset on that comes next."""

    def __init__(self, at: int | None, now_s: float) -> None:
        self.at = at
        """The next offset; None: not known yet."""
        self.seen_s = now_s
        self.looked_until = -1
        """Batches below are looked at."""
        self.looked: tuple[int, int] | None = None
        """The offset and the end at which silence was looked into."""
        self.alert_until_s = -1.0
        self.gaps_due_s = -1.0
        """When gaps between offsets are looked into again."""
        self.broken: deque[tuple[int, Batch, str]] = deque()
        """Batches ahead that cannot be read, and why; each behind the offset up to which records come before it."""


class Damage:
    """Finds what cannot be read in the partitions of a topic. `name` is the topic's on the cluster."""

    def __init__(
        self, topic: str, name: str, fetch: Fetch, clock: Callable[[], float], silent_s: float = SILENT_S
    ) -> None:
        self._silent_s = silent_s
        self._topic = topic
        self._name = name
        self._fetch = fetch
        self._clock = clock
        self._trusts_gaps = topic in TRANSACTIONAL
        self._known: dict[int, Passed] = {}

    def begin(self, partition: int, at: int | None) -> None:
        """A partition is read from an offset on, or from one that is not known."""
        before, self._known[partition] = self._known.get(partition), Passed(at, self._clock())
        if before is not None:
            self._known[partition].alert_until_s = before.alert_until_s

    def wake(self, partition: int) -> None:
        """A partition that was paused is read on."""
        if partition in self._known:
            self._known[partition].seen_s = self._clock()

    def forget(self, partition: int) -> None:
        """A partition is read no more."""
        self._known.pop(partition, None)

    def knows(self, partition: int) -> bool:
        """Whether it has begun with a partition."""
        return partition in self._known

    def place(self, partition: int) -> int | None:
        """The next offset of a partition, None where it is not known."""
        known = self._known.get(partition)
        return None if known is None else known.at

    def is_silent(self, partition: int, at: int, end: int) -> bool:
        """Whether nothing has come of a partition for long, though its end is further; told once for each end."""
        known = self._known.setdefault(partition, Passed(at, self._clock()))
        known.at = at
        now_s = self._clock()
        # Where it is known what comes, something sound does.
        wait_s = ALERT_SILENT_S if now_s < known.alert_until_s and not known.broken else self._silent_s
        if at >= end or known.looked == (at, end) or now_s - known.seen_s < wait_s:
            return False
        known.seen_s, known.looked = now_s, (at, end)
        return True

    def sift(self, partition: int, offsets: Sequence[int], end: int) -> Sifted:
        """Which records are believed, by their offsets, with one for each batch passed over.

        `end` is the partition's as far as the client knows it, negative where it does not.
        """
        known = self._known.setdefault(partition, Passed(None, self._clock()))
        if offsets:
            known.seen_s = self._clock()
            gaps = self._trusts_gaps or known.gaps_due_s > known.seen_s > known.alert_until_s
            odd = first_odd(offsets, known.at, known.looked_until, end, gaps=gaps)
            if odd is not None and not known.broken:
                known.gaps_due_s = known.seen_s + GAPS_EVERY_S
                before = offsets[odd - 1] + 1 if odd else known.at
                if before is not None:
                    start = known.at
                    self.look(partition, before)
                    known.at = start
                    is_alert = known.seen_s < known.alert_until_s
                    if is_alert and not known.broken and offsets[odd] < before and not 0 <= end < before:
                        # Behind an offset that was none, the client begins at the first again.
                        known.at = before
                        return Sifted(odd, [], before)
        if not known.broken:
            if offsets:
                known.at = offsets[-1] + 1
            return Sifted(len(offsets))
        return self._past(partition, known, offsets)

    def _past(self, partition: int, known: Passed, offsets: Sequence[int]) -> Sifted:
        count = 0
        for offset in offsets:
            if offset >= known.broken[0][1].first or (known.at is not None and offset < known.at):
                # Read again behind what is passed over.
                break
            count += 1
            known.at = offset + 1
        flawed: list[Record] = []
        cut, moved = count < len(offsets), False
        while known.broken and known.at is not None and (cut or known.at >= known.broken[0][0]):
            _, batch, flaw = known.broken.popleft()
            cut, moved = False, True
            if batch.last >= known.at:
                flawed.append(self._flawed(partition, max(batch.first, known.at), batch, flaw))
                known.at = batch.last + 1
            known.alert_until_s = self._clock() + ALERT_S
            if not known.broken and known.at >= known.looked_until:
                self.look(partition, known.at)
        return Sifted(count, flawed, known.at if moved else None)

    def look(self, partition: int, at: int, broken_at: int | None = None) -> bool:
        """Look at the batches from an offset on; whether they could be looked at.

        The one with the offset `broken_at` cannot be read, as the client says.
        """
        known = self._known.setdefault(partition, Passed(at, self._clock()))
        try:
            data, aborted = self._fetch(self._name, partition, at)
        except FetchFailed as problem:
            logger.warning("%s[%d]: what stands at %d cannot be looked at: %s", self._name, partition, at, problem)
            known.looked = None
            return False
        known.broken.clear()
        known.at, behind, until_s = at, at, self._clock() + LOOK_S
        batches = list(batches_in(data))
        for batch in committed(batches, aborted):
            if batch.last < at:
                continue
            if known.looked_until > at and self._clock() > until_s:
                break
            told = broken_at is not None and batch.first <= broken_at <= batch.last
            flaw = CANNOT_DECOMPRESS if told else flaw_of(batch)
            known.looked_until = batch.last + 1
            if flaw is None:
                behind = batch.last + 1
            else:
                known.broken.append((behind, batch, flaw))
        else:
            known.looked_until = max([known.looked_until, *(batch.last + 1 for batch in batches[-1:])])
        return True

    def _flawed(self, partition: int, first: int, batch: Batch, flaw: str) -> Record:
        logger.warning(
            "%s[%d]: offsets %d to %d cannot be read and are set aside: %s",
            self._name, partition, first, batch.last, flaw,
        )  # fmt: skip
        told = told_of(first, batch.last, flaw)
        return Record(self._topic, partition, batch.last, batch.timestamp_ms, None, None, flaw=told)


def first_odd(offsets: Sequence[int], at: int | None, looked_until: int, end: int, *, gaps: bool = False) -> int | None:
    """The place of the first of some offsets that cannot be, or that needs a look; None where all are believed.

    They grow, and none is beyond the end. One that leaves some out needs a look, since the client gives nothing of the
    records between: ends of transactions and compaction leave gaps too, and with `gaps` all are taken for those.
    """
    gap = None
    for place, offset in enumerate(offsets):
        if 0 <= end <= offset:
            return place
        if at is not None and offset != at:
            if offset < at:
                return place if gap is None else gap
            gap = place
            if not gaps and offset > looked_until:
                return place
        at = offset + 1
    return None
