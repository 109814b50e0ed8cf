"""Audits one partition: folds its journal again, in step with what its shard published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from refrain.ops.audit.beginning import begin_at, first_decision
from refrain.ops.audit.documents import Documents
from refrain.ops.audit.effects import Effects
from refrain.ops.audit.findings import Findings, Kind
from refrain.ops.audit.limits import Asked
from refrain.ops.audit.lockstep import Commit, Decisions, PublishedDecision, commits, found_live, merged
from refrain.ops.audit.refold import PartitionFold, read_ahead
from refrain.ops.audit.sampling import Sample
from refrain.ops.audit.seal.model import SealedPartition, SealedState
from refrain.ops.audit.seal.sealing import LogSealing
from refrain.ops.cluster.last_commit import journal_id, last_meta
from refrain.ops.control.known_names import is_of
from refrain.schemas.journal import Answered, AnswerFailed, AnswerWithheld, Event
from refrain.schemas.responses import Outcome
from refrain.streams.errors import JournalUnreadable, ShardBroken, StoreDamaged
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.shard.behaviour import BEHAVIOUR, is_of_this_version
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.snapshots.shelf import Shelf


@dataclass(frozen=True)
class Audited:
    """Result of auditing one partition."""

    findings: Findings
    first: int
    """The journal's first offset."""
    end: int
    """The journal offset up to which the shard has committed, and the audit has folded."""
    state: str
    """Digest of the state there."""
    other_version: str = ""
    """The version of fold, guards or rules that decided from `other_version_from` on, where it is not this one."""
    other_version_from: int = 0
    """The journal offset from which on nothing is compared: another version gives another state."""
    index_searched: int = 0
    index_missed: int = 0
    index_lesser: int = 0
    sealed: SealedPartition | None = None
    """What stands in journal and decisions, when it was asked for."""
    begun_at: int = 0
    """The journal offset at which the fold began."""
    snapshot: str = ""
    """The snapshot that it began from; empty: it began with nothing."""

    copy_of: str = ""
    """The topic id of the journal that the shard folded, where this one is another: a copy of it."""

    @property
    def is_cut(self) -> bool:
        """Whether the journal begins behind where the fold would have to: nothing is compared then."""
        return self.first > self.begun_at


NO_OFFSET = -1
SAMPLE_COMMIT_RECORDS = 5_000
"""Beside a sample, changes of `documents` are compared as of every so many journal records, not of every commit."""


