"""Conversations that differ only in what a client makes up afresh are the same, and all others differ."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from refrain.schemas.policy import CategoryPolicy
from refrain.streams.classify.chat_form import chat_form, tools_form
from refrain.streams.classify.identity import Identity, identify

Json = dict[str, Any]
EPHEMERAL = {"type": "ephemeral"}


def call(id_: str, city: str) -> Json:
    return {"id": id_, "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}


def result(id_: str, said: str) -> Json:
    return {"role": "tool", "tool_call_id": id_, "content": said}


def talk(*ids: str, last: Json | None = None) -> Json:
    """Two calls and their results, and a question about them."""
    first, second = ids
    return {
        "model": "m",
        "messages": [
            {"role": "user", "content": "What is the weather in Oslo and Rome?"},
            {"role": "assistant", "content": None, "tool_calls": [call(first, "Oslo"), call(second, "Rome")]},
            result(first, "snow"),
            result(second, "sun"),
            last or {"role": "user", "content": "Which is warmer?"},
        ],
    }


def where(body: Json, policy: CategoryPolicy = CategoryPolicy()) -> tuple[str, str]:  # noqa: B008 - frozen
    """Where a conversation is looked up: its context, and its last message where that only matches exactly."""
    found: Identity = identify(body, {}, (), policy, chars_max=10_000)
    return found.context, found.text_digest


def said(content: Any, role: str = "user", **more: Any) -> Json:
    return {"role": role, "content": content, **more}


def text(words: str, **more: Any) -> Json:
    return {"type": "text", "text": words, **more}


def chat(*messages: Json, **more: Any) -> Json:
    return {"model": "m", "messages": list(messages), **more}


def test_fresh_ids_of_tool_calls_do_not_count() -> None:
    assert where(talk("call_a1", "call_a2")) == where(talk("call_Zx9", "toolu_7"))


def test_fresh_ids_do_not_count_either_where_a_result_is_last_and_only_matches_exactly() -> None:
    assert where(talk("a", "b", last=result("b", "sun"))) == where(talk("x", "y", last=result("y", "sun")))
    assert where(talk("a", "b", last=result("b", "sun"))) != where(talk("x", "y", last=result("x", "sun")))


def changed(**changes: Any) -> Json:
    """The talk with one message changed: `at` its number, and its fields."""
    body = talk("a", "b")
    body["messages"][changes.pop("at")].update(changes)
    return body


@pytest.mark.parametrize(
    "other",
    [
        changed(at=1, tool_calls=[call("a", "Oslo"), call("b", "Nice")]),
        changed(at=1, tool_calls=[call("b", "Oslo"), call("a", "Rome")]),
        changed(at=1, tool_calls=[call("b", "Rome"), call("a", "Oslo")]),
        changed(at=1, tool_calls=[call("a", "Oslo"), call("a", "Rome")]),
        changed(at=1, tool_calls=[call("a", "Oslo")]),
        changed(at=2, tool_call_id="b"),
        changed(at=2, tool_call_id="nobody's"),
        changed(at=2, tool_call_id=0),
        changed(at=2, content="rain"),
        changed(at=0, content="What is the weather in Rome and Oslo?"),
    ],
    ids=[
        "another argument",
        "ids swapped",
        "calls in another order",
        "one id twice",
        "a call less",
        "a result of another call",
        "a result of no call",
        "an id that is no text",
        "another result",
        "another question",
    ],
)
def test_what_is_called_and_what_came_of_which_call_counts(other: Json) -> None:
    assert where(other) != where(talk("a", "b"))


def test_results_in_another_order_are_another_conversation() -> None:
    body = talk("a", "b")
    body["messages"][2:4] = reversed(body["messages"][2:4])
    assert where(body) != where(talk("a", "b"))


def test_an_id_in_a_text_counts() -> None:
    def about(id_: str) -> Json:
        return talk("a", "b", last=said(f"Repeat {id_}"))

    assert where(about("a"))[1] != where(about("b"))[1]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
def test_a_text_and_its_one_part_are_the_same_in_every_message(role: str) -> None:
    asked = said("And now?")
    assert where(chat(said("Be brief.", role), asked)) == where(chat(said([text("Be brief.")], role), asked))
    assert where(chat(asked, said("so", role))) == where(chat(asked, said([text("so")], role)))


def test_a_mask_hides_the_same_in_a_text_and_in_its_one_part() -> None:
    policy = CategoryPolicy(mask=(r"\d{4}-\d\d-\d\d",))
    dated = [said("It is 2024-01-01.", "system"), said([text("It is 2025-02-03.")], "system")]
    assert where(chat(dated[0], said("so?")), policy) == where(chat(dated[1], said("so?")), policy)


@pytest.mark.parametrize(
    "content",
    [
        [text("Be "), text("brief.")],
        [text("Be brief."), text("")],
        [],
        ["Be brief."],
        [{"type": "input_text", "text": "Be brief."}],
        [text("Be brief.", annotations=[1])],
        [{"text": "Be brief."}],
        text("Be brief."),
        [text("Be brief."), {"type": "image_url", "image_url": {"url": "a"}}],
    ],
)
def test_any_other_content_is_not_that_text(content: Any) -> None:
    asked = said("And now?")
    assert where(chat(said(content, "system"), asked)) != where(chat(said("Be brief.", "system"), asked))


def hinted() -> Json:
    """A conversation with a hint for a server's cache wherever servers take one."""
    tool = {"type": "function", "function": {"name": "f", "cache_control": EPHEMERAL}, "cache_control": EPHEMERAL}
    return chat(
        said([text("Be brief.", cache_control=EPHEMERAL)], "system", cache_control=EPHEMERAL),
        said(None, "assistant", tool_calls=[{**call("a", "Oslo"), "cache_control": EPHEMERAL}]),
        said([text("Look: ", cache_control=EPHEMERAL), {"type": "image_url", "image_url": {"url": "a"}}]),
        tools=[tool],
        functions=[{"name": "g", "cache_control": EPHEMERAL}],
        cache_control=EPHEMERAL,
    )


