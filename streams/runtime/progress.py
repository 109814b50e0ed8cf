"""Progress of the workers of this machine: which records are in hand, so that one which ends its worker is found.

A file in `state_dir` for each group and topic, mapped into memory, with a slot for each partition. Before a batch its
first and last offset are noted, after it they are taken back: what is written there outlives the process and costs no
call of the system. Whoever is given a partition whose last owner ended with records in hand works these one at a time.
A record at which a worker ends then has ended two, and is set aside.

The file is shared by all workers of this machine that read the topic; a partition has one owner at a time.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from refrain.streams.errors import ClusterFailed, WrongSetup
from refrain.streams.kafka.interface import Record

logger = logging.getLogger(__name__)

SET_ASIDE_MAX = 16
"""How many offsets a partition remembers as set aside: those that no commit has passed yet."""
_SLOT = struct.Struct(f"<q3q{SET_ASIDE_MAX}qq")
_SIZE = 256


class Stage(IntEnum):
    """What a slot says of the records in it."""

    IDLE = 0
    BATCH = 1
    """A batch is in hand."""
    SINGLE = 2
    """One record is in hand, which was part of a batch that ended a worker."""
    TELLING = 3
    """A record that was set aside is read once more, to tell its requester."""


class _Slot(NamedTuple):
    stage: int
    first: int
    last: int
    careful_to: int
    """The offset behind the last record that is worked by itself."""
    set_aside: tuple[int, ...]
    silent_to: int = 0
    """The offset behind the last record that ended a worker even then: nobody is told of those below it."""


_EMPTY = _Slot(Stage.IDLE, 0, 0, 0, ())


class Progress:
    """The progress of the partitions of one worker. Without a file nothing is noted, and nothing is set aside."""

    def __init__(self, place: Path | None, partitions: int) -> None:
        """Open or make the file at `place`, with a slot for each of so many partitions; without a place for none."""
        self._memory = None if place is None else _mapped(place, partitions * _SIZE)
        self._careful_to: dict[int, int] = {}
        self._set_aside: dict[int, tuple[int, ...]] = {}
        self._silent_to: dict[int, int] = {}

    def assigned(self, partitions: Sequence[int]) -> None:
        """Take over partitions: find what their last owners had in hand when they ended."""
        for partition in partitions:
            slot = self._read(partition)
            if slot.stage == Stage.SINGLE and slot.first not in slot.set_aside:
                aside = (*slot.set_aside, slot.first)[-SET_ASIDE_MAX:]
                slot = slot._replace(set_aside=aside)
                logger.error("partition %d: the record at offset %d is set aside", partition, slot.first)
            if slot.stage == Stage.BATCH:
                slot = slot._replace(careful_to=max(slot.careful_to, slot.last + 1))
                logger.warning(
                    "partition %d: a worker ended with the records %d to %d in hand: they are worked one at a time",
                    partition,
                    slot.first,
                    slot.last,
                )
            if slot.stage == Stage.TELLING:
                slot = slot._replace(silent_to=max(slot.silent_to, slot.first + 1))
            slot = slot._replace(stage=Stage.IDLE)
            self._write(partition, slot)
            self._silent_to[partition] = slot.silent_to
            self._careful_to[partition] = slot.careful_to
            self._set_aside[partition] = slot.set_aside

    def released(self, partitions: Sequence[int]) -> None:
        """Give partitions back."""
        for partition in partitions:
            self._careful_to.pop(partition, None)
            self._set_aside.pop(partition, None)
            self._silent_to.pop(partition, None)

    def follow(self, owned: Collection[int]) -> None:
        """Take over what is owned and was not, and give back what is owned no more: for who hears of no rebalance."""
        new = [partition for partition in owned if partition not in self._careful_to]
        if new:
            self.assigned(new)
        if len(self._careful_to) != len(owned):
            self.released([partition for partition in list(self._careful_to) if partition not in owned])

    def has(self, partition: int) -> bool:
        """Whether the partition was taken over, and not given back since."""
        return partition in self._careful_to

    def set_aside(self, partition: int) -> tuple[int, ...]:
        """Offsets of records that have ended a worker twice."""
        return self._set_aside.get(partition, ())

    def is_set_aside(self, record: Record) -> bool:
        """Whether the record has ended a worker twice."""
        return record.offset in self._set_aside.get(record.partition, ())

    def runs(self, batch: Sequence[Record]) -> list[Sequence[Record]]:
        """The batch in parts that are worked one after another: as a rule, all of it."""
        if not batch or not any(self._careful_to.values()):
            return [batch]
        parts: list[Sequence[Record]] = []
        together: list[Record] = []
        for record in batch:
            if self.is_careful(record.partition, record.offset):
                parts += [together, [record]] if together else [[record]]
                together = []
            else:
                together.append(record)
        return [*parts, together] if together else parts

    @contextmanager
    def in_hand(self, batch: Sequence[Record]) -> Iterator[None]:
        """Note a batch while it is worked: what ends the worker is its fault, unless a cluster or a setup fails."""
        if self._memory is None or not batch:
            yield
            return
        noted = self._note(batch)
        try:
            yield
        except (ClusterFailed, WrongSetup, KeyboardInterrupt):
            self._take_back(noted)
            raise
        self._take_back(noted)

    @contextmanager
    def telling(self, record: Record) -> Iterator[bool]:
        """While a record that is set aside is read for whoever waits for it. False: it must not be.

        One that ends its worker then as well is not read again, nor are those before it.
        """
        partition = record.partition
        if self._memory is None or record.offset < self._silent_to.get(partition, 0):
            yield self._memory is None
            return
        before = self._read(partition)
        self._write(partition, self._slot_of(partition, record.offset)._replace(stage=Stage.TELLING))
        yield True
        self._write(partition, before)

    def is_careful(self, partition: int, offset: int) -> bool:
        """Whether a worker may have ended at this record, so that it is to be worked by itself."""
        return offset < self._careful_to.get(partition, 0)

    def begin_step(self, partition: int, offset: int, last: int | None = None) -> None:
        """Note that a step of a record's work runs; a record of which one ends the worker is worked a second time.

        With `last` the step is one of all records up to that offset.
        """
        if self.has(partition):
            self._write(partition, self._slot_of(partition, offset, last))

    def end_step(self, partition: int, offset: int) -> None:
        """The step is over, and others follow."""
        if self.has(partition):
            self._write(partition, self._slot_of(partition, offset)._replace(stage=Stage.IDLE))

    def withdraw(self, partitions: Sequence[int]) -> None:
        """Give partitions back whose records may be in hand: nothing stays noted of what another worker works."""
        for partition in partitions:
            if self.has(partition):
                self._write(partition, self._read(partition)._replace(stage=Stage.IDLE))
        self.released(partitions)

    def end_steps(self, partition: int, offset: int) -> None:
        """The last step of the record's work is over."""
        if not self.has(partition):
            return
        slot = self._slot_of(partition, offset)
        # Records end in any order: only the one at which a worker ended is past that.
        past = offset == slot.careful_to - 1
        self._careful_to[partition] = 0 if past else slot.careful_to
        self._write(partition, slot._replace(stage=Stage.IDLE, careful_to=self._careful_to[partition]))

    def close(self) -> None:
        """Close the file."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _note(self, batch: Sequence[Record]) -> dict[int, _Slot]:
        last = {record.partition: record.offset for record in batch}
        first = {record.partition: record.offset for record in reversed(batch)}
        noted: dict[int, _Slot] = {}
        for partition, offset in first.items():
            noted[partition] = self._slot_of(partition, offset, last[partition])
            self._write(partition, noted[partition])
        return noted

    def _slot_of(self, partition: int, first: int, last: int | None = None) -> _Slot:
        """What is noted while the records from the offset `first` to `last` are in hand."""
        careful_to = self._careful_to.get(partition, 0)
        stage = Stage.SINGLE if first < careful_to else Stage.BATCH
        end, silent_to = first if last is None else last, self._silent_to.get(partition, 0)
        return _Slot(stage, first, end, careful_to, self.set_aside(partition), silent_to)

    def _take_back(self, noted: dict[int, _Slot]) -> None:
        for partition, slot in noted.items():
            if slot.careful_to and slot.last >= slot.careful_to - 1:
                # Past all that was in hand when a worker ended; who reads it again works it as ever.
                slot = slot._replace(careful_to=0)
                self._careful_to[partition] = 0
            self._write(partition, slot._replace(stage=Stage.IDLE))

    def _has_slot(self, partition: int) -> bool:
        """Whether there is a slot: a topic may be given partitions while a worker runs."""
        return self._memory is not None and (partition + 1) * _SIZE <= len(self._memory)

    def _read(self, partition: int) -> _Slot:
        if self._memory is None or not self._has_slot(partition):
            return _EMPTY
        stage, first, last, careful_to, *aside, silent_to = _SLOT.unpack_from(self._memory, partition * _SIZE)
        # Offsets are kept one higher, so that a slot of zeros is an empty one.
        return _Slot(stage, first, last, careful_to, tuple(each - 1 for each in aside if each), silent_to)

    def _write(self, partition: int, slot: _Slot) -> None:
        if self._memory is None or not self._has_slot(partition):
            return
        aside = [each + 1 for each in slot.set_aside] + [0] * (SET_ASIDE_MAX - len(slot.set_aside))
        _SLOT.pack_into(self._memory, partition * _SIZE, *slot[:4], *aside, slot.silent_to)


def progress_of(state_dir: Path, group: str, topic_id: str, partitions: int) -> Progress:
    """The progress of a group's workers of this machine on one incarnation of a topic.

    Where the state folder takes no file, nothing is noted, and the log says so.
    """
    try:
        folder = state_dir / "progress"
        folder.mkdir(parents=True, exist_ok=True)
        return Progress(folder / f"{group}.{topic_id}", partitions)
    except OSError as error:
        logger.warning("what is in hand is not noted in %s: %s", state_dir, error.strerror)
        return Progress(None, partitions)


def _mapped(place: Path, size: int) -> mmap.mmap:
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Room on the disk for all of it: memory without it would end the process.
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