class PartitionAudit:
    """Audit of one partition."""

    def __init__(
        self,
        cluster: Cluster,
        partition: int,
        effects: Effects | None,
        findings: Findings,
        *,
        sample: Sample | None = None,
        seal: bool = False,
        shelf: Shelf | None = None,
        from_ms: int = 0,
    ) -> None:
        """Of a `sample` alone decisions are compared. With `seal` what is read is sealed too, to the end of both logs.

        `effects` are of the same sample. With a `shelf` it begins from the newest snapshot of the shard there, made no
        later than `from_ms` (0: ever).
        """
        self._cluster = cluster
        self._sample = sample
        self._partition = partition
        self._effects = effects
        self._findings = findings
        self._beginning = begin_at(cluster, partition, shelf, from_ms, sample)
        at = self._beginning.fold.begun_at
        self._documents = Documents(findings, (key for key, _ in self._beginning.fold.shard.store.scan()))
        self._other_version = ""
        self._other_version_from = 0
        self._compared_to = at
        """The journal offset of the last commit that was compared."""
        self._decided_from = first_decision(cluster, partition, at)
        self._journal = cluster.scan("journal", partition, at)
        self._decisions = cluster.scan("decisions", partition, self._decided_from)
        self._sealing = (LogSealing("journal", partition), LogSealing("decisions", partition)) if seal else None
        if self._sealing is not None:
            self._journal = self._sealing[0].watch(self._journal)
            self._decisions = self._sealing[1].watch(self._decisions)

    def run(self, asked: Asked, progressed: Callable[[int], None] = lambda _: None) -> Audited:
        """Fold and compare from where it begins to the last record that the shard has committed.

        `progressed` is called with each offset. A journal whose first records are gone cannot be folded without a
        snapshot: then `first` says where it begins, and nothing is compared.
        """
        cluster, partition = self._cluster, self._partition
        meta = last_meta(cluster, partition)
        (first, log_end), end = cluster.ends("journal")[partition], 0 if meta is None else meta.next_offset
        if log_end < end:
            self._findings.add(
                Kind.JOURNAL_ENDS_EARLY, log_end, f"it ends there, and its shard has folded {end}: what follows is gone"
            )
        folds, fold = journal_id(cluster, meta), self._beginning.fold
        folded = first <= fold.begun_at and self._all(fold, asked, end, progressed)
        whole = folded and not self._other_version
        state = SealedState(offset=end, digest=fold.digest()) if whole else None
        return Audited(
            self._findings,
            first,
            end,
            fold.digest(),
            self._other_version,
            self._other_version_from,
            fold.index.searched,
            fold.index.missed,
            fold.index.lesser,
            self._sealed(state, progressed),
            fold.begun_at,
            self._beginning.name,
            "" if folds == cluster.topic_id("journal") else folds,
        )

    def _sealed(self, state: SealedState | None, progressed: Callable[[int], None]) -> SealedPartition | None:
        """The seal of both logs, when what the fold did not need of them has been read too."""
        if self._sealing is None:
            return None
        for record in self._journal:
            progressed(record.offset)
        for _ in self._decisions:
            pass
        journal, decisions = self._sealing
        return SealedPartition(journal=journal.finish(), decisions=decisions.finish(), state=state)

    def _all(self, fold: PartitionFold, asked: Asked, end: int, progressed: Callable[[int], None]) -> bool:
        """Fold and compare all. Returns whether every record could be folded."""
        decisions, ends = self._published(fold.begun_at), self._commits(end)
        due = next(ends, None)
        for record, event in read_ahead(self._journal, fold):
            while due is not None and record.offset >= due.next_offset:
                self._compare_commit(due, fold)
                due = next(ends, None)
            if record.offset >= end:
                break
            if not self._one(fold, record, event, decisions, asked):
                return False
            progressed(record.offset)
        while due is not None:
            self._compare_commit(due, fold)
            due = next(ends, None)
        self._finish(fold, decisions, end)
        return True

    def _published(self, begun_at: int) -> Decisions:
        """The decisions of records from `begun_at` on."""
        log_first = self._cluster.ends("decisions")[self._partition][0]
        # Nothing is gone by retention where the log begins with its first offset.
        whole = log_first == 0 or self._decided_from > log_first
        decisions = Decisions(self._decisions, begun_at if whole else None)
        # Those of records before the beginning, which a seek does not leave out to the last.
        decisions.up_to(begun_at - 1)
        return decisions

    def _commits(self, end: int) -> Iterator[Commit]:
        """The commits of `documents` up to `end`, some of them together where a sample is compared."""
        documents = self._cluster.scan("documents", self._partition, self._beginning.documents_offset)
        ends = _ahead(commits(documents, self._note_commit), end)
        return ends if self._sample is None else merged(ends, SAMPLE_COMMIT_RECORDS)

    def _finish(self, fold: PartitionFold, decisions: Decisions, end: int) -> None:
        """Note what the end shows: what was published of nothing, what is missing, what the index found wrong."""
        compared = end if not self._other_version else self._other_version_from
        if not self._other_version:
            self._documents.finish(end, fold)
        rest = [each for each in decisions.rest() if each.offset >= end]
        if rest and last_meta(self._cluster, self._partition) is None:
            what = f"meta/meta: {len(rest)} decisions are published, and `documents` has no commit of their shard"
            self._findings.add(Kind.DOCUMENT_MISSING, NO_OFFSET, what)
        log_end = max(end, self._cluster.ends("journal")[self._partition][1])
        if self._effects is not None:
            self._effects.finish(fold.begun_at, compared, log_end)
        for each in rest:
            if each.offset >= log_end:
                self._findings.add(Kind.DECISION_INSERTED, each.offset, _id_of(each))
        for wrong in fold.index.wrong:
            self._findings.add(Kind.CANDIDATE_WRONG, NO_OFFSET, wrong)

    def _one(
        self, fold: PartitionFold, record: Record, event: Event | None, decisions: Decisions, asked: Asked
    ) -> bool:
        """Fold and compare one record. Returns whether the fold can go on."""
        published = decisions.up_to(record.offset)
        try:
            folded = fold.fold(record, found_live(published), event)
        except (JournalUnreadable, ShardBroken, StoreDamaged) as error:
            self._findings.add(Kind.CANNOT_FOLD, record.offset, str(error))
            return False
        self._findings.counts["records"] += 1
        if record.flaw is not None:
            self._findings.add(Kind.UNREADABLE, record.offset, record.flaw)
        self._note_version(published, record.offset)
        judged = asked.holds(record.timestamp_ms) and not self._other_version
        gone = decisions.first is None or record.offset < decisions.first
        if judged:
            self._compare_decisions(published, folded, record.offset, asked.category, gone=gone)
        if self._effects is not None:
            self._compare_effects(self._effects, folded, record, event, judged=judged)
        return True

    def _compare_decisions(
        self, published: list[PublishedDecision], folded: FoldResult, offset: int, category: str | None, *, gone: bool
    ) -> None:
        if self._sample is not None:
            published = [each for each in published if self._sample.holds(_id_of(each))]
        live = {_id_of(each): each for each in published}
        if len(live) < len(published):
            self._findings.add(Kind.DECISION_INSERTED, offset, "a decision stands twice")
        for decision in folded.decisions:
            if self._sample is not None and not self._sample.holds(decision.id):
                continue
            if not is_of(decision.category, category):
                live.pop(decision.id, None)
                continue
            found = live.pop(decision.id, None)
            if found is None and gone:
                self._findings.counts["decisions_gone"] += 1
            elif found is None:
                self._findings.add(Kind.DECISION_MISSING, offset, decision.id)
            else:
                self._findings.counts["decisions"] += 1
                mine = decision.encode()
                if found.record.value != mine or found.offset != offset:
                    self._findings.add(Kind.DECISION_DIFFERS, offset, decision.id, found.record.value or b"", mine)
        for id_, found in live.items():
            if category is None:
                self._findings.add(Kind.DECISION_INSERTED, found.offset, id_)

    def _note_commit(self, record: Record) -> None:
        """Note what is by no shard: the end of a commit that cannot be read, or was deleted, or a batch that cannot."""
        if record.flaw is not None:
            self._findings.add(Kind.UNREADABLE, NO_OFFSET, f"documents[{record.partition}]: {record.flaw}")
            return
        what = f"meta/meta, which cannot be read at documents[{record.partition}] offset {record.offset}"
        if record.value is None:
            what = f"meta/meta, which is deleted at documents[{record.partition}] offset {record.offset}"
        self._findings.add(Kind.DOCUMENT_DIFFERS, NO_OFFSET, what)

    def _note_version(self, published: list[PublishedDecision], offset: int) -> None:
        told = [each.behaviour for each in published if each.behaviour is not None]
        other = [behaviour for behaviour in told if not is_of_this_version(behaviour)]
        if other and not self._other_version:
            self._other_version, self._other_version_from = other[0], offset

    def _compare_commit(self, commit: Commit, fold: PartitionFold) -> None:
        version = commit.behaviour
        if version != BEHAVIOUR and not self._other_version:
            # All since the commit before it may be of that version.
            self._other_version, self._other_version_from = version, self._compared_to
        if not self._other_version:
            self._documents.compare(commit, fold)
            self._compared_to = commit.next_offset

    def _compare_effects(
        self, effects: Effects, folded: FoldResult, record: Record, event: Event | None, *, judged: bool
    ) -> None:
        likely = [decision.id for decision in folded.decisions]
        if isinstance(event, Answered | AnswerFailed):
            likely.append(event.forward_id)
        for effect in folded.effects:
            effects.compare(effect, record, likely, judged=judged)
        for decision in folded.decisions:
            if decision.outcome is Outcome.BYPASS:
                effects.explain(decision.id)
        if isinstance(event, AnswerWithheld):
            effects.explain(event.forward_id)


def _id_of(published: PublishedDecision) -> str:
    return published.record.flaw or (published.record.key or b"").decode("utf-8", "replace")


def _ahead(found: Iterator[Commit], end: int) -> Iterator[Commit]:
    """The commits up to the journal offset `end`: what came since the audit began is not compared."""
    return (each for each in found if each.next_offset <= end)
