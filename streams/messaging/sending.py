"""Sending: every record is held against its topic before it is produced, and becomes smaller where it does not fit.

What the broker refuses all the same (settings that have changed, a topic that is gone) becomes smaller too, while the
rest is written. SendFailed is left for what nothing may stand in place of: `journal` and `documents` themselves.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from refrain.streams.errors import RecordsRefused, RefusedRecord, SendFailed
from refrain.streams.kafka.interface import (
    Cluster,
    EndOffsets,
    GroupMetadata,
    OffsetAndMetadata,
    Outgoing,
    Producer,
    TransactionalProducer,
    wire_bytes,
)
from refrain.streams.kafka.targets import REPLY_MARK, Misfit, Targets, Unfit
from refrain.streams.messaging.smaller import smaller
from refrain.streams.metrics import Metrics

logger = logging.getLogger(__name__)

ROUNDS_MAX = 20
"""How often what is sent in place of a record may be refused in its turn; a record has fewer selves than that."""
IN_ORDER = "journal"
"""What is written here later than what follows it would be taken for a repeat."""


def fitting_producer(
    inner: Producer, cluster: Cluster, prefix: str, processor: str, metrics: Metrics
) -> FittingProducer:
    """A producer of a processor whose records fit their topics; `prefix` is that of Refrain's own topics."""
    return FittingProducer(inner, Fitter(Targets(cluster, prefix), processor, metrics))


def fitting_transactions(
    inner: TransactionalProducer, cluster: Cluster, prefix: str, processor: str, metrics: Metrics
) -> FittingTransactions:
    """The same for transactions, which may run on another thread."""
    return FittingTransactions(inner, Fitter(Targets(cluster, prefix), processor, metrics))


class Fitter:
    """Makes records fit their topics: `targets` tells what those take, `metrics` counts what did not fit."""

    def __init__(self, targets: Targets, processor: str, metrics: Metrics) -> None:
        self._targets = targets
        self._processor = processor
        self._metrics = metrics

    def fit(self, records: Sequence[Outgoing]) -> Sequence[Outgoing]:
        """The records, or what is sent in their place, in the same order. Raises SendFailed."""
        self._targets.look_up({record.topic for record in records})
        problems = self._targets.problems(records)
        return self.replaced(records, problems) if problems else records

    def replaced(self, records: Sequence[Outgoing], problems: Mapping[int, Misfit]) -> list[Outgoing]:
        """The records, with what fits in place of those with problems. Raises SendFailed where nothing may stand."""
        self._log(records, problems)
        out: list[Outgoing] = []
        for place, record in enumerate(records):
            problem = problems.get(place)
            out += [record] if problem is None else self._in_place_of(record, problem)
        return out

    def look_again(self, topics: Collection[str]) -> None:
        """Look up what topics take that have refused a record."""
        self._targets.forget(topics)
        self._targets.look_up(topics)

    def problem(self, record: Outgoing) -> Misfit | None:
        """Why the record's topic does not take it, as far as is known."""
        return self._targets.problem(record)

    @property
    def tight(self) -> Collection[str]:
        """Topics that take less at once than a whole batch."""
        return self._targets.tight

    def _in_place_of(self, record: Outgoing, problem: Misfit, first: Outgoing | None = None) -> list[Outgoing]:
        first = record if first is None else first
        found = smaller(record, problem, self._processor, first)
        if found is None:
            raise SendFailed(f"{problem.text}: nothing may stand in place of a record of {record.topic}")
        self._count(record, found)
        self._targets.look_up({each.topic for each in found})
        out: list[Outgoing] = []
        for each in found:
            again = self._targets.problem(each)
            out += [each] if again is None else self._in_place_of(each, again, first)
        return out

    def _count(self, record: Outgoing, found: Sequence[Outgoing]) -> None:
        topic = "reply" if record.topic.startswith(REPLY_MARK) else record.topic
        self._metrics.unfit.labels(self._processor, topic, _became(record, found)).inc()

    def _log(self, records: Sequence[Outgoing], problems: Mapping[int, Misfit]) -> None:
        """One line a topic and reason, however many records; the names that clients give topics are not logged."""
        kinds = Counter((self._shown(records[place].topic), problem.kind) for place, problem in problems.items())
        for (topic, kind), count in kinds.items():
            logger.warning("%d records for %s are not sent as they are: %s", count, topic, kind.value)

    def _shown(self, topic: str) -> str:
        return "a reply topic" if topic.startswith(REPLY_MARK) else topic


