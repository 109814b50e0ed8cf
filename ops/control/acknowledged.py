"""Acknowledgements of a command: who has acknowledged it, and who is missing. Pure; `client` does the I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from refrain.ops.terminal.output import counted
from refrain.schemas.acknowledgements import Acknowledgement

SHARD = "lookup"
"""The processor that acknowledges for shards; its workers are called by their numbers."""
NAMED_MAX = 12
"""Shards that a message names one by one."""


class GroupProgress(NamedTuple):
    """Consumer group as the broker reports it."""

    members: frozenset[str] = frozenset()
    settled: bool = True
    """False while it rebalances: then nobody knows who its members will be."""


class Workers(NamedTuple):
    """Workers of one processor that have not acknowledged, of how many."""

    missing: int
    of: int
    settled: bool


class Progress(NamedTuple):
    """Progress of a command: the acknowledgements still missing."""

    shards_missing: tuple[int, ...]
    shards: int
    workers: Mapping[str, Workers]

    @property
    def complete(self) -> bool:
        """Whether everybody acts by the command."""
        return not self.shards_missing and all(each.settled and not each.missing for each in self.workers.values())

    def summary(self) -> str:
        """Progress on one line."""
        parts = [f"{self.shards - len(self.shards_missing)} of {counted(self.shards, 'shard')}"]
        parts += [f"{each.of - each.missing} of {each.of} {name}" for name, each in self.workers.items()]
        return ", ".join(parts)

    def missing(self) -> str:
        """Missing acknowledgements as a clause; empty when there are none."""
        silent = [_shards(self.shards_missing, self.shards)] if self.shards_missing else []
        silent += [f"{w.missing} of {counted(w.of, f'{name} worker')}" for name, w in self.workers.items() if w.missing]
        count = len(self.shards_missing) + sum(each.missing for each in self.workers.values())
        clauses = [f"{' and '.join(silent)} {'has' if count == 1 else 'have'} not acknowledged"] if silent else []
        clauses += [f"the group of {name} is not settled" for name, each in self.workers.items() if not each.settled]
        return ", and ".join(clauses)


class Acknowledged:
    """Acknowledgements of one command, collected from the records of `acknowledgements`."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._done: set[tuple[str, str]] = set()

    def add(self, value: bytes | None) -> None:
        """Add one record; one that cannot be read is nobody's acknowledgement."""
        if value is None:
            return
        try:
            said = Acknowledgement.decode(value)
        except ValidationError:
            return
        if said.version >= self._version:
            self._done.add((said.processor, said.worker))

    def progress(self, partitions: Iterable[int], groups: Mapping[str, GroupProgress]) -> Progress:
        """Progress against the shards and the groups (by processor) as they are now."""
        numbers = sorted(partitions)
        return Progress(
            shards_missing=tuple(number for number in numbers if (SHARD, str(number)) not in self._done),
            shards=len(numbers),
            workers={name: self._workers(name, group) for name, group in groups.items()},
        )

    def _workers(self, name: str, group: GroupProgress) -> Workers:
        missing = sum((name, member) not in self._done for member in group.members)
        return Workers(missing, len(group.members), group.settled)


def _shards(missing: tuple[int, ...], of: int) -> str:
    if len(missing) == of:
        return f"all {of} shards" if of > 1 else "the only shard"
    if len(missing) > NAMED_MAX:
        return f"{len(missing)} of {of} shards"
    return ("shard " if len(missing) == 1 else "shards ") + ", ".join(map(str, missing))