def unhinted() -> Json:
    return chat(
        said("Be brief.", "system"),
        said(None, "assistant", tool_calls=[call("a", "Oslo")]),
        said([text("Look: "), {"type": "image_url", "image_url": {"url": "a"}}]),
        tools=[{"type": "function", "function": {"name": "f"}}],
        functions=[{"name": "g"}],
    )


def test_hints_for_the_servers_cache_do_not_count() -> None:
    assert where(hinted()) == where(unhinted())


def test_a_parameter_of_a_tool_that_is_called_like_a_hint_counts() -> None:
    def asking(*parameters: str) -> Json:
        function = {"name": "f", "parameters": {"properties": {key: {"type": "string"} for key in parameters}}}
        return chat(said("Set it"), tools=[{"type": "function", "function": function}])

    assert where(asking("cache_control")) != where(asking())


def test_the_order_of_tools_counts() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "fg"]
    assert where(chat(said("so?"), tools=tools)) != where(chat(said("so?"), tools=tools[::-1]))


def test_the_form_leaves_the_request_as_it_was_and_is_its_own_form() -> None:
    body = hinted()
    before = copy.deepcopy(body)
    form = chat_form(body["messages"])
    assert tools_form(body["tools"]) == unhinted()["tools"]
    assert body == before
    assert chat_form(form) == form


@pytest.mark.parametrize("broken", [None, 3, "f", {"a": 1}, [None, 3, "f"], [{"function": 3}], [{"id": {"a": 1}}]])
def test_what_has_no_shape_that_is_known_stays_as_it_is(broken: Any) -> None:
    message = {"role": "assistant", "content": broken, "tool_calls": broken, "tool_call_id": broken}
    assert tools_form(broken) == broken
    if not isinstance(broken, str):
        assert chat_form([message]) == [message]