class FittingProducer:
    """A producer whose records fit their topics, or become smaller; around another one, which it closes."""

    def __init__(self, inner: Producer, fitter: Fitter) -> None:
        self._inner = inner
        self._fitter = fitter

    def send(self, records: Sequence[Outgoing]) -> None:
        self._write(self._fitter.fit(records), singly=False)

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        self._write(self._fitter.fit(records), singly=True)

    def close(self) -> None:
        self._inner.close()

    def _write(self, records: Sequence[Outgoing], *, singly: bool, rounds: int = 0) -> None:
        """Write records that fit as far as is known; what takes the place of those refused is written after them."""
        if rounds == ROUNDS_MAX:
            raise SendFailed(f"{records[0].topic} refuses whatever is sent in place of a record")
        together, apart = ((), records) if singly else self._split(records)
        for part, send, alone in ((together, self._inner.send, False), (apart, self._inner.send_singly, True)):
            if not part:
                continue
            try:
                send(part)
            except RecordsRefused as refusal:
                again, instead = self._after(part, refusal, alone=alone)
                if again:
                    self._write(again, singly=True, rounds=rounds + 1)
                if instead:
                    self._write(instead, singly=False, rounds=rounds + 1)

    def _split(self, records: Sequence[Outgoing]) -> tuple[Sequence[Outgoing], Sequence[Outgoing]]:
        """The records that may share a batch, and those of topics that take less than one."""
        tight = self._fitter.tight
        if not tight:
            return records, ()
        return [r for r in records if r.topic not in tight], [r for r in records if r.topic in tight]

    def _after(
        self, records: Sequence[Outgoing], refusal: RecordsRefused, *, alone: bool
    ) -> tuple[list[Outgoing], list[Outgoing]]:
        """After a refusal: the records to be written again, alone, and what is written in place of others."""
        self._fitter.look_again({records[place].topic for place in refusal.refused})
        again: list[Outgoing] = []
        faulty: list[tuple[Outgoing, Misfit]] = []
        for place, why in refusal.refused.items():
            record = records[place]
            problem = self._fitter.problem(record)
            if problem is None and why.together and not alone and record.topic != IN_ORDER:
                again.append(record)
            else:
                faulty.append((record, problem or _said(why)))
        problems = {place: problem for place, (_, problem) in enumerate(faulty)}
        return again, self._fitter.replaced([record for record, _ in faulty], problems)


class FittingTransactions:
    """A transactional producer whose records fit their topics, or become smaller; around another one."""

    def __init__(self, inner: TransactionalProducer, fitter: Fitter) -> None:
        self._inner = inner
        self._fitter = fitter

    def transact(
        self, records: Sequence[Outgoing], member: GroupMetadata | None, offsets: Mapping[int, OffsetAndMetadata]
    ) -> EndOffsets:
        fitting = self._fitter.fit(records)
        for _ in range(ROUNDS_MAX):
            try:
                return self._inner.transact(fitting, member, offsets)
            except RecordsRefused as refusal:
                fitting = self._after(fitting, refusal)
        raise SendFailed("whatever is sent in place of a record is refused: start this worker again")

    def close(self) -> None:
        self._inner.close()

    def _after(self, records: Sequence[Outgoing], refusal: RecordsRefused) -> list[Outgoing]:
        """The records of the next attempt."""
        self._fitter.look_again({records[place].topic for place in refusal.refused})
        problems: dict[int, Misfit] = {}
        unexplained: list[int] = []
        for place, why in refusal.refused.items():
            problem = self._fitter.problem(records[place])
            if problem is None and why.together:
                unexplained.append(place)
            else:
                problems[place] = problem or _said(why)
        if not problems:
            # Nobody knows how much the topic takes: most likely the largest is too large, and the others were with it.
            largest = max(unexplained, key=lambda place: wire_bytes(records[place]))
            problems[largest] = _said(refusal.refused[largest])
        return self._fitter.replaced(records, problems)


def _said(why: RefusedRecord) -> Misfit:
    """The problem of a record that fits as far as is known, and was refused."""
    return Misfit(Unfit.TOO_LARGE if why.too_large else Unfit.REFUSED, why.text)


def _became(record: Outgoing, found: Sequence[Outgoing]) -> str:
    """What is sent in place of a record, for a metric."""
    if not found:
        return "nothing"
    if found[0].topic == record.topic:
        return "smaller"
    return "dead_letter" if found[0].topic == "dead-letters" else "error"
