"""A model that gives no answers is told of in the log, at once and then once a minute."""

from __future__ import annotations

import logging

import pytest

from refrain.schemas.forwards import Forward
from refrain.schemas.load import LoadSample
from refrain.streams.errors import RefusalCode
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Settings, Upstream
from refrain.streams.upstream.failures import WARN_EVERY_S, FailureLog, failure_of
from refrain.streams.upstream.load_meter import LoadMeter
from refrain.streams.upstream.model import Answer, failed_answer
from refrain.streams.upstream.worker import run_upstream


def test_the_first_failure_warns_at_once_and_others_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 100.0
    log = FailureLog(lambda: now_s)
    with caplog.at_level(logging.WARNING):
        log.add("gpt", None)
        log.warn()
        assert not caplog.messages
        log.add("gpt", "HTTP 503")
        log.warn()
        assert caplog.messages == ["the model gives no answers (gpt: 1 of 2 calls failed, the last: HTTP 503)"]
        for _ in range(40):
            log.add("gpt", "HTTP 500")
            log.warn()
        assert len(caplog.messages) == 1
        now_s += WARN_EVERY_S
        log.warn()
        assert caplog.messages[1:] == ["the model gives no answers (gpt: 40 of 40 calls failed, the last: HTTP 500)"]
        now_s += WARN_EVERY_S
        log.warn()
        assert len(caplog.messages) == 2


def test_names_that_clients_invent_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog(lambda: 0.0)
    with caplog.at_level(logging.WARNING):
        log.add("my secret is\n1234", "HTTP 404")
        log.warn()
    assert "secret" not in caplog.text
    assert "other: 1 of 1" in caplog.text


def test_what_came_is_told_without_the_servers_words() -> None:
    failed = failed_answer(RefusalCode.UPSTREAM, "the server answered 400: what a question", "HTTP 400")
    assert failure_of(failed) == "HTTP 400"
    assert failure_of(failed_answer(RefusalCode.ANSWER_TOO_LARGE, "large")) == "answer_too_large"
    assert failure_of(Answer(body={})) is None
    assert failure_of(Answer()) == "no reason"


def test_load_tells_calls_and_failures_since_the_last_sample() -> None:
    meter = LoadMeter("r")
    meter.add("m", 5.0, 1)
    meter.add("m", 5.0, 2, "HTTP 503")
    (sample,) = meter.samples({}, 3)
    assert (sample.calls, sample.failures, sample.failure) == (2, 1, "HTTP 503")
    (sample,) = meter.samples({}, 4)
    assert (sample.calls, sample.failures, sample.failure) == (0, 0, None)


class DeadModel:
    """Fails every call, in the server's words."""

    async def answer(self, forward: Forward) -> Answer:
        return failed_answer(RefusalCode.UPSTREAM, "the server answered 503: the words of a question", "HTTP 503")

    async def close(self) -> None:
        pass


def test_a_dead_model_shows_in_the_log_of_the_connector_and_in_load(caplog: pytest.LogCaptureFixture) -> None:
    cluster = MemoryCluster(lambda: 1_000)
    asked = [
        Forward(forward_id=name, model="gpt", body={}, deadline_at_ms=2_000, route="r") for name in ("a", "b", "c")
    ]
    cluster.append([Outgoing("forwards", each.forward_id.encode(), each.encode(), partition=0) for each in asked])

    def told() -> list[LoadSample]:
        return [LoadSample.decode(record.value or b"") for record in cluster.records("load")]

    with caplog.at_level(logging.WARNING):
        run_upstream(
            WorkerContext(
                Settings(upstream=Upstream(connector="simulated", load_interval_ms=100)),
                cluster,
                Metrics(),
                stop=lambda: sum(each.failures for each in told()) == len(asked),
                ready=lambda: None,
                now_ms=lambda: 1_000,
            ),
            make_model=DeadModel,
        )
    assert {each.failure for each in told() if each.failures} == {"HTTP 503"}
    warnings = [message for message in caplog.messages if "gives no answers" in message]
    assert len(warnings) == 1
    assert "gpt" in warnings[0]
    assert "words of a question" not in caplog.text
