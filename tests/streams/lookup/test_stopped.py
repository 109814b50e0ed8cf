"""Shards that cannot go on stop alone: the others go on, questions are passed, and an order lets them go on."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator

import pytest

from refrain.schemas.base import RecoveryWay
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.documents import Skip
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import RecoveryOrdered
from refrain.schemas.responses import Outcome, Response
from refrain.schemas.stats import ShardStats, Stopped, StopReason
from refrain.streams.errors import ClusterFailed, StoreDamaged, StoreUnusable
from refrain.streams.kafka.interface import OffsetAndMetadata, Outgoing
from refrain.streams.lookup.restore import read_skips
from refrain.streams.lookup.ticks import TICK_ANYWAY_MS
from refrain.streams.lookup.worker import LookupWorker
from refrain.streams.messaging.routes import DirectRoute, decode_route
from refrain.streams.settings import Lookup
from refrain.streams.store.interface import Changes, Checkpoint
from refrain.streams.store.memory import MemoryStore
from tests.streams.lookup.stage import Stage
from tests.streams.shard.journal import Journal, vector

SECRET = "the words of somebody's question"
PASS_AFTER_MS = 5_000


def worker_of(stage: Stage, pass_after_ms: int = PASS_AFTER_MS) -> LookupWorker:
    """A worker that commits with every turn."""
    lookup = Lookup(commit_interval_ms=1, batch_max=3, stopped_pass_after_ms=pass_after_ms)
    return stage.worker_by(stage.context(lookup))


def run(worker: LookupWorker) -> None:
    """Let the worker work until nothing comes any more; restores go on beside it."""
    idle = 0
    while idle < 6:
        busy = worker.turn(0) or worker.restoring
        idle = 0 if busy else idle + 1
        if worker.restoring:
            time.sleep(0.001)
    worker.commit()


class Asking:
    """A journal whose records are appended to a partition of the stage as they are made."""

    def __init__(self, stage: Stage, partition: int) -> None:
        self.stage, self.journal = stage, Journal(partition)
        self.partition = partition
        self._version = itertools.count(100)
        self._requests = itertools.count(1_000 * partition)
        self.add(self.journal.policy())

    def add(self, record: object) -> int:
        """Append what the journal made; its offset."""
        value = self.journal.records[-1].value
        ends = self.stage.cluster.append([Outgoing("journal", None, value, (), self.partition)])
        return ends["journal", self.partition] - 1

    def ask(self, text: str, number: int) -> str:
        self.add(self.journal.ask(text, vector(*[0.0] * number, 1.0), offset=next(self._requests)))
        id_: str = json.loads(self.journal.records[-1].value or b"")["id"]
        return id_

    def answer(self, id_: str, text: str = "an answer") -> None:
        self.add(self.journal.answer(id_, text))

    def remember(self, count: int) -> None:
        for number in range(count):
            self.answer(self.ask(f"q{number}", number), f"a{number}")

    def order(self, how: RecoveryWay, position: int) -> None:
        self.add(self.journal.add(RecoveryOrdered(version=next(self._version), how=how, position=position)))


def decisions(stage: Stage) -> dict[str, list[Decision]]:
    found: dict[str, list[Decision]] = {}
    for record in stage.cluster.records("decisions"):
        decision = Decision.decode(record.value or b"")
        found.setdefault(decision.id, []).append(decision)
    return found


def direct_forwards(stage: Stage) -> list[str]:
    """Ids of the forwards whose answers go straight to their requesters."""
    forwards = [Forward.decode(record.value or b"") for record in stage.cluster.records("forwards")]
    routes = [decode_route(each.route, each.forward_id) for each in forwards]
    return [each.forward_id for each in routes if isinstance(each, DirectRoute)]


def told(stage: Stage, partition: int = 0) -> Stopped | None:
    """What `stats` says last of a shard."""
    reports = [ShardStats.decode(record.value or b"") for record in stage.cluster.records("stats")]
    return [each.stopped for each in reports if each.partition == partition][-1]


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def shards(stage: Stage) -> tuple[Asking, Asking]:
    return remembered(stage)


def remembered(stage: Stage) -> tuple[Asking, Asking]:
    """Two shards with five answers each, folded and committed."""
    both = Asking(stage, 0), Asking(stage, 1)
    for each in both:
        each.remember(5)
    run(worker_of(stage))
    return both


def stop_by_hole(stage: Stage, asking: Asking) -> tuple[LookupWorker, str, int]:
    """Cut the journal behind a shard: an answer that a request waits for is gone. The worker, the request, where."""
    waiting = asking.ask("who waits?", 7)
    run(worker_of(stage))
    position = stage.cluster.ends("journal")[asking.partition][1]
    asking.answer(waiting)
    asking.ask("lost", 8)
    stage.cluster.delete_records("journal", asking.partition, position + 2)
    worker = worker_of(stage)
    run(worker)
    return worker, waiting, position


def test_a_hole_in_the_journal_stops_its_shard_and_no_other(stage: Stage, shards: tuple[Asking, Asking]) -> None:
    worker, _, position = stop_by_hole(stage, shards[0])
    assert worker.stopped.told() == {0: told(stage)}
    assert told(stage) == Stopped(
        reason=StopReason.JOURNAL_CUT, position=position, offset=position, since_ms=stage.clock.now_ms
    )
    assert not worker.ready
    assert "refrain shards recover 0 --from-watermark" in worker.trouble
    other = shards[1].ask("q2", 2)
    run(worker)
    assert decisions(stage)[other][0].outcome is Outcome.HIT


def test_a_journal_that_is_cut_while_it_is_read_stops_its_shard_alone(
    stage: Stage, shards: tuple[Asking, Asking]
) -> None:
    worker = worker_of(stage)
    run(worker)
    end = stage.cluster.ends("journal")[0][1]
    for number in range(3):
        shards[0].ask("lost", number)
    stage.cluster.delete_records("journal", 0, end + 2)
    other = shards[1].ask("q1", 1)
    run(worker)
    assert set(worker.stopped.told()) == {0}
    assert decisions(stage)[other][0].outcome is Outcome.HIT


def test_questions_of_a_stopped_shard_are_passed_after_a_while_and_decided_once(
    stage: Stage, shards: tuple[Asking, Asking]
) -> None:
    worker, _, position = stop_by_hole(stage, shards[0])
    asked = [shards[0].ask(f"q{number}", number) for number in range(4)]
    run(worker)
    assert direct_forwards(stage) == []
    stage.clock.now_ms += PASS_AFTER_MS
    run(worker)
    assert direct_forwards(stage) == asked
    assert [decisions(stage)[id_][0].reason for id_ in asked] == [Reason.SHARD_STOPPED] * 4
    later = shards[0].ask("q0", 0)
    run(worker)
    again = worker_of(stage)
    run(again)
    stage.clock.now_ms += PASS_AFTER_MS
    run(again)
    assert direct_forwards(stage) == [*asked, later]
    shards[0].order(RecoveryWay.WATERMARK, position)
    run(again)
    assert again.ready
    assert direct_forwards(stage) == [*asked, later]
    assert all(len(found) == 1 for found in decisions(stage).values())


@pytest.mark.parametrize("pass_after_ms", [0, PASS_AFTER_MS])
def test_questions_wait_where_they_are_not_to_be_passed(
    stage: Stage, shards: tuple[Asking, Asking], pass_after_ms: int
) -> None:
    stop_by_hole(stage, shards[0])
    worker = worker_of(stage, pass_after_ms)
    run(worker)
    asked = shards[0].ask("q3", 3)
    stage.clock.now_ms += 10 * PASS_AFTER_MS
    run(worker)
    assert (asked in direct_forwards(stage)) == (pass_after_ms > 0)


def test_a_shard_goes_on_behind_the_hole_and_whoever_waited_for_what_is_gone_is_told(
    stage: Stage, shards: tuple[Asking, Asking]
) -> None:
    worker, waiting, position = stop_by_hole(stage, shards[0])
    shards[0].order(RecoveryWay.WATERMARK, position)
    hit = shards[0].ask("q4", 4)
    run(worker)
    assert worker.ready
    assert told(stage) is None
    assert decisions(stage)[hit][0].outcome is Outcome.HIT
    responses = [Response.decode(each) for each in stage.responses()]
    failed = [each for each in responses if each.error is not None]
    assert [(each.decision.id, each.error.code) for each in failed if each.decision and each.error] == [
        (waiting, "shard_recovered")
    ]
    shard = worker.shards[0]
    assert len(shard.flights) == 0
    # A fold of what is left, told the skips, comes to the same state.
    assert read_skips(stage.cluster, 0).row(position, "records") == Skip(
        to_offset=position + 2, what="records", why="journal_cut"
    )
    restarted = worker_of(stage)
    run(restarted)
    assert restarted.ready


def test_an_order_for_another_place_is_not_obeyed(stage: Stage, shards: tuple[Asking, Asking]) -> None:
    worker, _, position = stop_by_hole(stage, shards[0])
    shards[0].order(RecoveryWay.WATERMARK, position + 1)
    shards[0].order(RecoveryWay.EMPTY, position - 1)
    run(worker)
    assert set(worker.stopped.told()) == {0}
    shards[1].order(RecoveryWay.WATERMARK, 3)
    run(worker)
    assert set(worker.stopped.told()) == {0}
    assert len(worker.shards[1].entries) == 5


def test_a_shard_begins_empty_and_answers_nothing_twice(stage: Stage, shards: tuple[Asking, Asking]) -> None:
    worker, _, position = stop_by_hole(stage, shards[0])
    before = len(stage.responses())
    shards[0].order(RecoveryWay.EMPTY, position)
    miss = shards[0].ask("q1", 1)
    run(worker)
    assert worker.ready
    assert len(worker.shards[0].entries) == 0
    assert decisions(stage)[miss][0].outcome is not Outcome.HIT
    assert all(len(found) == 1 for found in decisions(stage).values())
    assert len(stage.responses()) == before
    assert {key.partition(b"/")[0] for key in stage.documents(0)} <= {b"meta", b"skips", b"tallies"}
    assert dict(stage.stores[0].scan()) == stage.documents(0)


def test_a_record_of_an_unknown_version_stops_its_shard_until_an_upgrade(
    stage: Stage, shards: tuple[Asking, Asking]
) -> None:
    value = json.dumps({"kind": "Tick", "v": 99}).encode()
    before = shards[0].ask("q0", 0)
    place = stage.cluster.append([Outgoing("journal", None, value, (), 0)])["journal", 0] - 1
    behind = shards[0].ask("q1", 1)
    worker = worker_of(stage)
    run(worker)
    found = told(stage)
    assert found is not None
    assert (found.reason, found.position) == (StopReason.UNKNOWN_VERSION, place)
    assert "upgrade" in worker.trouble
    assert decisions(stage)[before][0].outcome is Outcome.HIT
    stage.clock.now_ms += PASS_AFTER_MS
    run(worker)
    assert direct_forwards(stage) == [behind]


@pytest.mark.parametrize("value", [b"{}", b'{"question": "' + SECRET.encode(), b"\xff\x00", b"", b'{"id": "x"}'])
@pytest.mark.parametrize("key", [b"entries/00000000000000000003", b"flights/x", b"meta/meta", b"skips/x"])
def test_a_damaged_record_of_documents_stops_its_shard_and_is_quoted_nowhere(
    stage: Stage, shards: tuple[Asking, Asking], key: bytes, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    place = stage.cluster.append([Outgoing("documents", key, value, (), 0)])["documents", 0] - 1
    for lose in (False, True):
        if lose:
            stage.stores.clear()
        worker = worker_of(stage)
        run(worker)
        found = worker.stopped.told()[0]
        assert (found.reason, found.offset) == (StopReason.DOCUMENTS_DAMAGED, place)
        assert "refrain shards recover 0 --empty" in worker.trouble
        assert len(worker.shards[1].entries) == 5
        shards[0].order(RecoveryWay.DOCUMENTS, found.position)
        run(worker)
        assert set(worker.stopped.told()) == {0}
    asked = shards[0].ask("q1", 1)
    shards[0].order(RecoveryWay.EMPTY, found.position)
    run(worker)
    assert worker.ready
    assert len(decisions(stage)[asked]) == 1
    assert SECRET not in caplog.text


def test_a_batch_of_documents_that_nobody_can_read_stops_its_shard(stage: Stage, shards: tuple[Asking, Asking]) -> None:
    place = stage.cluster.append([Outgoing("documents", b"k", b"v", (), 0)])["documents", 0] - 1
    there = stage.cluster.topic("documents").records[0]
    there[-1] = there[-1]._replace(key=None, value=None, flaw="the batch cannot be read")
    stage.stores.clear()
    worker = worker_of(stage)
    run(worker)
    found = worker.stopped.told()[0]
    assert (found.reason, found.offset) == (StopReason.DOCUMENTS_DAMAGED, place)
    assert len(worker.shards[1].entries) == 5


def test_a_batch_that_nobody_can_read_is_met_no_more_once_its_shard_began_empty(
    stage: Stage, shards: tuple[Asking, Asking]
) -> None:
    def flawed() -> int:
        place = stage.cluster.append([Outgoing("documents", b"k", b"v", (), 0)])["documents", 0] - 1
        there = stage.cluster.topic("documents").records[0]
        there[-1] = there[-1]._replace(key=None, value=None, flaw="the batch cannot be read")
        stage.stores.clear()
        return place

    for number in range(2):
        place = flawed()
        worker = worker_of(stage)
        run(worker)
        found = worker.stopped.told()[0]
        assert (found.reason, found.offset) == (StopReason.DOCUMENTS_DAMAGED, place), "a new one, after it began empty"
        shards[0].order(RecoveryWay.EMPTY, found.position)
        run(worker)
        assert worker.ready
        shards[0].add(shards[0].journal.policy(version=200 + number))
        shards[0].answer(shards[0].ask(f"anew {number}", 10 + number))
        run(worker)
        worker.close()
        stage.stores.clear()
        worker = worker_of(stage)
        run(worker)
        assert worker.ready, worker.trouble
        hit = shards[0].ask(f"anew {number}", 10 + number)
        run(worker)
        assert decisions(stage)[hit][0].outcome is Outcome.HIT
        worker.close()


@pytest.mark.parametrize("by_hand", [None, 0, 3, 10_000])
def test_where_a_shard_without_state_goes_on_is_told_by_what_it_has_committed(
    stage: Stage, shards: tuple[Asking, Asking], by_hand: int | None
) -> None:
    """Whatever somebody has set its group to: nobody is answered again, and nobody is left out."""
    group = stage.cluster.group("journal", "lookup").offsets
    decided = group[0].next_offset
    stage.cluster.append([Outgoing("documents", b"flights/x", b"{}", (), 0)])
    stage.stores.clear()
    if by_hand is None:
        del group[0]
    else:
        group[0] = OffsetAndMetadata(by_hand)
    worker = worker_of(stage)
    run(worker)
    assert worker.stopped.told()[0].position == decided
    before = decisions(stage)
    asked = shards[0].ask("who waits?", 7)
    shards[0].order(RecoveryWay.EMPTY, decided)
    run(worker)
    assert worker.ready
    after = decisions(stage)
    assert set(after) == {*before, asked}
    assert all(len(each) == 1 for each in after.values())


class Faulty(MemoryStore):
    """A store whose reads or writes fail while `fails` says so."""

    def __init__(self, fails: Iterator[Exception | None], writes: bool) -> None:
        super().__init__()
        self._fails, self._writes = fails, writes

    def get(self, key: bytes) -> bytes | None:
        if not self._writes:
            self._raise()
        return super().get(key)

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        if self._writes:
            self._raise()
        super().write(changes, checkpoint)

    def _raise(self) -> None:
        failure = next(self._fails, None)
        if failure is not None:
            raise failure


def faulty(stage: Stage, failures: list[Exception | None], writes: bool) -> None:
    fails = iter(failures)
    stage.open_store = lambda partition: stage.stores.setdefault(
        partition, Faulty(fails, writes) if partition == 0 else MemoryStore()
    )


@pytest.mark.parametrize("good", [0, 3, 6, 9, 12])
@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("bad", [1, 2])
def test_a_store_that_fails_is_restored_and_nothing_is_lost(stage: Stage, good: int, writes: bool, bad: int) -> None:
    faulty(stage, [None] * good + [StoreDamaged("the store is damaged")] * bad, writes)
    both = Asking(stage, 0), Asking(stage, 1)
    for each in both:
        each.remember(5)
        each.ask("q2", 2)
    worker = worker_of(stage)
    run(worker)
    run(worker)
    assert worker.ready
    assert len(worker.shards[0].entries) == len(worker.shards[1].entries) == 5
    found = decisions(stage)
    assert len(found) == 12
    assert all(len(each) == 1 for each in found.values())
    assert stage.cluster.records("dead-letters") == []


def test_a_store_that_always_fails_stops_its_shard_after_a_few_restores(stage: Stage) -> None:
    faulty(stage, [StoreDamaged("the store is damaged")] * 1_000, True)
    both = Asking(stage, 0), Asking(stage, 1)
    for each in both:
        each.remember(2)
    worker = worker_of(stage)
    run(worker)
    run(worker)
    assert {p: one.reason for p, one in worker.stopped.told().items()} == {0: StopReason.STORE_DAMAGED}
    assert len(worker.shards[1].entries) == 2


@pytest.mark.parametrize("writes", [True, False])
def test_a_store_that_the_disk_does_not_take_is_tried_again_by_itself(stage: Stage, writes: bool) -> None:
    failing = True
    fails = (StoreUnusable("No space left") if failing else None for _ in itertools.count())
    stage.open_store = lambda partition: stage.stores.setdefault(
        partition, Faulty(fails, writes) if partition == 0 else MemoryStore()
    )
    both = Asking(stage, 0), Asking(stage, 1)
    for each in both:
        each.remember(2)
    worker = worker_of(stage)
    run(worker)
    assert {p: one.reason for p, one in worker.stopped.told().items()} == {0: StopReason.STORE_UNUSABLE}
    stage.clock.now_ms += PASS_AFTER_MS
    passed = both[0].ask("q0", 0)
    run(worker)
    assert passed in direct_forwards(stage)
    failing = False
    stage.clock.now_ms += 60_000
    run(worker)
    assert worker.ready
    assert all(len(each) == 1 for each in decisions(stage).values())


def test_a_shard_without_traffic_gets_a_tick_from_time_to_time(stage: Stage, shards: tuple[Asking, Asking]) -> None:
    worker = worker_of(stage)
    run(worker)
    stage.clock.now_ms += 1_000
    run(worker)
    ends = stage.cluster.ends("journal")
    for _ in range(3):
        stage.clock.now_ms += TICK_ANYWAY_MS
        run(worker)
    assert stage.cluster.ends("journal") == {partition: (0, end + 3) for partition, (_, end) in ends.items()}
    assert [shard.next_offset for _, shard in sorted(worker.shards.items())] == [end + 3 for _, end in ends.values()]


def test_a_shard_that_is_stopped_for_another_reason_loses_nothing_that_was_passed(stage: Stage) -> None:
    failing = True
    fails = (StoreUnusable("No space left") if failing else None for _ in itertools.count())
    stage.open_store = lambda partition: stage.stores.setdefault(
        partition, Faulty(fails, True) if partition == 0 else MemoryStore()
    )
    asking = Asking(stage, 0)
    Asking(stage, 1)
    asking.remember(2)
    worker = worker_of(stage)
    run(worker)
    stage.clock.now_ms += PASS_AFTER_MS
    passed = [asking.ask(f"q{number}", number) for number in range(3)]
    run(worker)
    found = worker.stopped.told()[0]
    assert found.reason is StopReason.STORE_UNUSABLE
    asked = asking.ask("q9", 9)
    stage.cluster.delete_records("journal", 0, found.position + 1)
    failing = False
    stage.clock.now_ms += 60_000
    run(worker)
    assert worker.stopped.told()[0].reason is StopReason.JOURNAL_CUT
    stage.clock.now_ms += PASS_AFTER_MS
    run(worker)
    asking.order(RecoveryWay.WATERMARK, worker.stopped.told()[0].position)
    run(worker)
    assert worker.ready
    assert sorted(direct_forwards(stage)) == sorted([*passed, asked])
    assert all(len(each) == 1 for each in decisions(stage).values())


def test_another_owner_knows_what_was_passed(stage: Stage, shards: tuple[Asking, Asking]) -> None:
    worker, _, position = stop_by_hole(stage, shards[0])
    stage.clock.now_ms += PASS_AFTER_MS
    asked = shards[0].ask("q1", 1)
    run(worker)
    worker.close()
    stage.stores.clear()
    shards[0].order(RecoveryWay.WATERMARK, position)
    run(worker_of(stage))
    assert len(decisions(stage)[asked]) == 1
    assert direct_forwards(stage) == [asked]


def test_a_journal_that_was_made_anew_ends_the_worker_and_is_not_taken_for_one_that_was_cut(
    stage: Stage, shards: tuple[Asking, Asking]
) -> None:
    worker = worker_of(stage)
    run(worker)
    ends = stage.cluster.ends("journal")
    stage.cluster.create("journal", len(ends))
    stage.cluster.append([Outgoing("journal", b"k", b"junk", (), 0)] * (ends[0][1] + 2))
    stage.cluster.delete_records("journal", 0, ends[0][1] + 1)
    with pytest.raises(ClusterFailed, match="made anew"):
        run(worker)
