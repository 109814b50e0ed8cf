"""Whatever is sent, wherever to: the rest arrives once, and what a topic does not take becomes smaller or a letter."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pytest

from refrain.schemas.dead_letters import HEADER_REASON, HEADER_TARGET, NotSent
from refrain.schemas.decisions import Decision
from refrain.schemas.forwards import Completion
from refrain.schemas.journal import AnswerFailed, decode_event
from refrain.schemas.responses import Response
from refrain.streams.errors import ClusterFailed, RecordsRefused, RefusedRecord, SendFailed
from refrain.streams.kafka.interface import Outgoing, Producer, Record, Target, wire_bytes
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.wrapped import WrappedCluster
from refrain.streams.messaging.sending import FittingProducer, fitting_producer, fitting_transactions
from refrain.streams.metrics import Metrics
from tests.streams.messaging.sent_records import (
    HEADERS,
    KINDS,
    REPLIES,
    TEXT,
    WAITED_FOR,
    answered,
    asked,
    decision,
    direct_forward,
    error,
    letter,
    response,
    shard_forward,
    tells,
)

TOPICS = (
    "responses",
    "forwards",
    "journal",
    "completions",
    "decisions",
    "observations",
    "doubts",
    "dead-letters",
    "documents",
)
FAULTS = ("gone", "bytes_250", "bytes_3000", "keyless", "partition", "large_header", "many_headers", "large_text")


class Silent(WrappedCluster):
    """A cluster that does not tell what its topics take: all is left to the broker. `answers` lookups succeed first."""

    def __init__(self, inner: MemoryCluster, answers: int = 0) -> None:
        super().__init__(inner)
        self._answers = answers

    def targets(self, topics: Collection[str]) -> Mapping[str, Target]:
        self._answers -= 1
        if self._answers >= 0:
            return super().targets(topics)
        raise ClusterFailed("timed out")


class Stale(WrappedCluster):
    """A cluster whose topics were all well when they were looked up last, but for those looked up again."""

    def __init__(self, inner: MemoryCluster) -> None:
        super().__init__(inner)
        self._looked: set[str] = set()

    def targets(self, topics: Collection[str]) -> Mapping[str, Target]:
        first = {topic: Target(2, 2_200_000) for topic in topics if topic not in self._looked}
        self._looked.update(topics)
        return {**super().targets([topic for topic in topics if topic not in first]), **first}


VIEWS = {"known": lambda inner: inner, "silent": Silent, "stale": Stale}


class World:
    """A cluster, and a producer by the view of it that a test wants."""

    def __init__(self, view: str = "known") -> None:
        self.cluster = MemoryCluster(lambda: 0, dict.fromkeys(TOPICS, 2))
        self.cluster.create(REPLIES, 2)
        self.metrics = Metrics()
        self.view = VIEWS[view](self.cluster)
        self.producer = fitting_producer(self.cluster.producer(), self.view, "refrain.", "lookup", self.metrics)

    def spoil(self, fault: str, record: Outgoing) -> Outgoing:
        """Make a record, or its topic, such that they do not fit."""
        topic = record.topic
        if fault == "gone":
            self.cluster.delete(topic)
        elif fault.startswith("bytes_"):
            self.cluster.configure(topic, max_bytes=int(fault.removeprefix("bytes_")))
        elif fault == "keyless":
            self.cluster.create(topic, 2, compacted=True)
            return record._replace(key=None)
        elif fault == "partition":
            return record._replace(partition=4711)
        elif fault == "large_header":
            return record._replace(headers=(*record.headers, ("h", b"x" * 3_000_000)))
        elif fault == "many_headers":
            return record._replace(headers=(*record.headers, *(("", None),) * 250_000))
        return record

    def all(self) -> list[Record]:
        """Everything that was written."""
        names = [*TOPICS, REPLIES]
        return [row for name in names if name in self.cluster.targets(names) for row in self.cluster.records(name)]


def good(number: int, topic: str) -> Outgoing:
    """A record that its topic takes."""
    return Outgoing(topic, b"k", f"good {number}".encode())


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_does_not_fit_costs_no_other_and_its_requester_is_told(kind: str, fault: str, view: str) -> None:
    world = World(view)
    text = TEXT * 100_000 if fault == "large_text" else TEXT * 200
    record = KINDS[kind](text)
    record = world.spoil(fault, record)
    if record.topic == "journal" and (
        fault == "gone" or (view, fault) in (("silent", "partition"), ("silent", "keyless"))
    ):
        # What is wrong with the journal itself, nothing mends.
        with pytest.raises(SendFailed, match="journal"):
            world.producer.send([record])
        return
    elsewhere = [topic for topic in ("responses", "observations", REPLIES, "completions") if topic != record.topic]
    others = [good(number, topic) for number, topic in enumerate(elsewhere)]
    world.producer.send([*others[:2], record, *others[2:]])
    written = world.all()
    assert sorted(r.value or b"" for r in written if (r.value or b"").startswith(b"good")) == sorted(
        each.value or b"" for each in others
    )
    left = [r for r in written if not (r.value or b"").startswith(b"good")]
    letters = [r for r in left if r.topic == "dead-letters"]
    told = [r for r in left if tells(r)]
    assert len(left) <= 1, "one record, or what is sent in its place"
    if kind == "letter":
        return
    assert all(TEXT.encode() not in (r.value or b"") for r in letters)
    assert len(left) == 1
    if fault.endswith(("header", "headers")) and record.topic != REPLIES:
        assert [(row.topic, row.value, row.headers) for row in left] == [(record.topic, record.value, ())]
        return
    if kind in WAITED_FOR and fault not in ("gone", "partition", "keyless", "bytes_250"):
        assert told == left
    for row in letters:
        assert NotSent.decode(row.value or b"").topic == record.topic
        assert dict(row.headers)[HEADER_TARGET] == record.topic.encode()
        assert (dict(row.headers)[HEADER_REASON] or b"").startswith(b"not_sent: ")
    (series,) = [s for m in world.metrics.unfit.collect() for s in m.samples if s.name.endswith("_total")][:1]
    assert series.value >= 1


@pytest.mark.parametrize("view", VIEWS)
def test_headers_go_first_then_the_answer_then_the_decision_then_there_is_a_letter(view: str) -> None:
    headers = (*HEADERS, ("large", b"x" * 5_000))
    sizes = {}
    for bytes_max in (100_000, 5_000, 1_200, 450, 100):
        world = World(view)
        world.cluster.configure(REPLIES, max_bytes=bytes_max)
        world.producer.send([response("x" * 3_000)._replace(headers=headers)])
        (row,) = world.all()
        sizes[bytes_max] = row
    first = Response.decode(sizes[100_000].value or b"")
    assert (first.body is not None, sizes[100_000].headers) == (True, headers)
    if view != "silent":
        whole = Response.decode(sizes[5_000].value or b"")
        assert (whole.body is not None, sizes[5_000].headers) == (True, ())
    for bytes_max, decided in ((1_200, True), (450, False)):
        told = Response.decode(sizes[bytes_max].value or b"")
        assert told.error is not None
        assert (told.error.code, told.request_id) == ("answer_too_large", "mine")
        assert (told.decision is not None, sizes[bytes_max].headers, sizes[bytes_max].key) == (decided, (), b"key")
    assert sizes[100].topic == "dead-letters"
    gone = NotSent.decode(sizes[100].value or b"")
    # Where the broker alone knew, a letter tells of what it refused last.
    assert (gone.headers, gone.key_bytes) == (0 if view == "silent" else len(headers), 3)


def test_an_error_in_place_of_an_answer_keeps_the_headers_that_fit() -> None:
    world = World()
    world.cluster.configure(REPLIES, max_bytes=2_000)
    world.producer.send([response("x" * 3_000)])
    (row,) = world.cluster.records(REPLIES)
    assert row.headers == HEADERS


def test_a_letter_of_what_was_not_sent_has_its_ids_and_no_text() -> None:
    world = World()
    world.cluster.delete(REPLIES)
    world.producer.send([response(), error()])
    for row in world.cluster.records("dead-letters"):
        left = NotSent.decode(row.value or b"")
        assert (left.id, left.request_id, left.topic, row.key) == ("0-7-tag", "mine", REPLIES, None)
        assert TEXT.encode() not in (row.value or b"") + b"".join(value or b"" for _, value in row.headers)


def test_a_forward_that_is_too_large_fails_whoever_waits_for_its_answer() -> None:
    world = World()
    world.producer.send([shard_forward("x" * 3_000_000), direct_forward("x" * 3_000_000)])
    (event,) = world.cluster.records("journal")
    failed = decode_event(event.value or b"")
    assert isinstance(failed, AnswerFailed)
    assert (event.partition, failed.forward_id, failed.error.code) == (1, "0-7-tag", "too_large")
    (told,) = world.cluster.records(REPLIES)
    response_ = Response.decode(told.value or b"")
    assert response_.error is not None
    assert (response_.error.code, response_.request_id) == ("too_large", "mine")
    assert world.cluster.records("forwards") == []


def test_a_question_or_an_answer_that_the_journal_does_not_take_ends_as_an_error() -> None:
    world = World()
    world.producer.send([asked("x" * 3_000_000), answered("x" * 3_000_000)])
    (event,) = world.cluster.records("journal")
    failed = decode_event(event.value or b"")
    assert isinstance(failed, AnswerFailed)
    assert failed.error.code == "answer_too_large"
    (told,) = world.cluster.records(REPLIES)
    assert Response.decode(told.value or b"").request_id == "mine"


def test_a_completion_that_is_too_large_becomes_a_failed_one() -> None:
    world = World()
    world.producer.send([KINDS["completion"]("x" * 3_000_000)])
    (row,) = world.cluster.records("completions")
    failed = Completion.decode(row.value or b"")
    assert failed.error is not None
    assert (failed.route, failed.error.code) == ("r", "answer_too_large")


def test_an_answer_whose_reply_does_not_fit_either_becomes_a_letter_by_way_of_the_forward() -> None:
    world = World()
    world.cluster.delete("forwards")
    world.cluster.delete(REPLIES)
    world.producer.send([direct_forward()])
    (row,) = world.cluster.records("dead-letters")
    assert NotSent.decode(row.value or b"").topic == "forwards"
    assert REPLIES.encode() in (dict(row.headers)[HEADER_REASON] or b"")


def test_without_dead_letters_the_rest_is_written() -> None:
    world = World()
    world.cluster.delete("dead-letters")
    world.cluster.delete(REPLIES)
    world.producer.send([good(1, "responses"), letter(), response(), good(2, "responses")])
    assert [row.value for row in world.cluster.records("responses")] == [b"good 1", b"good 2"]


class Grudging:
    """A producer that refuses several for one topic at once, as a broker does whose topic takes less than a batch."""

    def __init__(self, inner: Producer, bytes_max: int, refused: RefusedRecord) -> None:
        self._inner, self._bytes_max, self._refused = inner, bytes_max, refused
        self.together: list[int] = []
        self.single = 0

    def send(self, records: Sequence[Outgoing]) -> None:
        self.together.append(len(records))
        sizes = [wire_bytes(record) for record in records if record.topic == REPLIES]
        if sum(sizes) <= self._bytes_max:
            return self._inner.send(records)
        self._inner.send([record for record in records if record.topic != REPLIES])
        raise RecordsRefused({at: self._refused for at, record in enumerate(records) if record.topic == REPLIES})

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        self.single += len(records)
        self._inner.send_singly(records)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("why", [RefusedRecord("too much", True, True), RefusedRecord("another's fault", False, True)])
def test_records_that_are_refused_for_others_are_sent_again_by_themselves(why: RefusedRecord) -> None:
    world = World("silent")
    inner = Grudging(world.cluster.producer(), 1_000, why)
    producer = fitting_producer(inner, world.view, "refrain.", "lookup", world.metrics)
    producer.send([good(0, "responses"), *(response() for _ in range(5)), good(1, "responses")])
    assert [row.value for row in world.cluster.records(REPLIES)] == [response().value] * 5
    assert len(world.cluster.records("responses")) == 2
    assert inner.single == 5


def test_to_a_topic_that_takes_less_than_a_batch_records_go_by_themselves() -> None:
    world = World()
    world.cluster.configure(REPLIES, max_bytes=1_000)
    inner = Grudging(world.cluster.producer(), 1_000, RefusedRecord("too much", True, True))
    producer = fitting_producer(inner, world.view, "refrain.", "lookup", world.metrics)
    producer.send([good(0, "responses"), *(response() for _ in range(5)), good(1, "responses")])
    assert len(world.cluster.records(REPLIES)) == 5
    assert (inner.together, inner.single) == ([2], 5)


class Refusing:
    """A producer that refuses everything."""

    def send(self, records: Sequence[Outgoing]) -> None:
        raise RecordsRefused(dict.fromkeys(range(len(records)), RefusedRecord("no", True)))

    send_singly = send

    def close(self) -> None:
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_that_refuses_everything_is_given_up_in_the_end(kind: str) -> None:
    world = World()
    producer: FittingProducer = fitting_producer(Refusing(), world.view, "refrain.", "lookup", world.metrics)
    producer.send([KINDS[kind](TEXT)])
    with pytest.raises(SendFailed, match="documents"):
        producer.send([good(1, "documents")])


@pytest.mark.parametrize("view", VIEWS)
def test_a_transaction_is_done_without_what_does_not_fit(view: str) -> None:
    world = World(view)
    world.cluster.configure("decisions", max_bytes=1_500)
    transactions = fitting_transactions(
        world.cluster.transactional("w"), world.view, "refrain.", "lookup", world.metrics
    )
    world.cluster.create("stats", 1, max_bytes=100)
    document = Outgoing("documents", b"meta/meta", b"{}", (), 1)
    stats = Outgoing("stats", b"0", b"x" * 500, (), 0)
    ends = transactions.transact([document, decision("short"), decision("x" * 2_000), stats], None, {})
    assert ends["documents", 1] == 1
    kept = [Decision.decode(row.value or b"") for row in world.cluster.records("decisions")]
    assert sorted(each.differs != () for each in kept) == [False, True]
    (row,) = world.cluster.records("dead-letters")
    assert NotSent.decode(row.value or b"").topic == "stats"


class Crowded:
    """Transactions of a broker that refuses all records for one topic when one is too large, and does not say which."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.written: list[Outgoing] = []

    def transact(
        self, records: Sequence[Outgoing], member: object, offsets: Mapping[int, object]
    ) -> dict[tuple[str, int], int]:
        of_topic = {at: record for at, record in enumerate(records) if record.topic == "decisions"}
        if max(wire_bytes(record) for record in of_topic.values()) > self.bytes_max:
            raise RecordsRefused(dict.fromkeys(of_topic, RefusedRecord("too large", True, True)))
        self.written += records
        return {}

    def close(self) -> None:
        pass


def test_where_nobody_knows_what_a_topic_takes_the_largest_record_becomes_smaller() -> None:
    world = World("silent")
    inner = Crowded(1_500)
    transactions = fitting_transactions(inner, world.view, "refrain.", "lookup", world.metrics)
    sent = [decision("short"), decision("x" * 2_000), good(1, "documents"), decision("x" * 5_000), decision("short")]
    transactions.transact(sent, None, {})
    assert [record for record in inner.written if record in sent] == [sent[0], sent[2], sent[4]]
    bare = [Decision.decode(record.value or b"") for record in inner.written if record not in sent]
    assert [each.differs for each in bare] == [(), ()]


def test_a_transaction_without_documents_fails() -> None:
    world = World()
    transactions = fitting_transactions(
        world.cluster.transactional("w"), world.view, "refrain.", "lookup", world.metrics
    )
    world.cluster.configure("documents", max_bytes=1_000)
    with pytest.raises(SendFailed, match="documents"):
        transactions.transact([Outgoing("documents", b"k", b"x" * 2_000), decision()], None, {})
    assert world.all() == []
