"""The recorded journal of an export, to be folded again: checked line by line before any record of it is."""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from pydantic import Field, ValidationError

from refrain.ops.transfer.file import ExportFile, Header, Line
from refrain.schemas.base import Part, QuestionKey
from refrain.schemas.journal import Event, decode_event
from refrain.streams.errors import BadInput, WrongValue
from refrain.streams.kafka.interface import Record, Span, Wanted
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.memory_clients import MemoryReader
from refrain.streams.messaging.decoding import unknown_version_of
from refrain.streams.shard.behaviour import BEHAVIOUR
from refrain.streams.shard.columns import SKIPS
from refrain.streams.shard.skips import skip_id
from refrain.streams.vectors import decode

JOURNAL, DOCUMENTS, DECISIONS = "journal", "documents", "decisions"
SHARED = (JOURNAL, DOCUMENTS, DECISIONS)
HOLES_TOLD_MAX = 10
SHARDS_MAX = 4_096
"""The most shards of an export: a first line that names more is not taken for one."""


class _Header(Part):
    name: str
    value: str | None


class _Row(Part):
    """A line: a record of the journal as `exporting.line_of` writes it."""

    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    timestamp_ms: int = Field(ge=0)
    key: str | None
    headers: tuple[_Header, ...]
    value: Any


class Hole(NamedTuple):
    """Offsets of a partition at which the file has no record."""

    partition: int
    first: int
    missing: int


