"""Texts of decisions: the question from `journal`, the kept question from `documents`, where it is still kept.

An entry that was withdrawn or has left is not shown: its text may have been withdrawn with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from refrain.ops.cluster.scan import records
from refrain.ops.hits.near import NearDecision
from refrain.schemas.base import Part, Sealed
from refrain.schemas.documents import Entry
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.messaging.ids import parse_entry_id
from refrain.streams.shard.columns import ENTRIES, entry_id

JOURNAL, DOCUMENTS = "journal", "documents"
LOOKBACK = 10_000
"""Offsets before a decision's own in which its question is looked for: it may have waited for a second opinion."""
PLAIN = "plain"


class HitPair(NamedTuple):
    """A question, the kept one that it met, and the decision that was made of them."""

    text_a: str
    text_b: str
    decision: NearDecision


class FoundPairs(NamedTuple):
    """Pairs with different texts, each pair of texts once; and of how many decisions a text is gone."""

    pairs: list[HitPair]
    gone: int


class _Question(Part):
    """What is read of a journal record: of an `Asked` all three."""

    kind: str
    id: str = ""
    question: Sealed | None = None


def pairs_of(cluster: Cluster, near: Sequence[NearDecision]) -> FoundPairs:
    """The pairs of decisions, in their order."""
    asked = _asked_texts(cluster, near)
    kept = _kept_texts(cluster, {each.entry for each in near}) if asked else {}
    both = [(each, asked[each.id], kept[each.entry]) for each in near if each.id in asked and each.entry in kept]
    found: dict[tuple[str, str], HitPair] = {}
    for each, question, other in both:
        if question != other:
            found.setdefault((question, other), HitPair(question, other, each))
    return FoundPairs(list(found.values()), len(near) - len(both))


def _asked_texts(cluster: Cluster, near: Sequence[NearDecision]) -> dict[str, str]:
    """The question of each decision, by the decision's id."""
    wanted = {each.id for each in near}
    starts, ends = _spans(near)
    found: dict[str, str] = {}
    partitions = sorted(set(starts) & set(cluster.ends(JOURNAL)))
    for record in records(cluster, JOURNAL, "reading questions", partitions=partitions, starts=starts):
        question = _question(record) if record.offset <= ends[record.partition] else None
        if question is not None and question.id in wanted and question.question is not None:
            found[question.id] = question.question.data
    return found


def _spans(near: Iterable[NearDecision]) -> tuple[dict[int, int], dict[int, int]]:
    """By partition of the journal where to begin to read, and the last offset that is wanted."""
    offsets: dict[int, list[int]] = defaultdict(list)
    for each in near:
        offsets[each.partition].append(each.offset)
    starts = {partition: max(0, min(mine) - LOOKBACK) for partition, mine in offsets.items()}
    return starts, {partition: max(mine) for partition, mine in offsets.items()}


def _question(record: Record) -> _Question | None:
    if b'"Asked"' not in (record.value or b""):
        return None
    try:
        found = _Question.model_validate_json(record.value or b"")
    except ValidationError:
        return None
    return found if found.kind == "Asked" and _is_plain(found.question) else None


def _kept_texts(cluster: Cluster, wanted: Collection[str]) -> dict[str, str]:
    """The question of each entry that is still kept, by the entry's id."""
    ids = dict(_places(cluster, wanted))
    found: dict[str, str] = {}
    partitions = sorted({partition for partition, _ in ids} & set(cluster.ends(DOCUMENTS)))
    for record in records(cluster, DOCUMENTS, "reading kept questions", partitions=partitions):
        id_ = ids.get((record.partition, record.key or b""))
        if id_ is None:
            continue
        found.pop(id_, None)
        found.update(_entry_text(id_, record))
    return found


def _places(cluster: Cluster, wanted: Iterable[str]) -> Iterator[tuple[tuple[int, bytes], str]]:
    """Partition and key in `documents` of each entry of this journal, with its id."""
    incarnation = cluster.topic_id(JOURNAL)
    for id_ in wanted:
        place = parse_entry_id(id_)
        if place is not None and place.is_of(incarnation):
            yield (place.partition, ENTRIES.key(entry_id(place.offset))), id_


def _entry_text(id_: str, record: Record) -> dict[str, str]:
    if record.value is None:
        return {}
    try:
        entry = Entry.decode(record.value)
    except ValidationError:
        return {}
    return {id_: entry.question.data} if _is_plain(entry.question) else {}


def _is_plain(text: Sealed | None) -> bool:
    """Whether a sealed text is the text itself, and not a cipher."""
    return text is not None and text.key_id == PLAIN
