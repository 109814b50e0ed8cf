"""Compares the changes that a shard committed to `documents` with those of a fold.

Compaction takes older values of a key away, and with them the ends of older commits. So what is left between two ends
is compared as one: the last value of each key there is the state of the fold at the second end. A key that the fold has
changed and that is missing there must come later, or have been overwritten: at the end the whole state is compared.
"""

from __future__ import annotations

from collections.abc import Iterable

from refrain.ops.audit.findings import Findings, Kind
from refrain.ops.audit.lockstep import Commit
from refrain.ops.audit.refold import PartitionFold
from refrain.ops.cluster.last_commit import meta_of
from refrain.schemas.documents import Meta
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.columns import META_KEY, SKIPS

_SKIPS = SKIPS.key("")


class Documents:
    """Comparison of one partition of `documents` with a fold, commit by commit."""

    def __init__(self, findings: Findings, begun: Iterable[bytes] = ()) -> None:
        """`begun` are the keys of the state that the fold begins with."""
        self._findings = findings
        self._live: set[bytes] = set(begun)
        """The keys that have a published value so far."""
        self._noted: set[bytes] = set()

    def compare(self, commit: Commit, folded: PartitionFold) -> None:
        """Compare a commit; the fold has come to its offset and no further."""
        folded.commit()
        for key, record in commit.changes.items():
            if key.startswith(_SKIPS):
                # The fold was given them: no journal record says them.
                continue
            self._findings.counts["documents"] += 1
            (self._live.discard if record.value is None else self._live.add)(key)
            mine = folded.shard.store.get(key)
            if not _same(key, record.value, mine):
                self._note(commit.next_offset, record, mine)

    def finish(self, next_offset: int, folded: PartitionFold) -> None:
        """Compare the whole state, when the last commit has been compared."""
        for key, _ in folded.shard.store.scan():
            if key not in self._live and key not in self._noted:
                self._findings.add(Kind.DOCUMENT_MISSING, next_offset, key.decode("utf-8", "replace"))

    def _note(self, next_offset: int, record: Record, mine: bytes | None) -> None:
        name = (record.key or b"").decode("utf-8", "replace")
        self._noted.add(record.key or b"")
        if mine is None:
            self._findings.add(Kind.DOCUMENT_INSERTED, next_offset, name)
        elif record.value is None:
            self._findings.add(Kind.DOCUMENT_MISSING, next_offset, name)
        else:
            self._findings.add(Kind.DOCUMENT_DIFFERS, next_offset, name, record.value, mine)


def _same(key: bytes, published: bytes | None, folded: bytes | None) -> bool:
    if key != META_KEY or published is None or folded is None:
        return published == folded
    # Another version of the fold may have written it: decisions say so, and one note is enough.
    left, right = meta_of(published), Meta.decode(folded)
    return left is not None and left == right.model_copy(update={"behaviour": left.behaviour})
