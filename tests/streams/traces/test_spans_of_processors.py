"""Spans of classify and lookup by themselves: batches that are made again, answers without a context, restarts."""

from __future__ import annotations

from typing import Any

from refrain.schemas.base import Sealed
from refrain.schemas.decisions import Reason
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome
from refrain.streams.classify.spans import RequestSpans
from refrain.streams.compare.worker import CompareMetrics, CompareStep
from refrain.streams.kafka.interface import Headers, Outgoing, Record
from refrain.streams.lookup.spans import DecisionSpans
from refrain.streams.messaging.shards import Shards
from refrain.streams.metrics import Metrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.models.verifier import SharedWordsVerifier, Verifier
from refrain.streams.shard.fold import fold
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.traces.interface import OFF
from refrain.streams.traces.otel import context_of
from refrain.streams.verify.worker import VerifyMetrics, VerifyStep
from tests.streams.shard.journal import Journal, new_shard, vector
from tests.streams.traces.recorded import Recorder, paths, told

PARENT: Headers = (("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),)
UNSAMPLED: Headers = (("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),)
REQUEST = Record("requests", 0, 7, 5, None, b"{}", PARENT)
TO_SHARD = Outgoing("journal", b"k", b"{}")


class Looked:
    """A shard that folds with spans."""

    def __init__(self, recorder: Recorder, **category: Any) -> None:
        self.journal, self.shard = Journal(), new_shard()
        self.spans = DecisionSpans(recorder("lookup"), lambda: {"code"})
        fold(self.shard, self.journal.policy(**category))

    def fold(self, record: Record, headers: Headers = ()) -> tuple[FoldResult, list[Outgoing]]:
        """Fold a record with these headers: what the fold gives, and what is sent."""
        record = record._replace(headers=headers)
        folded = fold(self.shard, record)
        effects = self.spans.effects([(record, folded)])
        self.spans.sent()
        return folded, effects


def test_a_batch_that_is_made_again_has_one_span_a_request() -> None:
    recorder = Recorder()
    spans = RequestSpans(recorder("classify"))
    for _ in range(3):
        spans.begin([REQUEST])
        spans.mark("embed")
        spans.mark("route")
        spans.mark("")
        (out,) = spans.carried([[TO_SHARD]])
    spans.sent()
    spans.sent()
    names = [span.name for span in recorder.spans]
    assert names.count("classify") == 1
    assert out.headers == tuple((name, value) for name, value in out.headers if name == "traceparent"), (
        "one context and nothing else"
    )


def test_without_traces_records_are_the_same_objects() -> None:
    spans = RequestSpans(OFF)
    spans.begin([REQUEST])
    spans.mark("embed")
    spans.categorised([REQUEST], lambda record: 1 / 0)  # type: ignore[arg-type,return-value]
    (out,) = spans.carried([[TO_SHARD]])
    assert out is TO_SHARD


def test_where_requests_go_is_told() -> None:
    recorder = Recorder()
    spans = RequestSpans(recorder("classify"))
    letter = Outgoing("dead-letters", None, b"", (("refrain.dead.reason", b"too_deep: nested"),))
    forward = Outgoing("forwards", b"id", b"{}")
    spans.begin([REQUEST] * 4)
    spans.carried([[TO_SHARD], [forward, TO_SHARD], [letter, Outgoing("responses", None, b"")], []])
    spans.sent()
    assert [told(span)["to"] for span in recorder.spans] == ["shard", "model", "requester", "nowhere"]
    assert [told(span).get("error.type") for span in recorder.spans] == [None, None, "too_deep", None]


def test_an_answer_whose_connector_drops_the_context_is_told_within_the_decision() -> None:
    recorder = Recorder()
    looked = Looked(recorder)
    _, effects = looked.fold(looked.journal.ask("a", vector(1.0)), PARENT)
    (forward,) = [effect for effect in effects if effect.topic == "forwards"]
    assert context_of(forward.headers) is not None
    looked.fold(looked.journal.answer((forward.key or b"").decode()))
    assert paths(recorder.spans) == ["lookup", "lookup/respond"]


def test_a_question_that_comes_again_leaves_the_span_of_the_first_in_place() -> None:
    recorder = Recorder()
    looked = Looked(recorder)
    asked = looked.journal.ask("a", vector(1.0))
    _, effects = looked.fold(asked, PARENT)
    folded, _ = looked.fold(looked.journal.add(asked.value or b""), PARENT)
    assert folded.decisions == []
    looked.fold(looked.journal.answer((effects[-1].key or b"").decode()))
    first, again, answer = recorder.spans
    assert told(again) == {"repeated": True}
    assert answer.parent is not None
    assert first.context is not None
    assert answer.parent.span_id == first.context.span_id


def test_after_a_restart_a_response_has_the_span_of_its_record_alone() -> None:
    recorder = Recorder()
    looked = Looked(recorder)
    _, effects = looked.fold(looked.journal.ask("a", vector(1.0)), PARENT)
    (forward,) = [effect for effect in effects if effect.topic == "forwards"]
    looked.spans = DecisionSpans(recorder("lookup"), lambda: {"code"})
    recorder.clear()
    looked.fold(looked.journal.answer((forward.key or b"").decode()), forward.headers)
    assert [(span.name, told(span)["outcome"]) for span in recorder.spans] == [("respond", "miss")]


def test_what_its_caller_does_not_record_is_carried_to_the_model() -> None:
    recorder = Recorder()
    looked = Looked(recorder)
    _, effects = looked.fold(looked.journal.ask("a", vector(1.0)), UNSAMPLED)
    (forward,) = [effect for effect in effects if effect.topic == "forwards"]
    assert forward.headers == UNSAMPLED
    assert recorder.spans == []


def test_a_question_that_times_out_is_told_within_its_decision() -> None:
    recorder = Recorder()
    looked = Looked(recorder)
    looked.fold(looked.journal.ask("a", vector(1.0)), PARENT)
    looked.fold(looked.journal.tick(after_ms=600_000))
    assert paths(recorder.spans) == ["lookup", "lookup/respond"]
    (span,) = [span for span in recorder.spans if span.name == "respond"]
    assert told(span)["outcome"] == Outcome.ERROR.value


def test_a_question_that_waited_for_a_second_opinion_is_decided_within_its_first_span() -> None:
    recorder = Recorder()
    looked = Looked(recorder, verify=0.5)
    _, effects = looked.fold(looked.journal.ask("a", vector(1.0)))
    looked.fold(looked.journal.answer((effects[-1].key or b"").decode()))
    folded, effects = looked.fold(looked.journal.ask("b", vector(1.0)), PARENT)
    assert folded.decisions == []
    assert [effect.topic for effect in effects] == ["doubts"]
    folded, effects = looked.fold(looked.journal.tick(after_ms=600_000))
    assert [decision.reason for decision in folded.decisions] == [Reason.VERIFIER_SILENT]
    assert [path for path in paths(recorder.spans) if "respond" not in path] == ["lookup", "lookup/lookup"]
    (forward,) = [effect for effect in effects if effect.topic == "forwards"]
    (decided,) = [span for span in recorder.spans if "reason" in told(span)]
    assert decided.context is not None
    assert format(decided.context.span_id, "016x").encode() in dict(forward.headers)["traceparent"]  # type: ignore[operator]


def test_a_category_that_the_policy_does_not_define_is_told_as_other() -> None:
    recorder = Recorder()
    looked = Looked(recorder)
    looked.fold(looked.journal.ask("a", vector(1.0), category="invented"), PARENT)
    assert told(recorder.spans[0])["category"] == "other"


def test_a_record_that_cannot_be_read_is_folded_as_without_traces() -> None:
    recorder = Recorder()
    looked = Looked(recorder)
    folded, effects = looked.fold(looked.journal.add(b"junk"), PARENT)
    assert effects == folded.effects
    assert recorder.spans == []


def test_a_second_opinion_is_given_within_the_decision_that_waits_for_it() -> None:
    recorder = Recorder()
    looked = Looked(recorder, verify=0.5)
    verify = verify_step(recorder, looked, SharedWordsVerifier())
    _, effects = looked.fold(looked.journal.ask("reverse a list", vector(1.0)))
    looked.fold(looked.journal.answer((effects[-1].key or b"").decode()))
    _, (doubt,) = looked.fold(looked.journal.ask("weather tomorrow", vector(1.0)), PARENT)
    for _ in range(2):
        # The batch is made again: what is told of it is told once.
        (opinion,) = verify.process([taken(doubt)])
    verify.sent()
    assert opinion.headers == ()
    looked.fold(looked.journal.add(opinion.value or b""))
    assert [path for path in paths(recorder.spans) if "respond" not in path] == [
        "lookup", "lookup/lookup", "lookup/verify",
    ]  # fmt: skip
    (span,) = [span for span in recorder.spans if span.name == "verify"]
    assert told(span) == {"outcome": "other", "score": 0.0}


def test_doubts_that_are_late_unreadable_or_of_nobody_are_told_so_and_others_have_no_span() -> None:
    recorder = Recorder()
    looked = Looked(recorder)
    doubt = DoubtRaised(
        id="0-1-tag", partition=0, incarnation=looked.shard.incarnation, category="code", entry=1,
        question=Sealed(data="a"), cached=Sealed(data="a"), deadline_at_ms=5,
    )  # fmt: skip
    late = taken(Outgoing("doubts", b"0-1-tag", doubt.encode(), PARENT))
    wrong = taken(Outgoing("doubts", b"0-1-tag", b"{", PARENT))
    for verifier in (SharedWordsVerifier(), None):
        verify = verify_step(recorder, looked, verifier, now_ms=6)
        verify.process([late._replace(headers=()), wrong, late])
        verify.sent()
        assert [told(span) for span in recorder.spans] == [{"error.type": "unreadable"}, {"outcome": "late"}]
        recorder.clear()
    verify = verify_step(recorder, looked, None, now_ms=4)
    verify.process([late])
    verify.sent()
    assert [told(span) for span in recorder.spans] == [{"outcome": "unknown"}]


def test_the_comparison_of_an_observed_answer_is_within_its_decision() -> None:
    recorder = Recorder()
    looked = Looked(recorder)
    compare = CompareStep(HashingEmbedder, 10, CompareMetrics(Metrics()), recorder("compare"))
    _, effects = looked.fold(looked.journal.ask("a", vector(1.0)))
    looked.fold(looked.journal.answer((effects[-1].key or b"").decode(), "one answer"))
    _, (forward,) = looked.fold(looked.journal.ask("b", vector(1.0), mode=CacheMode.OBSERVE), PARENT)
    _, effects = looked.fold(looked.journal.answer((forward.key or b"").decode(), "another"), forward.headers)
    (observation,) = [effect for effect in effects if effect.topic == "observations"]
    compare.process([taken(observation)])
    compare.sent()
    assert [path for path in paths(recorder.spans) if "compare" in path] == ["lookup/compare"]
    (span,) = [span for span in recorder.spans if span.name == "compare"]
    assert set(told(span)) == {"category", "equal", "similarity"}


def test_after_a_restart_a_comparison_is_within_the_answer_that_it_is_of() -> None:
    recorder = Recorder()
    looked = Looked(recorder)
    _, effects = looked.fold(looked.journal.ask("a", vector(1.0)))
    looked.fold(looked.journal.answer((effects[-1].key or b"").decode()))
    _, (forward,) = looked.fold(looked.journal.ask("b", vector(1.0), mode=CacheMode.OBSERVE), PARENT)
    looked.spans = DecisionSpans(recorder("lookup"), lambda: {"code"})
    _, effects = looked.fold(looked.journal.answer((forward.key or b"").decode()), forward.headers)
    (observation,) = [effect for effect in effects if effect.topic == "observations"]
    (respond,) = [span for span in recorder.spans if span.name == "respond"]
    assert respond.context is not None
    assert format(respond.context.span_id, "016x").encode() in (dict(observation.headers)["traceparent"] or b"")


def taken(out: Outgoing) -> Record:
    """A record as its reader gets it."""
    return Record(out.topic, 0, 1, 5, out.key, out.value, out.headers)


def verify_step(recorder: Recorder, looked: Looked, verifier: Verifier | None, now_ms: int = 0) -> VerifyStep:
    journal = Shards(1, looked.shard.incarnation)
    return VerifyStep(verifier, 10, journal, VerifyMetrics(Metrics()), lambda: now_ms, recorder("verify"))
