"""Whatever goes wrong with a record costs that record alone; what is no record's fault passes through."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from confluent_kafka import KafkaException

from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_PROCESSOR, HEADER_REASON
from refrain.streams.errors import (
    ClusterFailed,
    Fenced,
    ModelUnavailable,
    Refusal,
    RefusalCode,
    SendFailed,
    ShardBroken,
    StoreDamaged,
    WrongSetup,
)
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.decoding import RECORD_BYTES_MAX
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.barrier import Barrier
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.stateless import Step, run_stateless
from refrain.streams.settings import Settings

SECRET = "my secret diagnosis"
TOPICS = {"requests": 1, "responses": 1, "journal": 1, "dead-letters": 1}
OF_NO_RECORD = [
    ClusterFailed,
    Fenced,
    SendFailed,
    StoreDamaged,
    ShardBroken,
    WrongSetup,
    ModelUnavailable,
    MemoryError,
    KafkaException,
]


class Picky(Step):
    """Asks each value but those it fails of, alone or with the whole batch; answers whoever is told."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.batches: list[list[bytes | None]] = []
        self.sent_ = 0

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        self.batches.append([record.value for record in batch])
        if self.error is not None and any(record.value == b"bad" for record in batch):
            raise self.error
        return [Outgoing("journal", None, record.value) for record in batch]

    def tell(self, record: Record, refusal: Refusal) -> list[Outgoing]:
        return [Outgoing("responses", record.key, refusal.code.value.encode())]

    def sent(self) -> None:
        self.sent_ += 1


def run(step: Step, *values: bytes | None, metrics: Metrics | None = None, batch_max: int = 10) -> MemoryCluster:
    cluster = MemoryCluster(lambda: 0, TOPICS)
    cluster.create("requests", 1, max_bytes=200_000_000)
    cluster.append([Outgoing("requests", b"k", value) for value in values])
    left = iter(range(20))
    context = WorkerContext(Settings(), cluster, metrics or Metrics(), stop=lambda: next(left) == 3, ready=lambda: None,
                            now_ms=lambda: 0)  # fmt: skip
    consumer = cluster.consumer("requests", "p")
    run_stateless("p", consumer, cluster.producer(), step, context, batch_max=batch_max)
    return cluster


def header(letter: Record, name: str) -> str:
    return (dict(letter.headers)[name] or b"").decode()


def test_a_batch_that_fails_is_worked_one_at_a_time_and_one_record_is_set_aside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    step, metrics = Picky(ZeroDivisionError(SECRET)), Metrics()
    with caplog.at_level(logging.DEBUG):
        cluster = run(step, b"a", b"bad", b"c", metrics=metrics)
    assert [each.value for each in cluster.records("journal")] == [b"a", b"c"]
    (letter,) = cluster.records("dead-letters")
    assert (letter.key, letter.value, header(letter, HEADER_OFFSET)) == (None, None, "1")
    assert header(letter, HEADER_PROCESSOR) == "p"
    assert header(letter, HEADER_REASON).startswith("internal: ZeroDivisionError at test_barrier.py:")
    assert [each.value for each in cluster.records("responses")] == [b"internal"]
    assert metrics.registry.get_sample_value("refrain_refused_total", {"processor": "p", "reason": "internal"}) == 1
    assert SECRET not in header(letter, HEADER_REASON)
    assert SECRET not in caplog.text
    assert cluster.consumer("requests", "p").poll(10, 0) == [], "what was set aside is not read again"


def test_a_batch_without_faults_is_worked_as_one() -> None:
    step = Picky(ZeroDivisionError())
    run(step, b"a", b"b")
    assert (step.batches, step.sent_) == ([[b"a", b"b"]], 1)


def test_what_is_set_aside_alone_is_told_as_sent_of_those_that_were_worked() -> None:
    step = Picky(ZeroDivisionError())
    run(step, b"a", b"bad")
    assert step.sent_ == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, *OF_NO_RECORD])
def test_what_is_no_records_fault_passes_through(error: type[BaseException]) -> None:
    with pytest.raises(error):
        run(Picky(error("no")), b"a", b"bad")
    with pytest.raises(error):
        run(Picky(error("no")), b"bad")


def test_a_record_that_is_too_large_is_set_aside_unread_and_its_requester_is_told() -> None:
    step = Picky()
    cluster = run(step, b"a", b"x" * 100_000_000, b"c")
    assert step.batches == [[b"a", b"c"]]
    (letter,) = cluster.records("dead-letters")
    assert header(letter, HEADER_REASON).startswith("too_large: the record has 100000001 bytes")
    assert [each.value for each in cluster.records("responses")] == [b"too_large"]


def test_many_small_headers_make_a_record_too_large() -> None:
    step = Picky()
    cluster = MemoryCluster(lambda: 0, TOPICS)
    headers = (("", None),) * (RECORD_BYTES_MAX // 32 + 1)
    cluster.append([Outgoing("requests", b"k", b"v", headers)])
    left = iter(range(9))
    context = WorkerContext(Settings(), cluster, Metrics(), stop=lambda: next(left) == 2, ready=lambda: None,
                            now_ms=lambda: 0)  # fmt: skip
    run_stateless("p", cluster.consumer("requests", "p"), cluster.producer(), step, context, batch_max=9)
    assert step.batches == []
    assert len(cluster.records("dead-letters")) == 1


def test_a_step_that_cannot_tell_costs_the_error_and_not_the_letter() -> None:
    class Mute(Picky):
        def tell(self, record: Record, refusal: Refusal) -> list[Outgoing]:
            raise ZeroDivisionError

    cluster = run(Mute(ZeroDivisionError()), b"bad", b"c")
    assert len(cluster.records("dead-letters")) == 1
    assert [each.value for each in cluster.records("journal")] == [b"c"]


RECORD = Record("load", 0, 7, 0, b"k", SECRET.encode())


def test_a_refusal_keeps_its_code_and_what_is_made_of_it() -> None:
    refused = Refusal(RefusalCode.NOT_ASKED, "no")

    def work(record: Record) -> list[Outgoing]:
        raise refused

    made: list[tuple[Record, Refusal]] = []

    def refuse(record: Record, refusal: Refusal) -> list[Outgoing]:
        made.append((record, refusal))
        return [Outgoing("responses", None, b"no")]

    assert [each.value for each in Barrier("p", Metrics(), refuse).take(RECORD, work)] == [b"no"]
    assert made == [(RECORD, refused)]
    (letter,) = Barrier("p", Metrics()).take(RECORD, work)
    assert (letter.topic, letter.key, letter.value) == ("dead-letters", None, None)


def test_a_refusal_that_fails_leaves_a_letter_without_text() -> None:
    def fail(*_: object) -> list[Outgoing]:
        raise UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET)

    (letter,) = Barrier("p", Metrics(), fail).take(RECORD, fail)
    assert (letter.topic, letter.value) == ("dead-letters", None)
    assert not any(SECRET.encode() in (value or b"") for _, value in letter.headers)


def test_a_store_that_fails_while_a_record_is_refused_passes_through() -> None:
    def fail(record: Record) -> list[Outgoing]:
        raise ZeroDivisionError

    def damaged(record: Record, refusal: Refusal) -> list[Outgoing]:
        raise StoreDamaged("no")

    with pytest.raises(StoreDamaged):
        Barrier("p", Metrics(), damaged).take(RECORD, fail)
