"""Recording: the journal as it stands, merged over its partitions, and a survey of what a what-if must know before."""

from __future__ import annotations

import heapq
import json
import statistics
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from refrain.ops.audit.lockstep import Decisions
from refrain.ops.cluster.last_commit import recorded_journal_id
from refrain.schemas.journal import PolicySet
from refrain.schemas.policy import Policy
from refrain.streams.errors import BadInput, WrongValue
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.lookup.restore import read_skips
from refrain.streams.shard.behaviour import BEHAVIOUR, is_of_this_version

OPEN_MAX = 100_000
"""Questions whose answers are awaited at once, to learn how long answers take."""
LATENCIES_MAX = 10_000
"""Answers of a category and model of which the median is taken: the first."""
FIRST_DECISIONS = 100
WAIT_MS = 1_000
"""How long an answer is taken to take where none is recorded."""


class Latency(NamedTuple):
    """Median time (ms) of the answers of a category by a model."""

    wait_ms: int
    """From the question in the journal to its answer there."""
    model_ms: int
    """What the model said it took."""


@dataclass
class Survey:
    """Survey of a recording: made by one pass over it."""

    records: int = 0
    first_ms: int = 0
    last_ms: int = 0
    policies: dict[int, Policy] = field(default_factory=dict)
    """By version: all that were in force."""
    judged: set[str] = field(default_factory=set)
    """Decisions that were judged."""
    asked: Counter[str] = field(default_factory=Counter)
    """Questions by category."""
    passed: Counter[str] = field(default_factory=Counter)
    """Requests without text, which went past the cache, by reason."""
    embedders: set[str] = field(default_factory=set)
    medians: dict[tuple[str, str], Latency] = field(default_factory=dict)
    """By category and model."""
    told: list[str] = field(default_factory=list)
    """What the reader of the result must know."""

    def latency(self, category: str, model: str) -> Latency:
        """The median of a category and model; of all answers of the model, or of all, where it has none."""
        found = self.medians.get((category, model)) or self.medians.get(("", model)) or self.medians.get(("", ""))
        return found or Latency(WAIT_MS, WAIT_MS)


class Recording:
    """The journal's partitions, up to where they end when it is made."""

    def __init__(self, cluster: Cluster, partitions: Sequence[int] | None = None, to_ms: int | None = None) -> None:
        """Look where the partitions (else all) begin and end; records of `to_ms` and later are left out.

        Raises BadInput for a partition that does not exist, or when nothing of them can be folded.
        """
        self.cluster = cluster
        self.shards = cluster.partitions("journal")
        self.incarnation = recorded_journal_id(cluster)
        self._to_ms = to_ms
        wanted = sorted(set(range(self.shards) if partitions is None else partitions))
        wrong = [number for number in wanted if not 0 <= number < self.shards]
        if wrong:
            raise WrongValue(f"the journal has the partitions 0 to {self.shards - 1}, no {wrong[0]}", "--partition")
        ends = cluster.ends("journal")
        self.told = [
            f"partition {number}: its journal begins at offset {ends[number][0]}, what came before is gone by"
            " retention: without it nothing there can be folded, and it is left out"
            for number in wanted
            if ends[number][0] > 0
        ]
        self.whole = len(wanted) == self.shards and not self.told
        self._ends = {number: ends[number][1] for number in wanted if ends[number][0] == 0}
        self.skips = {number: read_skips(cluster, number) for number in self._ends}
        """What live shards were told to leave out, by partition."""
        if not self._ends:
            raise BadInput("no partition of the journal can be folded:\n" + "\n".join(self.told))

    def __iter__(self) -> Iterator[Record]:
        """All records in the order of their times; those of one partition in the order of their offsets."""
        timed = [self._timed(number, end) for number, end in self._ends.items()]
        merged = heapq.merge(*timed, key=lambda each: each[0])
        for (time_ms, _, _), record in merged:
            if self._to_ms is not None and time_ms >= self._to_ms:
                return
            yield record

    def __len__(self) -> int:
        """How many records there are, at most."""
        return sum(self._ends.values())

    def _timed(self, partition: int, end: int) -> Iterator[tuple[tuple[int, int, int], Record]]:
        time_ms = 0
        for record in self.cluster.scan("journal", partition):
            if record.offset >= end:
                return
            time_ms = max(time_ms, record.timestamp_ms)
            yield (time_ms, partition, record.offset), record

    def survey(self) -> Survey:
        """Survey the recording. Raises BadInput where no policy was ever in force."""
        survey = Survey(told=[*self.told, *self._other_versions()])
        waits = _Waits()
        for record in self:
            survey.first_ms = survey.first_ms or record.timestamp_ms
            survey.last_ms = record.timestamp_ms
            survey.records += 1
            _look_at(record, survey, waits)
        survey.medians = waits.medians()
        if not survey.policies:
            raise BadInput("no policy was ever in force in this journal: nothing is recorded that could be compared")
        return survey

    def _other_versions(self) -> Iterator[str]:
        for partition in self._ends:
            published = Decisions(islice(self.cluster.scan("decisions", partition), FIRST_DECISIONS))
            for each in published.up_to(self._ends[partition]):
                if each.behaviour is not None and not is_of_this_version(each.behaviour):
                    yield (
                        f"partition {partition}: at offset {each.offset} {each.behaviour} decided, and this is"
                        f" {BEHAVIOUR}: `recorded` is what this version would have decided"
                    )
                    break


class _Waits:
    """Learns how long answers take."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[str, str, int]] = OrderedDict()
        self._seen: dict[tuple[str, str], list[Latency]] = {}

    def asked(self, id_: str, category: str, model: str, time_ms: int) -> None:
        self._open[id_] = (category, model, time_ms)
        if len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)

    def answered(self, id_: str, model_ms: int, time_ms: int) -> None:
        asked = self._open.pop(id_, None)
        if asked is None:
            return
        category, model, asked_ms = asked
        for key in ((category, model), ("", model), ("", "")):
            seen = self._seen.setdefault(key, [])
            if len(seen) < LATENCIES_MAX:
                seen.append(Latency(max(0, time_ms - asked_ms), model_ms))

    def medians(self) -> dict[tuple[str, str], Latency]:
        return {
            key: Latency(
                int(statistics.median_low([each.wait_ms for each in seen])),
                int(statistics.median_low([each.model_ms for each in seen])),
            )
            for key, seen in self._seen.items()
        }


def _look_at(record: Record, survey: Survey, waits: _Waits) -> None:
    try:
        event: Mapping[str, Any] = json.loads(record.value or b"")
        kind = event["kind"]
        if kind == "Asked":
            survey.asked[event["category"]] += 1
            survey.embedders.add(event["embedder"])
            waits.asked(event["id"], event["category"], event["model"], record.timestamp_ms)
        elif kind == "Answered":
            waits.answered(event["forward_id"], event.get("latency_ms", 0), record.timestamp_ms)
        elif kind == "Passed":
            survey.passed[event["reason"]] += 1
        elif kind == "HitJudged":
            survey.judged.add(event["decision_id"])
        elif kind == "PolicySet":
            policy = PolicySet.decode(record.value or b"")
            survey.policies[policy.version] = policy.policy
    except (ValueError, KeyError, TypeError, RecursionError):
        # A record that cannot be read changes no shard; the fold says what there is to say of it.
        return