@dataclass
class Checked:
    """What a file holds, once all of its lines have been checked."""

    records: int = 0
    holes: list[Hole] = field(default_factory=list)
    """Of more than one offset: a single one is where a transaction ended."""
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By partition: where its records stand in the file into which they were copied."""


class RecordedJournal(MemoryCluster):
    """The cluster of a recorded journal: beside that there are the skips of its shards, and nothing else."""

    def __init__(self, header: Header, checked: Checked, laid: Path) -> None:
        """`laid` is the file into which the records were copied, one partition after another."""
        super().__init__(lambda: header.exported_at_ms, dict.fromkeys(SHARED, header.shards), {JOURNAL: header.journal})
        self._offsets, self._spans, self._laid = header.offsets, checked.spans, laid
        rows = self.topic(DOCUMENTS).records
        for partition, skips in header.skips.items():
            for first, skip in skips:
                key = SKIPS.key(skip_id(first, skip.what))
                at = len(rows[partition])
                rows[partition].append(Record(DOCUMENTS, partition, at, 0, key, skip.encode()))

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        found = super().ends(topic)
        return {number: self._offsets.get(number, (0, 0)) for number in found} if topic == JOURNAL else found

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        if topic != JOURNAL:
            yield from super().scan(topic, partition, start, stop=stop)
            return
        for record in self._laid_records(partition):
            if stop():
                return
            if record.offset >= start:
                yield record

    def sift(self, topic: str, spans: Mapping[int, Span], wanted: Wanted | None = None) -> Iterator[Record]:
        if topic != JOURNAL:
            yield from super().sift(topic, spans, wanted)
            return
        for partition, span in spans.items():
            for record in self.scan(topic, partition, span.start):
                if record.offset < span.end and (wanted is None or wanted(record.key, record.value)):
                    yield record

    def reader(self, topic: str) -> MemoryReader:
        return _LaidReader(self) if topic == JOURNAL else super().reader(topic)

    def _laid_records(self, partition: int) -> Iterator[Record]:
        start, end = self._spans.get(partition, (0, 0))
        with self._laid.open("rb") as file:
            file.seek(start)
            while file.tell() < end:
                yield record_of(json.loads(file.readline()))


class _LaidReader(MemoryReader):
    """Reads a few records of the recorded journal."""

    def __init__(self, journal: RecordedJournal) -> None:
        super().__init__(journal, JOURNAL)
        self._journal = journal

    def read(self, partition: int, start: int, max_records: int) -> list[Record]:
        return list(islice(self._journal.scan(JOURNAL, partition, start), max_records))


@contextmanager
def recorded_journal(
    file: ExportFile, name: str, partitions: Sequence[int] | None
) -> Iterator[tuple[RecordedJournal, Checked]]:
    """The journal of an export, to fold these partitions (else all that it has), and what was found of it.

    Raises BadInput for a file that is not to be folded, with the line that is wrong: then nothing of it is read.
    """
    check_recording(file.header, name, partitions)
    with tempfile.TemporaryDirectory(prefix="refrain-recording-") as folder:
        laid = Path(folder) / "records"
        with laid.open("wb") as out:
            checked = _Check(file.header, name).lay(file, out)
        yield RecordedJournal(file.header, checked, laid), checked


def check_recording(header: Header, name: str, partitions: Sequence[int] | None) -> None:
    """Raises BadInput for a file from which no shard can be folded."""
    if header.kind != "journal":
        raise BadInput(f"{name} has entries: `refrain import` keeps them; a replay takes `refrain export journal`")
    if header.redacted:
        raise BadInput(f"{name} is redacted: it has digests in place of texts, of which a fold decides otherwise")
    if not 1 <= header.shards <= SHARDS_MAX or any(number >= header.shards for number in header.offsets):
        raise BadInput(f"{name}, line 1: {header.shards} shards, and ranges of {sorted(header.offsets)}")
    for number in header.offsets if partitions is None else partitions:
        if number not in header.offsets:
            there = ", ".join(map(str, sorted(header.offsets)))
            raise WrongValue(f"{name} has nothing of partition {number}: it has {there}")
        first = header.offsets[number][0]
        if first > 0:
            raise BadInput(
                f"{name} has partition {number} from offset {first} on: what came before is not in the file, and"
                " without it nothing there can be folded; export it without --from, or name others with --partition"
            )


def notes_on(header: Header, checked: Checked) -> list[str]:
    """What is to be known of a recorded journal before it is folded."""
    notes = []
    if header.behaviour != BEHAVIOUR:
        notes.append(f"{header.behaviour} exported it, and {BEHAVIOUR} folds it here: it may decide otherwise")
    if header.embedders:
        named = ", ".join(header.embedders)
        notes.append(f"its vectors are of {named}: to serve from the copy the settings must load that embedder")
    for partition, first, missing in checked.holes[:HOLES_TOLD_MAX]:
        notes.append(
            f"partition {partition}: nothing stands at the offsets {first} to {first + missing - 1}: transactions that"
            " were aborted, or records that were taken out before the export"
        )
    if len(checked.holes) > HOLES_TOLD_MAX:
        notes.append(f"and {len(checked.holes) - HOLES_TOLD_MAX} more such holes")
    return notes


def record_of(row: Any) -> Record:
    """The record of a line. Raises ValueError for what is none."""
    found = _Row.model_validate(row)
    headers = tuple((each.name, _bytes(each.value)) for each in found.headers)
    value = _value(found.value)
    return Record(JOURNAL, found.partition, found.offset, found.timestamp_ms, _bytes(found.key), value, headers)


class _Check:
    """Checks the lines of a file in their order."""

    def __init__(self, header: Header, name: str) -> None:
        self._header, self._name = header, name
        self._next: dict[int, int] = {}
        """By partition, in their order: the offset behind its last record."""
        self._dimensions: dict[str, int] = {}
        self._checked = Checked()

    def lay(self, file: ExportFile, out: IO[bytes]) -> Checked:
        """Lay the records into a file. Raises BadInput; for a file that was cut off or altered at its end."""
        for line in file.lines():
            where = f"{self._name}, line {line.number}"
            record = self._record(line, where)
            self._check_place(record, where, out)
            self._check_event(record, where)
            out.write(json.dumps(line.value, ensure_ascii=True).encode() + b"\n")
            self._checked.records += 1
        self._close_partition(out)
        for number, (first, end) in self._header.offsets.items():
            if number not in self._next:
                self._note_hole(number, first, end)
        return self._checked

    def _record(self, line: Line, where: str) -> Record:
        try:
            return record_of(line.value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)[0]
            raise BadInput(f"{where}: {'.'.join(map(str, found['loc']))}: {found['msg']}") from None
        except ValueError as error:
            raise BadInput(f"{where}: {error}") from None

    def _check_place(self, record: Record, where: str, out: IO[bytes]) -> None:
        number = record.partition
        if number not in self._header.offsets:
            raise BadInput(f"{where}: a record of partition {number}, which the first line does not name")
        first, end = self._header.offsets[number]
        if number not in self._next:
            self._close_partition(out)
            self._next[number] = first
            self._checked.spans[number] = out.tell(), out.tell()
        elif number != next(reversed(self._next)):
            raise BadInput(f"{where}: partition {number} goes on behind another one: the file was put together anew")
        expected = self._next[number]
        if not expected <= record.offset < end:
            raise BadInput(
                f"{where}: offset {record.offset} of partition {number}, where {expected} to {end - 1} may follow:"
                " a record stands twice, or elsewhere than it was"
            )
        self._note_hole(number, expected, record.offset)
        self._next[number] = record.offset + 1

    def _check_event(self, record: Record, where: str) -> None:
        """Check that a fold can go past it, and that its vector is of an embedder that the first line names."""
        try:
            event = decode_event(record.value or b"")
        except ValidationError:
            version = unknown_version_of(record.value or b"")
            if version is not None:
                raise BadInput(
                    f"{where}: a record of version {version}, which this Refrain does not read: upgrade it"
                ) from None
            # Not a journal record: live it became a dead letter, and does so again.
            return
        self._check_vector(event, where)

    def _check_vector(self, event: Event, where: str) -> None:
        if not isinstance(event, QuestionKey) or event.vector is None:
            return
        if event.embedder not in self._header.embedders:
            named = ", ".join(self._header.embedders) or "none"
            raise BadInput(f"{where}: a vector of the embedder {event.embedder}; the first line names {named}")
        try:
            count = len(decode(event.vector))
        except ValueError:
            raise BadInput(f"{where}: the vector is no vector of record") from None
        if self._dimensions.setdefault(event.embedder, count) != count:
            raise BadInput(
                f"{where}: a vector of {count} dimensions of the embedder {event.embedder}, among others of"
                f" {self._dimensions[event.embedder]}"
            )

    def _close_partition(self, out: IO[bytes]) -> None:
        """The lines of the last partition are over."""
        if self._next:
            number, behind = list(self._next.items())[-1]
            self._checked.spans[number] = self._checked.spans[number][0], out.tell()
            self._note_hole(number, behind, self._header.offsets[number][1])

    def _note_hole(self, partition: int, expected: int, found: int) -> None:
        if found - expected > 1:
            self._checked.holes.append(Hole(partition, expected, found - expected))


def _bytes(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("what should be base64 is none") from None


def _value(value: Any) -> bytes | None:
    """The bytes of a value: JSON objects stand as such, all else as base64."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    if value is None or isinstance(value, str):
        return _bytes(value)
    raise ValueError("the value is neither an object nor base64")
