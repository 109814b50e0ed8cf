"""An outage is told once at its start and once at its end, and what waits for it asks again with growing pauses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import pytest

from refrain.streams.errors import ClusterFailed, Unanswered, WrongSetup
from refrain.streams.kafka.interface import Record, Span, Wanted
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.outages import PAUSE_S_MAX, SETTLE_S, Outages, PatientCluster, asked_once
from tests.streams.kafka.cluster_contract import records_of, values

AWAY = Unanswered("nobody is there")


class Time:
    """Seconds that pass when somebody sleeps; `stop_at_s` is when the worker is asked to stop."""

    def __init__(self, stop_at_s: float = 10**9) -> None:
        self.now_s = 0.0
        self.stop_at_s = stop_at_s
        self.changes: list[bool] = []

    def outages(self, patience_s: float = 10**9) -> Outages:
        return Outages(
            lambda: self.now_s >= self.stop_at_s,
            patience_s=patience_s,
            changed=self.changes.append,
            clock=lambda: self.now_s,
            sleep=self.pass_s,
        )

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


def after(seconds: float, time: Time, asked_at: list[float]) -> Callable[[], str]:
    """A question that is answered from that second on."""

    def ask() -> str:
        asked_at.append(time.now_s)
        if time.now_s < seconds:
            raise AWAY
        return "here"

    return ask


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


def test_a_question_is_asked_again_with_growing_pauses_until_it_is_answered() -> None:
    time, asked_at = Time(), list[float]()
    assert time.outages().ask_again("x", after(120, time, asked_at)) == "here"
    pauses = [later - before for before, later in pairwise(asked_at)]
    assert pauses[0] < 0.5
    assert pauses[-1] >= PAUSE_S_MAX
    assert len(asked_at) < 80
    assert time.now_s < 120 + 2 * PAUSE_S_MAX, "what is back is soon found"


def test_an_outage_is_one_line_at_its_start_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    outages = time.outages()
    with outages.waiting("sending") as one, outages.waiting("the policy") as other:
        for _ in range(5):
            one.failed("no leader")
            other.failed("no leader")
            time.pass_s(10)
            outages.settle()
        assert time.changes == [True]
    time.pass_s(SETTLE_S + 1)
    outages.settle()
    outages.settle()
    assert time.changes == [True, False]
    begin, end = said(caplog)
    assert "sending: no leader" in begin
    assert "again, after 50.0 s" in end


def test_answers_between_failures_are_no_end_of_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    outages = time.outages()
    with outages.waiting("reading") as wait:
        for _ in range(20):
            wait.failed("the leader moves")
            time.pass_s(0.5)
            wait.answered()
            time.pass_s(1)
            outages.settle()
    assert len(said(caplog)) == 1
    assert time.changes == [True]


def test_what_is_answered_at_once_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    assert time.outages().ask_again("x", lambda: 5) == 5
    assert said(caplog) == []
    assert time.changes == []


def test_a_worker_that_is_to_stop_waits_no_longer() -> None:
    time = Time(stop_at_s=7)
    with pytest.raises(Unanswered):
        time.outages().ask_again("x", after(1_000, time, []))
    assert time.now_s < 8


def test_patience_has_its_end() -> None:
    time = Time()
    with pytest.raises(Unanswered):
        time.outages(patience_s=30).ask_again("x", after(1_000, time, []))
    assert 30 <= time.now_s < 30 + 2 * PAUSE_S_MAX


def test_what_does_not_pass_is_not_asked_again() -> None:
    asked: list[int] = []

    def ask() -> None:
        asked.append(1)
        raise WrongSetup("no such topic")

    with pytest.raises(WrongSetup):
        Time().outages().ask_again("x", ask)
    assert asked == [1]


class Faltering(MemoryCluster):
    """A cluster in memory that does not answer so many questions, and ends a scan after so many records."""

    def __init__(self, failures: int, records_a_scan: int = 10**6) -> None:
        super().__init__(lambda: 0, {"things": 1})
        self.failures = failures
        self.records_a_scan = records_a_scan

    def _answer(self) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise AWAY

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        self._answer()
        return super().ends(topic)

    def partitions(self, topic: str) -> int:
        self._answer()
        return super().partitions(topic)

    def topic_id(self, topic: str) -> str:
        self._answer()
        return super().topic_id(topic)

    def tombstones_ms(self, topic: str) -> int:
        self._answer()
        return super().tombstones_ms(topic)

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        self._answer()
        for count, record in enumerate(super().scan(topic, partition, start, stop=stop)):
            if count == self.records_a_scan:
                raise AWAY
            yield record

    def sift(self, topic: str, spans: Mapping[int, Span], wanted: Wanted | None = None) -> Iterator[Record]:
        self._answer()
        for count, record in enumerate(super().sift(topic, spans, wanted)):
            if count == self.records_a_scan:
                raise AWAY
            yield record


@pytest.mark.parametrize("question", ["ends", "partitions", "topic_id", "tombstones_ms"])
def test_a_patient_cluster_asks_until_it_is_answered(question: str) -> None:
    inner = Faltering(failures=3)
    expected = getattr(MemoryCluster(lambda: 0, {"things": 1}), question)("things")
    patient = PatientCluster(inner, Time().outages())
    assert getattr(patient, question)("things") == expected
    inner.failures = 1
    with pytest.raises(ClusterFailed):
        getattr(asked_once(patient), question)("things")


def test_a_scan_goes_on_where_an_outage_stopped_it() -> None:
    inner = Faltering(failures=2, records_a_scan=3)
    inner.producer().send(records_of("things", 10))
    time = Time()
    patient = PatientCluster(inner, time.outages())
    assert values(list(patient.scan("things", 0, 2))) == [str(number).encode() for number in range(2, 10)]
    assert time.changes == [True]


def test_spans_are_sifted_on_where_an_outage_stopped_that() -> None:
    inner = Faltering(failures=2, records_a_scan=3)
    inner.producer().send(records_of("things", 10))
    time = Time()
    patient = PatientCluster(inner, time.outages())
    found = values(list(patient.sift("things", {0: Span(2, 9)}, lambda _, value: value != b"4")))
    assert found == [str(number).encode() for number in (2, 3, 5, 6, 7, 8)]
    assert time.changes == [True]


def test_a_scan_that_is_to_end_does_not_wait_for_an_outage_to_end() -> None:
    inner = Faltering(failures=10**6)
    assert list(PatientCluster(inner, Time().outages()).scan("things", 0, stop=lambda: True)) == []
