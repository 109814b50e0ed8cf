"""Resolves what is to be explained: a decision by its id or JSON, an entry by its id, a request by its client's id."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing

from refrain.ops.cluster.decisions import REQUESTS, decision_of, find_decision, sought_in
from refrain.schemas.decisions import Decision
from refrain.streams.errors import BadInput, WrongSetup, WrongValue
from refrain.streams.govern.decision_search import JOURNAL, SoughtDecision
from refrain.streams.govern.id_scan import Chunks
from refrain.streams.kafka.interface import Cluster, Reader, Record
from refrain.streams.messaging.ids import TAG_CHARS, EntryId, decision_tag, parse_entry_id, parse_request_id

TOPIC = "decisions"
CHUNK_FIRST, CHUNK = 16, 1_000
"""Records that the first read of a search takes, and any read at most."""
SEARCHED = 100_000
"""Records of all partitions, the last ones, among which an id is looked for that does not tell where it stands."""
LAST = f" (what is not near its request was looked for among the last {SEARCHED} decisions: --scan looks through all)"
FORMS = (
    "the id of a decision or forward (PARTITION-OFFSET-TAG with a tag of 12 hex digits), the id of an entry"
    " (PARTITION-OFFSET-TAG with a tag of 8 characters), a client's request id, or `-` for JSON on standard input"
)


def entry_in(cluster: Cluster, text: str) -> EntryId | None:
    """The entry id in a text, None where it is none. Raises BadInput for one of another journal."""
    found = parse_entry_id(text)
    if found is None or len(found.tag) != TAG_CHARS:
        return None
    incarnation = known_id(cluster, JOURNAL)
    if incarnation is not None and not found.is_of(incarnation):
        raise WrongValue(
            f"entry {text} is of another incarnation of `journal`: this one's ids end in {incarnation[:TAG_CHARS]}"
        )
    if incarnation is not None and found.partition >= cluster.partitions(JOURNAL):
        raise WrongValue(f"entry {text}: `journal` has no partition {found.partition}")
    return found


def decision_in(cluster: Cluster, text: str, now_ms: Callable[[], int], *, scan_all: bool = False) -> Decision:
    """The decision that a text names. Raises BadInput that says why there is none."""
    if not text.strip():
        raise WrongValue(f"nothing is named: give {FORMS}")
    sought = sought_in(text)
    named = parse_request_id(sought.id)
    if named is None:
        return _of_request(cluster, sought.id, scan_all=scan_all)
    found = _found(cluster, sought, now_ms, _all_of(cluster) if scan_all else SEARCHED)
    if found is None:
        raise BadInput(_why_missing(cluster, sought.id, named.tag) + ("" if scan_all else LAST))
    return found


def known_id(cluster: Cluster, topic: str) -> str | None:
    """The topic id; None where the topic is not for this user to see."""
    try:
        return cluster.topic_id(topic)
    except WrongSetup:
        return None


def backwards(reader: Reader, partition: int, end: int, least: int) -> Iterator[Record]:
    """The records before `end` down to the offset `least`, the last one first: few at once, then more."""
    count = CHUNK_FIRST
    while end > least:
        start = max(least, end - count)
        yield from reversed(list(_between(reader, partition, start, end)))
        end, count = start, min(CHUNK, count * 4)


def _between(reader: Reader, partition: int, start: int, end: int) -> Iterator[Record]:
    while start < end:
        records = reader.read(partition, start, end - start)
        if not records:
            return
        yield from (record for record in records if record.offset < end)
        start = records[-1].offset + 1


def _all_of(cluster: Cluster) -> int:
    """How many offsets a search looks at that comes to the first record of each partition: they share them alike."""
    ends = cluster.ends(TOPIC).values()
    return len(ends) * max(1, *(end - first for first, end in ends))


def _found(cluster: Cluster, sought: SoughtDecision, now_ms: Callable[[], int], most: int) -> Decision | None:
    if sought.offset is not None and known_id(cluster, JOURNAL) is None:
        # Its place is told by the journal's topic id, which is not for this user to see.
        sought = SoughtDecision(sought.id)
    return find_decision(cluster, sought, now_ms, chunks=Chunks(looked_at_max=most))


def _of_request(cluster: Cluster, request_id: str, *, scan_all: bool) -> Decision:
    """The last decision of a client's request id."""
    sign = json.dumps(request_id, ensure_ascii=False).encode("utf-8", "replace")
    ends = cluster.ends(TOPIC)
    share = SEARCHED // max(1, len(ends))
    found: list[Decision] = []
    with closing(cluster.reader(TOPIC)) as reader:
        for partition, (first, end) in ends.items():
            least = first if scan_all else max(first, end - share)
            for record in backwards(reader, partition, end, least):
                decision = decision_of(record) if sign in (record.value or b"") else None
                if decision is not None and decision.request_id == request_id:
                    found.append(decision)
                    break
    if not found:
        among = "any decision" if scan_all else f"the last {SEARCHED} decisions (--scan looks through all)"
        raise BadInput(f"no request {request_id!r} is among {among}; known forms are {FORMS}")
    return max(found, key=lambda decision: decision.time_ms)


def _why_missing(cluster: Cluster, id_: str, tag: str) -> str:
    requests, journal = known_id(cluster, REQUESTS), known_id(cluster, JOURNAL)
    if requests and journal and tag != decision_tag(requests, journal):
        return (
            f"no decision {id_} is recorded: its tag is not that of these incarnations of `requests` and `journal`,"
            " so it is of topics that were recreated, or of a tenant's own topic and retention took it"
        )
    gone = [number for number, (first, _) in cluster.ends(TOPIC).items() if first > 0]
    if gone:
        return f"no decision {id_} is recorded: retention has taken the oldest decisions, and may have taken this one"
    return f"no decision {id_} is recorded: no request of that place was decided yet"
