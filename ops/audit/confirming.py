"""Index of a fold that is repeated: what an approximate search found is taken from the decision and confirmed exactly.

Where a namespace is past the switch to HNSW, what the live search found depends on how its graph grew. There the fold
takes the candidates that the published decision names, after it has made sure of each (alive, in the namespace, as
similar as was said, by integer arithmetic); and it scans as well, to count what the index did not find. What will be
looked for may be told ahead: then large tables are scanned for many questions at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from refrain.ops.audit.lockstep import Found, FoundCandidate
from refrain.ops.audit.sampling import Sample
from refrain.ops.audit.scanning import AHEAD_FROM, ScanningTables
from refrain.schemas.decisions import Candidate, Decision
from refrain.schemas.journal import Asked
from refrain.streams.messaging.ids import parse_entry_id
from refrain.streams.messaging.shards import space_of
from refrain.streams.shard.columns import ENTRIES, entry_id
from refrain.streams.shard.index.entries import EntryIndex, IndexedEntry, namespace_of
from refrain.streams.shard.index.vector_tables import QueryVector, Search, VectorMatch, query_of
from refrain.streams.shard.state import Shard

Searched = tuple[Search | None, list[tuple[VectorMatch, IndexedEntry]]]
Published = Decision | Found
"""A published decision, or what it says of an approximate search."""


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


class ConfirmingIndex(EntryIndex):
    """Index of a shard's entries, searched by what the published decisions say that they found."""

    shard: Shard
    """The shard whose entries they are; it is set when the shard has been made."""

    def __init__(self, findings: IndexFindings, sample: Sample | None = None) -> None:
        """With a `sample`, only for its decisions all is scanned: that takes longest in a large namespace."""
        super().__init__(self._made)
        self._findings = findings
        self._sample = sample
        self.published: Sequence[Published] = ()
        """The published decisions of the record that is being folded."""
        self._scanning: list[ScanningTables] = []
        self._coming: dict[bytes, list[str]] = {}
        """By namespace: the vectors of the questions that come next."""

    def expect(self, coming: Iterable[Asked]) -> None:
        """Tell which questions come next, in their order, in place of those of the last call."""
        for tables in self._scanning:
            tables.expect_nothing()
        self._coming = {}
        for asked in coming:
            space = self._space(asked)
            if asked.vector is not None and space is not None and self._is_scanned(space, asked.id):
                self._coming.setdefault(space, []).append(asked.vector)

    def _space(self, asked: Asked) -> bytes | None:
        """The namespace in which a question will be looked for, if no policy comes before it."""
        policy = None if self.shard.policy is None else self.shard.policy.policy.of(asked.category)
        if policy is None:
            return None
        return namespace_of(space_of(asked, policy), asked.category, asked.embedder, asked.context)

    def _is_scanned(self, space: bytes, decision_id: str) -> bool:
        return self._sample is None or not self._is_ann(space) or self._sample.holds(decision_id)

    def _made(self, dim: int) -> ScanningTables:
        made = ScanningTables(dim)
        self._scanning.append(made)
        return made

    def nearest(self, space: bytes, query: QueryVector, count: int, floor: float, ef: int) -> Searched:
        namespace = space.hex()
        live = next((each for each in self.published if each.search == "ann" and each.namespace == namespace), None)
        if live is not None and self._sample is not None and not self._sample.holds(live.id) and self._is_ann(space):
            return "ann", self._all_confirmed(live, space, query)
        self._look_ahead(space)
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

    def _look_ahead(self, space: bytes) -> None:
        """Tell the table of a namespace what comes next, once it is large enough to gain by it."""
        place = self.namespaces.place(space) if space in self._coming else None
        if place is None or len(place[1]) < AHEAD_FROM or not isinstance(place[0], ScanningTables):
            return
        place[0].expect(place[1], _queries(self._coming.pop(space), place[0].dim))

    def _is_ann(self, space: bytes) -> bool:
        place = self.namespaces.place(space)
        return place is not None and place[1].search == "ann"

    def _all_confirmed(
        self, live: Published, space: bytes, query: QueryVector
    ) -> list[tuple[VectorMatch, IndexedEntry]]:
        found = [self._confirmed(live, space, query, candidate) for candidate in live.candidates]
        return [each for each in found if each is not None]

    def _confirmed(
        self, live: Published, space: bytes, query: QueryVector, candidate: Candidate | FoundCandidate
    ) -> tuple[VectorMatch, IndexedEntry] | None:
        """The candidate as the state has it; None, and noted, where it is not what the decision says."""
        why, found = self._checked(space, query, candidate)
        if why:
            self._findings.wrong.append(f"{live.id}: {candidate.entry_id}{why}")
        return found

    def _checked(
        self, space: bytes, query: QueryVector, candidate: Candidate | FoundCandidate
    ) -> tuple[str, tuple[VectorMatch, IndexedEntry] | None]:
        place = parse_entry_id(candidate.entry_id)
        if place is None:
            return " is the id of no entry", None
        indexed = self.by_id(place.offset)
        if indexed is None or self.shard.document(ENTRIES, entry_id(place.offset)) is None:
            return " is not alive", None
        similarity = self._similarity(space, indexed, query)
        if similarity is None:
            return " is of another namespace", None
        if similarity != candidate.similarity:
            return f": {similarity}, not {candidate.similarity}", None
        return "", (VectorMatch(indexed.row, similarity), indexed)

    def _similarity(self, space: bytes, indexed: IndexedEntry, query: QueryVector) -> float | None:
        place = self.namespaces.place(space)
        if place is None or not isinstance(place[0], ScanningTables):
            return None
        return place[0].similarity(place[1], indexed.row, query)


def _queries(vectors: Iterable[str], dim: int) -> list[QueryVector]:
    """The vectors that can be compared with those of so many dimensions: of others their own record tells."""
    out = []
    for vector in vectors:
        try:
            query = query_of(vector)
        except ValueError:
            continue
        if len(query.ints) == dim:
            out.append(query)
    return out
