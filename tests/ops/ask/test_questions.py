"""Files of questions, and what a reply looks like in one line."""

from __future__ import annotations

import pytest

from refrain.ops.ask.client import AskReply
from refrain.ops.ask.command import summary, totals
from refrain.ops.ask.questions import Defaults, answer_of, question_of, read_questions, request_of
from refrain.ops.terminal.output import span
from refrain.schemas.responses import DecisionSummary, Outcome, Response
from refrain.streams.errors import BadInput

DEFAULTS = Defaults(model="m", tenant="acme", system="Be brief.")


def test_a_question_becomes_a_request_with_the_system_prompt_first() -> None:
    body = request_of("why?", DEFAULTS).body
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "why?"}],
    }


def test_a_file_holds_questions_and_requests() -> None:
    lines = ["why?", "", '{"question": "how?", "category": "code"}', '{"tenant": "t", "body": {"model": "x"}}']
    plain, mixed, whole = read_questions(lines, DEFAULTS, "q.txt")
    assert (question_of(plain), plain.tenant) == ("why?", "acme")
    assert (question_of(mixed), mixed.category, mixed.tenant) == ("how?", "code", "acme")
    assert (whole.tenant, whole.body) == ("t", {"model": "x"})


@pytest.mark.parametrize("line", ['{"question"', '{"tenant": "a b", "body": {}}', '{"category": "c"}'])
def test_a_line_that_cannot_be_taken_is_named(line: str) -> None:
    with pytest.raises(BadInput, match=r"q\.txt, line 2"):
        read_questions(["why?", line], DEFAULTS, "q.txt")


def test_a_file_without_questions_is_refused() -> None:
    with pytest.raises(BadInput, match="no question"):
        read_questions(["", "  "], DEFAULTS, "q.txt")


def test_an_answer_that_is_none_is_empty() -> None:
    assert answer_of({"choices": [{"message": {"content": "yes"}}]}) == "yes"
    assert answer_of(None) == answer_of({}) == answer_of({"choices": []}) == ""


def test_a_reply_in_one_line() -> None:
    decision = DecisionSummary(
        id="1", category="code", similarity=0.93, threshold=0.9, entry_age_ms=5_120, reason="similar_text"
    )
    hit = AskReply(0, request_of("q", DEFAULTS), Response(outcome=Outcome.HIT, decision=decision), 4.2)
    assert summary(hit) == "hit · code · similarity 0.93 of 0.900 · 5.1 s old · 4 ms · similar_text"
    lost = AskReply(1, request_of("q", DEFAULTS), failure="no response within 1 s")
    assert summary(lost) == "no answer: no response within 1 s"
    assert totals([hit, lost]) == "2 questions: 1 hit (median 4 ms), 1 no answer"


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, "-"), (0.4, "0 ms"), (999, "999 ms"), (5_120, "5.1 s"), (3_600_000, "1 h"), (604_800_000, "7 d")],
)
def test_durations_read_as_people_say_them(ms: float | None, text: str) -> None:
    assert span(ms) == text


def test_of_a_field_that_no_request_has_the_one_who_asks_is_told_by_line() -> None:
    told: list[str] = []
    lines = ['{"question": "why?", "catgory": "code"}', "how?", '{"body": {"messages": []}, "v": 1, "x y": 1}']
    assert [each.category for each in read_questions(lines, DEFAULTS, "q.txt", told.append)] == [DEFAULTS.category] * 3
    assert told == [
        "q.txt, line 1: the request has no field 'catgory', it was ignored: did you mean 'category'?",
        "q.txt, line 3: a field of the request is not known, and was ignored",
    ]
