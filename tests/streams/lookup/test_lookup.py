"""The lookup worker over the log's twin: crashes at every step, and what the next worker makes of it."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from refrain.ops.cluster.decisions import find_decision
from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.base import Reply
from refrain.schemas.decisions import Decision
from refrain.schemas.documents import Meta
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import EntriesInvalidated
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome, Response
from refrain.schemas.stats import ShardStats
from refrain.streams.errors import Aborted, Rebalanced, RefrainError, WrongSetup
from refrain.streams.govern.decision_search import SoughtDecision
from refrain.streams.kafka.interface import (
    EndOffsets,
    GroupMetadata,
    OffsetAndMetadata,
    Outgoing,
    Producer,
    TransactionalProducer,
)
from refrain.streams.lookup.worker import LookupWorker
from refrain.streams.messaging.routes import decode_route
from refrain.streams.settings import Lookup
from refrain.streams.shard.columns import META_KEY
from refrain.streams.shard.fold import TIMERS_MAX
from refrain.streams.store.interface import Checkpoint, digest
from tests.streams.kafka.recording import RecordingCluster
from tests.streams.kafka.wrapped import WrappedProducers
from tests.streams.lookup.stage import NEVER_MS, Clock, Stage, asked_id, expected, moving, stage_records, traffic
from tests.streams.shard.journal import JOURNAL_ID, Journal, effects, fold_all, new_shard, vector
from tests.streams.signed import ROUTES


class Crash(RuntimeError):
    """The worker dies here."""


class CrashingWriter:
    """Dies at the n-th send."""

    def __init__(self, inner: Producer, after: int) -> None:
        self._inner, self._after = inner, after

    def send(self, records: Sequence[Outgoing]) -> None:
        self._after -= 1
        if self._after < 0:
            raise Crash
        self._inner.send(records)

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        self.send(records)

    def close(self) -> None:
        self._inner.close()


class CrashingCommits:
    """Dies before or right after the n-th transaction."""

    def __init__(self, inner: TransactionalProducer, after: int, committed: bool) -> None:
        self._inner, self._after, self._committed = inner, after, committed

    def transact(
        self, records: Sequence[Outgoing], member: GroupMetadata | None, offsets: Mapping[int, OffsetAndMetadata]
    ) -> EndOffsets:
        self._after -= 1
        if self._after < 0 and not self._committed:
            raise Crash
        ends = self._inner.transact(records, member, offsets)
        if self._after < 0:
            raise Crash
        return ends

    def close(self) -> None:
        self._inner.close()


class AbortsOnce:
    """Aborts the first transaction, because of a rebalance unless another error is given."""

    def __init__(self, inner: TransactionalProducer, error: Aborted | None = None) -> None:
        self._inner, self._met = inner, False
        self._error = error or Rebalanced("ILLEGAL_GENERATION")

    def transact(
        self, records: Sequence[Outgoing], member: GroupMetadata | None, positions: Mapping[int, OffsetAndMetadata]
    ) -> EndOffsets:
        if not self._met:
            self._met = True
            raise self._error
        return self._inner.transact(records, member, positions)

    def close(self) -> None:
        self._inner.close()


class ForgetsEnds:
    """Commits, and does not know where the topics end then."""

    def __init__(self, inner: TransactionalProducer) -> None:
        self._inner = inner

    def transact(
        self, records: Sequence[Outgoing], member: GroupMetadata | None, offsets: Mapping[int, OffsetAndMetadata]
    ) -> EndOffsets:
        self._inner.transact(records, member, offsets)
        return {}

    def close(self) -> None:
        self._inner.close()


def test_a_worker_gives_what_a_fold_gives_and_keeps_what_it_knows() -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    worker = stage.worker()
    stage.run(worker)
    told, decided, shard = expected(stage_records(stage, 0))
    assert stage.responses() == told
    assert stage.decisions() == decided
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    assert digest(stage.stores[0].scan()) == digest(shard.store.scan())
    assert dict(stage.stores[0].scan()) == stage.documents(0)
    worker.close()


@pytest.mark.parametrize("made", [traffic, moving])
@pytest.mark.parametrize("step", ["before_2", "before_3", "after_3"])
@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_a_crash_after_any_step_loses_nothing_and_decides_nothing_twice(
    made: Callable[[], Journal], step: str, after: int
) -> None:
    stage = Stage()
    stage.journal(made())
    if step == "before_2":
        cluster = WrappedProducers(stage.cluster, producer=lambda inner: CrashingWriter(inner, after))
        crashing = stage.worker(10_000_000, cluster)
    else:
        committed = step == "after_3"
        cluster = WrappedProducers(stage.cluster, transactional=lambda inner: CrashingCommits(inner, after, committed))
        crashing = stage.worker(1, cluster)
    with pytest.raises(Crash):
        stage.run(crashing)
    stage.run(stage.worker())
    told, decided, shard = expected(stage_records(stage, 0))
    assert list(dict.fromkeys(stage.responses())) == list(dict.fromkeys(told))
    assert stage.decisions() == decided
    assert dict(stage.stores[0].scan()) == stage.documents(0)
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    assert dict(shard.store.scan()) == stage.documents(0)


def test_decisions_stand_in_the_partition_of_their_shard_in_the_order_of_its_journal() -> None:
    stage = Stage()
    for partition in range(2):
        stage.journal(traffic(partition))
    stage.run(stage.worker())
    for partition in range(2):
        rows = stage.cluster.topic("decisions").records[partition]
        made = [Decision.decode(row.value or b"") for row in rows]
        assert len(made) > 8
        assert {(each.journal, each.partition) for each in made} == {(JOURNAL_ID, partition)}
        assert [each.offset for each in made] == sorted(each.offset for each in made)


def test_a_commit_writes_to_the_partitions_of_the_shards_that_moved_and_to_no_other() -> None:
    stage = Stage()
    stage.journal(traffic(1))
    stage.run(stage.worker())
    for topic in ("documents", "decisions"):
        quiet, moved = stage.cluster.topic(topic).records
        assert quiet == []
        assert moved


def test_a_response_tells_where_its_decision_stands() -> None:
    stage = Stage()
    stage.journal(traffic(1))
    stage.run(stage.worker())
    told = [Response.decode(each).decision for each in stage.responses()]
    assert told
    for each in told:
        assert each is not None
        assert each.partition == 1
        assert each.offset is not None
        found = find_decision(stage.cluster, SoughtDecision(each.id, each.partition, each.offset), stage.clock)
        assert found is not None
        assert found.id == each.id


@pytest.mark.parametrize("topic", ["documents", "decisions"])
def test_topics_that_do_not_fit_the_journal_stop_the_worker_at_its_start(topic: str) -> None:
    stage = Stage()
    stage.cluster.create(topic, 3)
    with pytest.raises(WrongSetup, match=f"journal has 2 partitions and {topic} 3"):
        stage.worker()


@pytest.mark.parametrize("lost", [True, False])
def test_the_next_worker_answers_like_the_one_that_died(lost: bool) -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    stage.run(stage.worker())
    if lost:
        stage.stores.clear()
    before = len(stage.responses())
    again = Journal(0)
    for number in range(8):
        again.ask(f"q{number}", vector(*[0.0] * number, 1.0), offset=100 + number)
    stage.journal(again)
    stage.run(stage.worker())
    _, _, shard = expected(stage_records(stage, 0))
    outcomes = [Response.decode(each).outcome for each in stage.responses()[before:]]
    assert outcomes == [Outcome.HIT] * outcomes.count(Outcome.HIT)
    assert len(outcomes) == len(shard.entries) == 4
    assert dict(stage.stores[0].scan()) == stage.documents(0)


def test_a_commit_that_meets_a_rebalance_is_made_after_it() -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    worker = stage.worker(NEVER_MS, WrappedProducers(stage.cluster, transactional=AbortsOnce))
    stage.fold_some(worker)
    assert stage.decisions() == []
    stage.run(worker)
    assert stage.decisions() == expected(stage_records(stage, 0))[1]


def test_a_commit_that_an_outage_aborts_goes_into_the_next_one() -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    aborting = partial(AbortsOnce, error=Aborted("not enough replicas"))
    worker = stage.worker(NEVER_MS, WrappedProducers(stage.cluster, transactional=aborting))
    stage.fold_some(worker)
    assert stage.decisions() == []
    stage.run(worker)
    assert stage.decisions() == expected(stage_records(stage, 0))[1]
    assert dict(stage.stores[0].scan()) == stage.documents(0)


def test_a_store_whose_end_was_not_told_reads_on_from_where_it_knows() -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    stage.run(stage.worker(1, WrappedProducers(stage.cluster, transactional=ForgetsEnds)))
    assert stage.stores[0].checkpoint().next_offset == 0
    assert dict(stage.stores[0].scan()) == stage.documents(0)
    stage.run(stage.worker())
    assert stage.decisions() == expected(stage_records(stage, 0))[1]
    assert dict(stage.stores[0].scan()) == stage.documents(0)


def test_a_worker_shows_that_it_is_alive_while_it_waits_for_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refrain.streams.lookup.commit.BEAT_S", 0.001)
    going, beats = threading.Event(), itertools.count()

    class Waits:
        """Commits when it may."""

        def __init__(self, inner: TransactionalProducer) -> None:
            self._inner = inner

        def transact(
            self, records: Sequence[Outgoing], member: GroupMetadata | None, offsets: Mapping[int, OffsetAndMetadata]
        ) -> EndOffsets:
            assert going.wait(20)
            return self._inner.transact(records, member, offsets)

        def close(self) -> None:
            self._inner.close()

    def beat() -> bool:
        if next(beats) >= 3:
            going.set()
        return False

    stage = Stage()
    stage.journal(traffic())
    with ThreadPoolExecutor(1) as background:
        context = stage.context(Lookup(), WrappedProducers(stage.cluster, transactional=Waits))
        worker = stage.worker_by(dataclasses.replace(context, stop=beat), background)
        stage.fold_some(worker)
        worker.commit()
    assert next(beats) >= 4
    assert stage.decisions() != []


@pytest.mark.parametrize(("keeps", "instance"), [(True, "its-folder"), (False, "")])
def test_a_worker_that_keeps_its_shards_is_the_static_member_of_its_folders_name(keeps: bool, instance: str) -> None:
    stage = Stage()
    cluster = RecordingCluster(stage.cluster)
    LookupWorker(stage.context(Lookup(keep_shards=keeps), cluster), stage.open_store, "its-folder", ROUTES).close()
    assert cluster.instances == {"lookup": instance}


def test_a_command_is_acknowledged_at_once_and_decisions_wait_for_their_time() -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    worker = stage.worker(NEVER_MS)
    stage.fold_some(worker)
    assert len(stage.cluster.records("acknowledgements")) == 1
    known = stage.decisions()
    while stage.fold_some(worker):
        assert stage.decisions() == known
    worker.commit()
    assert stage.decisions() == expected(stage_records(stage, 0))[1]


def test_what_was_folded_since_a_commit_is_bounded() -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    worker = stage.worker(NEVER_MS, commit_records=6)
    # The turn in which the last shard is restored may fold nothing yet.
    folded = stage.fold_some(worker) or stage.fold_some(worker)
    while more := stage.fold_some(worker):
        folded += more
        assert folded - Meta.decode(stage.documents(0)[META_KEY]).next_offset < 6
    assert folded == len(journal.records)


def test_a_shard_acknowledges_the_commands_that_it_has_folded_and_tells_its_stats() -> None:
    stage = Stage()
    stage.journal(moving())
    stage.run(stage.worker())
    done = [Acknowledgement.decode(record.value or b"") for record in stage.cluster.records("acknowledgements")]
    assert {(each.processor, each.worker) for each in done} == {("lookup", "0")}
    assert [each.version for each in done] == sorted({each.version for each in done})
    assert done[-1].version == 7
    told = [ShardStats.decode(record.value or b"") for record in stage.cluster.records("stats")][-1]
    assert (told.partition, told.control, told.policy_version) == (0, 7, 7)
    assert told.categories["code"].tally.asked == len(stage.decisions())


def test_what_is_withdrawn_leaves_the_store_without_traffic() -> None:
    stage, journal = Stage(), traffic()
    journal.add(EntriesInvalidated(version=1))
    stage.journal(journal)
    worker = stage.worker()
    stage.run(worker)
    while any(key.startswith(b"entries/") for key in stage.documents(0)):
        stage.clock.now_ms += 100
        stage.run(worker)
    assert not any(key.startswith((b"entries/", b"stats/")) for key, _ in stage.stores[0].scan())


def test_a_worker_that_lost_its_partitions_cannot_commit() -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    first = stage.worker(commit_ms=NEVER_MS)
    folded = 0
    while folded < len(journal.records):
        folded += first.turn(0)
    stage.stores = {}
    second = stage.worker()
    stage.run(second)
    decided = stage.decisions()
    with pytest.raises(Exception, match="another"):
        first.commit()
    assert stage.decisions() == decided


def test_what_comes_and_goes_between_two_commits_leaves_no_trace_in_documents() -> None:
    stage, journal = Stage(), Journal(0)
    journal.policy()
    journal.answer(asked_id(journal.ask("how?", vector(1)).value))
    journal.ask("how?", vector(1))
    stage.journal(journal)
    stage.run(stage.worker(commit_ms=NEVER_MS))
    columns = {(record.key or b"").split(b"/")[0] for record in stage.cluster.records("documents")}
    assert columns == {b"entries", b"stats", b"policies", b"tallies", b"meta"}


def test_a_tick_is_sent_once_when_a_deadline_passes() -> None:
    stage, journal = Stage(), Journal(0)
    journal.policy()
    journal.ask("how?", vector(1))
    stage.journal(journal)
    worker = stage.worker()
    stage.run(worker)
    assert len(stage.cluster.topic("journal").records[0]) == 2
    stage.clock.now_ms += 10_001
    stage.run(worker)
    (response,) = [Response.decode(each) for each in stage.responses()]
    assert response.outcome is Outcome.ERROR
    ticks = [r for r in stage.cluster.topic("journal").records[0] if b'"Tick"' in (r.value or b"")]
    assert len(ticks) == 1


def test_a_deadline_passes_on_a_clock_that_was_set_back_by_an_hour() -> None:
    stage, journal = Stage(), Journal(0)
    journal.policy()
    journal.ask("how?", vector(1))
    stage.journal(journal)
    back = Clock()
    worker = stage.worker_by(dataclasses.replace(stage.context(Lookup(commit_interval_ms=1)), now_ms=back))
    stage.run(worker)
    back.now_ms -= 3_600_000
    stage.clock.now_ms += 10_001
    for _ in range(20):
        back.now_ms += 1_000
        stage.run(worker)
    (response,) = [Response.decode(each) for each in stage.responses()]
    assert response.outcome is Outcome.ERROR


def test_all_who_wait_are_told_when_their_deadline_passes_however_many_they_are() -> None:
    stage, journal = Stage(), Journal(0)
    journal.policy()
    for number in range(3 * TIMERS_MAX):
        journal.ask(f"q{number}", None)
    stage.journal(journal)
    worker = stage.worker()
    stage.run(worker)
    for _ in range(20):
        stage.clock.now_ms += 600
        stage.run(worker)
    outcomes = [Response.decode(each).outcome for each in stage.responses()]
    assert outcomes == 3 * TIMERS_MAX * [Outcome.ERROR]


def test_one_partition_that_waits_for_an_upgrade_does_not_stop_the_others() -> None:
    stage = Stage()
    stage.cluster.append([Outgoing("journal", None, b'{"v":9,"kind":"Asked"}', (), 0)])
    stage.journal(traffic(1))
    worker = stage.worker()
    _, decided, _ = expected(stage_records(stage, 1))
    while len(stage.decisions()) < len(decided):
        worker.turn(0)
        worker.commit()
    assert stage.decisions() == decided
    assert not worker.ready


def test_forwards_are_signed_on_their_way_and_not_in_the_fold() -> None:
    stage, journal = Stage(), Journal()
    journal.policy()
    journal.ask("how?", vector(1))
    stage.journal(journal)
    stage.run(stage.worker())
    (sent,) = stage.cluster.records("forwards")
    (folded,) = effects(fold_all(new_shard(), stage_records(stage, 0).records), "forwards")
    forward = Forward.decode(sent.value or b"")
    assert ROUTES.open(forward.route, forward.forward_id) == decode_route(forward.route, forward.forward_id)
    assert forward.route.partition(".")[0] == Forward.decode(folded.value or b"").route


@pytest.mark.parametrize("topic", ["/refrain.documents", "/refrain.policies", "/__consumer_offsets"])
def test_a_reply_topic_of_our_own_gets_nothing_and_holds_nobody_up(topic: str) -> None:
    stage, journal = Stage(), Journal()
    stage.cluster.create(topic, 1)
    journal.policy()
    journal.ask("how?", vector(1), reply=Reply(topic=topic), mode=CacheMode.ONLY)
    journal.ask("how else?", vector(0, 1), mode=CacheMode.ONLY)
    stage.journal(journal)
    stage.run(stage.worker())
    assert stage.cluster.records(topic) == []
    assert len(stage.cluster.records("responses")) == 1


@pytest.mark.parametrize("topic", ["journal", "documents"])
def test_a_topic_of_the_state_that_is_gone_stops_the_worker(topic: str) -> None:
    stage = Stage()
    stage.journal(traffic())
    worker = stage.worker()
    stage.fold_some(worker)
    stage.cluster.delete(topic)
    with pytest.raises(RefrainError):
        stage.run(worker)


def test_a_topic_of_the_state_that_takes_too_little_stops_the_worker_at_start_by_name() -> None:
    for topic, other in (("documents", "journal"), ("journal", "decisions")):
        stage = Stage()
        stage.cluster.configure(topic, max_bytes=900_000)
        with pytest.raises(WrongSetup, match=f"max.message.bytes of {topic} 900000") as raised:
            stage.worker()
        assert other not in str(raised.value)


def test_topics_that_do_not_fit_together_stop_the_worker_at_start() -> None:
    stage = Stage()
    stage.cluster.create("documents", 3)
    with pytest.raises(WrongSetup, match="must be the same"):
        stage.worker()
    stage.cluster.delete("documents")
    with pytest.raises(WrongSetup, match="topics create"):
        stage.worker()
