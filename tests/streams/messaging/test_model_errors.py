"""Errors in place of an answer are found, and are worth another try like their code."""

from __future__ import annotations

from typing import Any

import pytest

from refrain.streams.messaging.model_errors import error_in, problem_in, server_answer_in, server_answered

SECRET = "What does the patient have?"


def whole(**more: Any) -> dict[str, Any]:
    """A whole answer, and what is beside its choice."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "so"}, "finish_reason": "stop"}
    return {"object": "chat.completion", "choices": [choice], **more}


@pytest.mark.parametrize(
    "field", [{}, {"error": None}, {"error": ""}, {"error": False}, {"errors": []}, {"type": "error"}]
)
def test_an_answer_holds_no_error(field: dict[str, Any]) -> None:
    assert error_in(whole(**field)) is None
    assert problem_in({"choices": "none", **field}) is None


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no", "code": 502}},
        {"error": {}},
        {"error": "no"},
        {"error": 7},
        {"object": "error", "message": "no", "code": 400},
        whole(error={"message": "no"}),
        {"choices": [{"index": 0, "error": {"code": 502, "message": "no"}, "message": {"content": "half"}}]},
        {"choices": [{"index": 0, "finish_reason": "error", "message": {"content": "half"}}]},
        {"choices": [None, 3, {"error": {"code": 1}}]},
    ],
)
def test_an_error_is_found_wherever_servers_put_it(body: dict[str, Any]) -> None:
    problem = problem_in(body)
    assert problem is not None
    assert problem.code == "upstream_failed"


@pytest.mark.parametrize(
    ("error", "again"),
    [
        ({"code": 429}, True),
        ({"code": "503"}, True),
        ({"code": 400}, False),
        ({"code": 408}, True),
        ({"code": 425}, True),
        ({"status": 500}, True),
        ({"code": "rate_limit_exceeded"}, True),
        ({"code": None, "type": "overloaded_error"}, True),
        ({"status": "RESOURCE_EXHAUSTED"}, True),
        ({"code": 400, "type": "server_error"}, False),
        ({"code": "insufficient_quota", "type": "insufficient_quota"}, False),
        ({"code": "content_filter"}, False),
        ({"code": True}, False),
        ({"code": 7, "type": "server_error"}, True),
        ({"message": "no"}, False),
        ("no", False),
    ],
)
def test_an_error_is_worth_another_try_like_its_code(error: Any, again: bool) -> None:
    found = error_in({"error": error})
    assert found is not None
    assert found.is_transient is again


def test_requesters_are_told_the_code_and_none_of_the_servers_words() -> None:
    told = problem_in({"error": {"code": 429, "message": SECRET}})
    odd = problem_in({"error": {"code": SECRET, "message": SECRET, "type": "server_error"}})
    assert (told is not None, odd is not None) == (True, True)
    assert "429" in str(told)
    assert "server_error" in str(odd)
    assert SECRET not in f"{told} {odd}"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 400}, 400),
        ({"code": "503"}, 503),
        ({"code": None, "type": "overloaded_error"}, 503),
        ({"code": 7, "type": "rate_limit_error"}, 429),
        ({"code": "model_busy", "type": "timeout", "status": 429}, 429),
        ({"code": "content_filter"}, 200),
        ("no", 200),
    ],
)
def test_the_status_of_an_error_in_a_response_of_success_is_that_of_its_code(error: Any, status: int) -> None:
    told = server_answered(200, error_in({"error": error}), pause_s=6.2)
    assert server_answer_in(f"{told}: and what it said") == (status, 7)
