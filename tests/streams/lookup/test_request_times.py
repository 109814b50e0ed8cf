"""How long requests take, by outcome, is measured from the response itself."""

from __future__ import annotations

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.progress import Progress
from refrain.schemas.responses import DecisionSummary, Outcome, Response
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.lookup.request_times import RequestTimes, told_by
from refrain.streams.metrics import Metrics, request_seconds
from refrain.streams.shard.outcome import FoldResult

TRICKS = '"outcome":"error" "decision":{"id":"x"}'


def response(outcome: Outcome, id_: str, request_id: str | None = None) -> Outgoing:
    told = Response(
        request_id=request_id,
        tenant="t",
        outcome=outcome,
        body={"choices": [{"message": {"content": TRICKS}}], "decision": {"id": "inner"}},
        decision=DecisionSummary(id=id_, reason="similar_text"),
    )
    return Outgoing("responses", None, told.encode())


def decided(id_: str, outcome: Outcome, time_ms: int) -> FoldResult:
    decision = Decision(id=id_, partition=0, offset=1, time_ms=time_ms, tenant="t", category="c", model="m",
                        outcome=outcome, reason=Reason.SIMILAR_TEXT)  # fmt: skip
    return FoldResult(decisions=[decision])


def test_outcome_and_decision_are_found_whatever_the_texts_say() -> None:
    for outcome in Outcome:
        assert told_by(response(outcome, "0-7-x", TRICKS).value or b"") == (outcome, "0-7-x")
    assert told_by(Response(outcome=Outcome.MISS, body={}).encode()) is None
    assert told_by(b"") is None


def test_a_hit_is_measured_at_once_and_a_miss_when_its_answer_comes() -> None:
    metrics = Metrics()
    times = RequestTimes(request_seconds(metrics))

    def seen(outcome: str) -> tuple[float | None, float | None]:
        labels = {"outcome": outcome}
        value = metrics.registry.get_sample_value
        return value("refrain_request_seconds_count", labels), value("refrain_request_seconds_sum", labels)

    folded = [decided("hit", Outcome.HIT, 1_000), decided("miss", Outcome.MISS, 1_000)]
    forward = Outgoing("forwards", b"miss", b'"outcome":"miss" "decision":{"id":"miss"}')
    times.take(folded, [response(Outcome.HIT, "hit"), forward], 1_250)
    assert (seen("hit"), seen("miss")) == ((1, 0.25), (0, 0))
    times.take([], [response(Outcome.MISS, "miss"), response(Outcome.MISS, "of another worker")], 3_000)
    assert seen("miss") == (1, 2.0)


def test_what_tells_of_progress_is_no_response() -> None:
    metrics = Metrics()
    summary = DecisionSummary(id="miss", reason="below_threshold")
    told = Outgoing("progress", None, Progress(outcome=Outcome.MISS, decision=summary).encode())
    RequestTimes(request_seconds(metrics)).take([decided("miss", Outcome.MISS, 1_000)], [told], 1_001)
    assert metrics.registry.get_sample_value("refrain_request_seconds_count", {"outcome": "miss"}) == 0


def test_a_clock_that_runs_behind_gives_no_negative_time() -> None:
    metrics = Metrics()
    times = RequestTimes(request_seconds(metrics))
    times.take([decided("a", Outcome.ERROR, 5_000)], [response(Outcome.ERROR, "a")], 4_000)
    assert metrics.registry.get_sample_value("refrain_request_seconds_sum", {"outcome": "error"}) == 0
