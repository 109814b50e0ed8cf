"""Index of a fold that is repeated: what an approximate search found is taken from the decision and confirmed exactly.

Where a namespace is past the switch to HNSW, what the live search found depends on how its graph grew. There the fold
takes the candidates that the published decision names, after it has made sure of each (alive, in the namespace, as
similar as was said, by integer arithmetic); and it scans as well, to count what the index did not find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from refrain.ops.audit.sampling import Sample
from refrain.schemas.decisions import Candidate, Decision
from refrain.streams.messaging.ids import parse_entry_id
from refrain.streams.shard.columns import ENTRIES, entry_id
from refrain.streams.shard.index.entries import EntryIndex, IndexedEntry, namespace_of_key
from refrain.streams.shard.index.vector_tables import QueryVector, Search, Table, Tables, VectorMatch, query_of
from refrain.streams.shard.state import Shard
from refrain.streams.vectors import cosine

Searched = tuple[Search | None, list[tuple[VectorMatch, IndexedEntry]]]


@dataclass
class IndexFindings:
    """Findings about the approximate index of the live shard."""

    searched: int = 0
    """Searches of an HNSW."""
    missed: int = 0
    """Searches that found nothing, where an exact one finds an entry at or above the threshold."""
    lesser: int = 0
    """Searches that found an entry at or above the threshold, where an exact one finds a better."""
    wrong: list[str] = field(default_factory=list)
    """Candidates of published decisions that are not what was said of them."""


class ScanningTables(Tables):
    """Tables that say that they search an HNSW, and go on scanning."""

    def become_ann(self, table: Table, ef: int) -> None:
        table.search = "ann"

    def build(self, table: Table, rows: npt.NDArray[np.int32], ints: npt.NDArray[np.int16], threads: int) -> None:
        for row, vector in zip(rows.tolist(), ints, strict=True):
            self.add(table, row, QueryVector.of(vector))


class ConfirmingIndex(EntryIndex):
    """Index of a shard's entries, searched by what the published decisions say that they found."""

    shard: Shard
    """The shard whose entries they are; it is set when the shard has been made."""

    def __init__(self, findings: IndexFindings, sample: Sample | None = None) -> None:
        """With a `sample`, only for its decisions all is scanned: that takes longest in a large namespace."""
        super().__init__(ScanningTables)
        self._findings = findings
        self._sample = sample
        self.published: Sequence[Decision] = ()
        """The published decisions of the record that is being folded."""

    def nearest(self, space: bytes, query: QueryVector, count: int, floor: float, ef: int) -> Searched:
        namespace = space.hex()
        live = next((each for each in self.published if each.search == "ann" and each.namespace == namespace), None)
        if live is not None and self._sample is not None and not self._sample.holds(live.id) and self._is_ann(space):
            return "ann", self._all_confirmed(live, space, query)
        search, truth = super().nearest(space, query, count, floor, ef)
        if search != "ann" or live is None:
            return search, truth
        confirmed = self._all_confirmed(live, space, query)
        best = confirmed[0][0].similarity if confirmed else -1.0
        threshold = live.threshold or 0.0
        self._findings.searched += 1
        if truth and truth[0][0].similarity > best and truth[0][0].similarity >= threshold:
            if best >= threshold:
                self._findings.lesser += 1
            else:
                self._findings.missed += 1
        return search, confirmed

    def _is_ann(self, space: bytes) -> bool:
        place = self.namespaces.place(space)
        return place is not None and place[1].search == "ann"

    def _all_confirmed(
        self, live: Decision, space: bytes, query: QueryVector
    ) -> list[tuple[VectorMatch, IndexedEntry]]:
        found = [self._confirmed(live, space, query, candidate) for candidate in live.candidates]
        return [each for each in found if each is not None]

    def _confirmed(
        self, live: Decision, space: bytes, query: QueryVector, candidate: Candidate
    ) -> tuple[VectorMatch, IndexedEntry] | None:
        """The candidate as the state has it; None, and noted, where it is not what the decision says."""
        why, found = self._checked(space, query, candidate)
        if why:
            self._findings.wrong.append(f"{live.id}: {candidate.entry_id}{why}")
        return found

    def _checked(
        self, space: bytes, query: QueryVector, candidate: Candidate
    ) -> tuple[str, tuple[VectorMatch, IndexedEntry] | None]:
        place = parse_entry_id(candidate.entry_id)
        if place is None:
            return " is the id of no entry", None
        indexed = self.by_id(place.offset)
        if indexed is None or self.shard.document(ENTRIES, entry_id(place.offset)) is None:
            return " is not alive", None
        entry = self.shard.entry(indexed)
        if entry.vector is None or namespace_of_key(entry) != space:
            return " is of another namespace", None
        theirs = query_of(entry.vector)
        similarity = cosine(int(theirs.wide @ query.wide), theirs.norm, query.norm)
        if similarity != candidate.similarity:
            return f": {similarity}, not {candidate.similarity}", None
        return "", (VectorMatch(indexed.row, similarity), indexed)
