"""What the demo makes of the answers it gets, and that it finds text that must not be there."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from infra.demo import steps
from infra.demo.asked import AskedQuestion, deviations
from infra.demo.leaks import files_with, topics_with
from infra.demo.run import summary, table
from infra.demo.script import LoadStep, ScriptedQuestion, WithdrawalStep
from infra.demo.steps import TwoAsks, report_overload
from infra.demo.told import next_commands, tell_guard, tell_load, tell_next, tell_withdrawal
from refrain.ops.ask.client import AskReply
from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.base import Sealed
from refrain.schemas.control import ReportLoad
from refrain.schemas.journal import Answered
from refrain.schemas.load import LoadSample
from refrain.schemas.policy import Guard
from refrain.schemas.requests import Request
from refrain.schemas.responses import DecisionSummary, GuardTold, Outcome, Problem, Response
from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.settings import Settings
from tests.infra.documents import command_line
from tests.infra.documents.documents import ROOT
from tests.integration.make_topic import make_topic

ORIGINAL = ScriptedQuestion(question="Why?", category="chat", wave=1, expect="miss")
REWORDING = ScriptedQuestion(question="For what reason?", category="chat", wave=2, expect="hit", same_as="Why?")
NEVER = ScriptedQuestion(question="What are the symptoms?", category="medical", wave=1, expect="bypass")


REFUSED = ScriptedQuestion(
    question="Why three?", category="chat", wave=2, expect="miss", guard=Guard.NUMBERS, near="Why two?"
)
LOAD = LoadStep(question="How come?", category="chat", same_as="Why?", latency_p95_ms=9_000, queue_depth=50)
WITHDRAWAL = WithdrawalStep(question="How so?", category="chat", same_as="Why?", source="handbook")


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
    assert deviations([asked(ORIGINAL, Outcome.HIT)]) == ["'Why?': miss expected, hit came"]
    assert deviations([asked(ORIGINAL, None)]) == ["'Why?': miss expected, none came no response within 60 s"]


def test_a_hit_with_the_answer_of_another_question_is_told() -> None:
    served = asked(REWORDING, Outcome.HIT, "Another answer.")
    assert deviations([asked(ORIGINAL, Outcome.MISS), served]) == [
        "'For what reason?': the answer is not that of 'Why?'"
    ]


def test_a_response_without_an_answer_is_told() -> None:
    assert deviations([asked(ORIGINAL, Outcome.MISS, "")]) == ["'Why?': miss without an answer"]


def refused(verdict: str = "refused", **changed: object) -> AskedQuestion:
    """A question that the guard of numbers refused, as it must."""
    told = {"reason": "guard_refused", "similarity": 0.95, "threshold": 0.9, "category": "chat", **changed}
    guard = GuardTold(entry_id="1-1-a", guard=Guard.NUMBERS, verdict=verdict, words=("three",))
    response = Response(
        outcome=Outcome.MISS,
        body={"choices": [{"message": {"role": "assistant", "content": "Because."}}]},
        decision=DecisionSummary.model_validate({"id": "1-7-b", "guards": (guard,), **told}),
    )
    request = Request(body={"model": "m", "messages": []})
    return AskedQuestion(REFUSED, AskReply(0, request, response, 10.0))


@pytest.mark.parametrize(
    ("one", "wrong"),
    [
        (refused(), []),
        (refused(reason="below_threshold"), ["'Why three?': guard_refused expected, below_threshold came"]),
        (refused(verdict="passed"), ["'Why three?': the guard numbers did not refuse it"]),
        (refused(similarity=0.89), ["'Why three?': its similarity of 0.89 is below the threshold of 0.9"]),
    ],
    ids=["as it must", "another reason", "another guard", "not near enough"],
)
def test_a_refusal_counts_only_by_its_guard_and_above_the_threshold(one: AskedQuestion, wrong: list[str]) -> None:
    assert deviations([one]) == wrong


def not_cached(question: ScriptedQuestion) -> AskedQuestion:
    """A question to which the cache alone had no answer."""
    problem = Problem(code="not_cached", message="nothing is cached")
    other_words = GuardTold(entry_id="1-1-a", guard=Guard.WORDING, verdict="weighed", weight=0.05)
    decision = DecisionSummary(id="1-8-c", reason="not_cached", similarity=0.94, threshold=0.9, guards=(other_words,))
    response = Response(outcome=Outcome.ERROR, error=problem, decision=decision)
    return AskedQuestion(question, AskReply(0, Request(body={"model": "m", "messages": []}), response, 10.0))


def test_what_the_cache_alone_does_not_have_is_no_error_and_no_call_saved() -> None:
    before = not_cached(LOAD.before(3))
    assert deviations([before]) == []
    assert deviations([not_cached(LOAD.under(3))])[0].startswith("'How come?': hit expected, not_cached came")
    assert "1 not in the cache, 0 errors, 0 wrong; model calls saved 0 of 0" in summary([before], 0)


def test_each_step_is_told_with_what_decided_in_80_columns() -> None:
    guard = tell_guard([asked(ORIGINAL, Outcome.MISS), refused()])
    load = tell_load(TwoAsks(not_cached(LOAD.before(3)), asked(LOAD.under(3), Outcome.HIT)))
    withdrawn = asked(WITHDRAWAL.after(3), Outcome.MISS)
    withdrawal = tell_withdrawal(WITHDRAWAL, TwoAsks(asked(WITHDRAWAL.before(3), Outcome.HIT), withdrawn))
    assert "  then       a miss: refused by the guard numbers (three)" in guard
    assert "  came       similarity 0.95, threshold 0.90: near enough" in guard
    assert "  came       similarity 0.94, less 0.05 by the guards, threshold 0.90: nothing" in load
    assert load[-1].endswith(": a hit")
    assert withdrawal[-1].endswith("`refrain invalidate --source handbook`: a miss")
    assert max(map(len, [*guard, *load, *withdrawal])) <= 80


def test_a_script_without_a_refusal_tells_of_none() -> None:
    assert tell_guard([asked(ORIGINAL, Outcome.MISS)]) == []


def test_what_to_try_next_begins_with_the_refusal_and_would_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = next_commands([asked(ORIGINAL, Outcome.MISS), refused()], " --config .local/refrain.toml")
    assert commands[0][1].endswith("refrain --config .local/refrain.toml explain 1-7-b")
    assert {command.split()[3] for _, command in commands} >= {"explain", "watch", "stats", "whatif", "audit"}
    for line in tell_next(commands):
        assert len(line) <= 80 or "--config" in line
    for _, command in commands:
        program, *words = shlex.split(command)
        assert program == ".venv/bin/refrain"
        assert command_line.problem(words, tmp_path) is None, command
    for named in (word for _, command in commands for word in shlex.split(command) if word.startswith("infra/")):
        assert (ROOT / named).is_file()


def test_without_a_refusal_the_first_decision_is_explained() -> None:
    assert next_commands([asked(ORIGINAL, Outcome.MISS)])[0] == ("why that came", ".venv/bin/refrain explain 1")
    assert not any("explain" in command for _, command in next_commands([]))


@pytest.fixture
def load_topics(admin: AdminClient, settings: Settings) -> Iterator[KafkaCluster]:
    """A cluster of two shards on which `adapt` has told a load of 1."""
    for topic in ("load", "control", "acknowledgements"):
        make_topic(admin, settings.prefix + topic, 1)
    make_topic(admin, settings.prefix + "journal", 2)
    with KafkaCluster(settings) as cluster:
        valid_until_ms = time.time_ns() // 1_000_000 + 600_000
        loads = [ReportLoad(who="adapt", model="m", load=load, valid_until_ms=valid_until_ms) for load in (0.4, 1.0)]
        cluster.producer().send([Outgoing("control", None, load.encode()) for load in loads])
        yield cluster


def acknowledge(cluster: KafkaCluster, shards: dict[str, int]) -> None:
    said = [Acknowledgement(processor="lookup", worker=s, version=v, at_ms=1) for s, v in shards.items()]
    cluster.producer().send([Outgoing("acknowledgements", b"k", one.encode()) for one in said])


def test_an_overload_is_reported_and_waited_for_until_every_shard_acts_by_it(
    load_topics: KafkaCluster, settings: Settings
) -> None:
    acknowledge(load_topics, {"0": 1, "1": 1})
    report_overload(settings, load_topics, "m", LOAD)
    reported = LoadSample.decode(next(iter(load_topics.scan("load", 0, 0))).value or b"")
    assert (reported.model, reported.latency_p95_ms, reported.queue_depth) == ("m", 9_000, 50)


def test_a_shard_that_does_not_act_by_the_load_is_told(
    load_topics: KafkaCluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "WAIT_S", 1.0)
    acknowledge(load_topics, {"0": 1, "1": 0})
    with pytest.raises(ClusterFailed, match=r"not in force everywhere: .*not acknowledged"):
        report_overload(settings, load_topics, "m", LOAD)


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
