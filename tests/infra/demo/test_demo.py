"""What the demo makes of the answers it gets, and that it finds text that must not be there."""

from __future__ import annotations

import json
from pathlib import Path

from confluent_kafka.admin import AdminClient

from infra.demo.leaks import files_with, topics_with
from infra.demo.run import AskedQuestion, deviations, summary, table
from infra.demo.script import ScriptedQuestion
from refrain.ops.ask.client import AskReply
from refrain.schemas.base import Sealed
from refrain.schemas.journal import Answered
from refrain.schemas.requests import Request
from refrain.schemas.responses import DecisionSummary, Outcome, Response
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.settings import Settings
from tests.integration.make_topic import make_topic

ORIGINAL = ScriptedQuestion(question="Why?", category="chat", wave=1, expect="miss")
REWORDING = ScriptedQuestion(question="For what reason?", category="chat", wave=2, expect="hit", same_as="Why?")
NEVER = ScriptedQuestion(question="What are the symptoms?", category="medical", wave=1, expect="bypass")


def asked(
    question: ScriptedQuestion, outcome: Outcome | None, answer: str = "Because.", latency_ms: float = 10.0
) -> AskedQuestion:
    request = Request(body={"model": "m", "messages": [{"role": "user", "content": question.question}]})
    if outcome is None:
        return AskedQuestion(question, AskReply(0, request, failure="no response within 60 s"))
    response = Response(
        outcome=outcome,
        body={"choices": [{"message": {"role": "assistant", "content": answer}}]},
        decision=DecisionSummary(id="1", category=question.category, reason="similar_text", similarity=0.9),
    )
    return AskedQuestion(question, AskReply(0, request, response, latency_ms))


def test_nothing_deviates_when_all_is_as_expected() -> None:
    all_good = [asked(ORIGINAL, Outcome.MISS), asked(REWORDING, Outcome.HIT), asked(NEVER, Outcome.BYPASS)]
    assert deviations(all_good) == []


def test_another_outcome_than_expected_is_told() -> None:
    assert deviations([asked(ORIGINAL, Outcome.HIT)]) == ["'Why?': miss expected, hit came similar_text"]
    assert deviations([asked(ORIGINAL, None)]) == ["'Why?': miss expected, none came no response within 60 s"]


def test_a_hit_with_the_answer_of_another_question_is_told() -> None:
    served = asked(REWORDING, Outcome.HIT, "Another answer.")
    assert deviations([asked(ORIGINAL, Outcome.MISS), served]) == [
        "'For what reason?': the answer is not that of 'Why?'"
    ]


def test_a_response_without_an_answer_is_told() -> None:
    assert deviations([asked(ORIGINAL, Outcome.MISS, "")]) == ["'Why?': miss without an answer"]


def test_the_summary_counts_outcomes_and_saved_calls() -> None:
    line = summary(
        [
            asked(ORIGINAL, Outcome.MISS, latency_ms=200.0),
            asked(REWORDING, Outcome.HIT, latency_ms=5.0),
            asked(NEVER, Outcome.BYPASS),
            asked(NEVER, None),
        ],
        wrong=1,
    )
    assert line == (
        "asked 4: 1 hits, 1 misses, 0 coalesced, 1 bypassed, 1 errors, 1 wrong;"
        " model calls saved 1 of 4; median hit 5 ms, miss 200 ms"
    )


def test_the_table_has_a_row_a_question() -> None:
    assert table([asked(ORIGINAL, Outcome.MISS), asked(REWORDING, None)]).row_count == 2


def test_text_is_found_in_files_also_when_json_escapes_it(tmp_path: Path) -> None:
    text = 'say "ouch"'
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "plain").write_bytes(b"\0..." + text.encode())
    (tmp_path / "escaped").write_text(json.dumps({"body": json.dumps({"text": text})}))
    (tmp_path / "clean").write_text("nothing")
    assert files_with([tmp_path], [text]) == {
        tmp_path / "deep" / "plain": {text},
        tmp_path / "escaped": {text},
    }


def test_text_is_found_in_every_topic_that_holds_it(admin: AdminClient, settings: Settings) -> None:
    for topic in ("clean", "journal", "requests"):
        make_topic(admin, settings.prefix + topic, 2)
    sealed = Answered(forward_id="1", body=Sealed(data='{"content": "What are the symptoms?"}')).encode()
    KafkaCluster(settings).producer().send(
        [
            Outgoing("clean", b"key", b"something else"),
            Outgoing("journal", b"key", sealed),
            Outgoing("requests", b"key", None, (("question", b"What are the symptoms?"),)),
        ]
    )
    assert topics_with(settings, [NEVER.question]) == {
        "journal": {NEVER.question},
        "requests": {NEVER.question},
    }
