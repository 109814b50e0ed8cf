"""Identity: spelling never counts, everything else always does, and only the question's words may differ."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refrain.schemas.base import Source
from refrain.schemas.policy import CategoryPolicy
from refrain.streams.classify.canonical_json import canonical
from refrain.streams.classify.framing import FramedQuestion
from refrain.streams.classify.identity import FIELDS_MAX, OTHER, Identity, identify
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.messaging.ids import decision_id, decision_tag
from refrain.streams.messaging.questions import question_of

PLAIN = CategoryPolicy()
whole = st.characters(exclude_categories=["Cs"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(whole, max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(whole, max_size=4), inner, max_size=3),
    max_leaves=8,
)


def body(text: Any = "What is a list?", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def same_as(first: dict[str, Any], second: dict[str, Any], policy: CategoryPolicy = PLAIN) -> bool:
    return of(first, policy).context == of(second, policy).context


def of(asked: dict[str, Any], policy: CategoryPolicy = PLAIN, **more: Any) -> Identity:
    return identify(asked, more.get("vary", {}), more.get("sources", ()), policy, chars_max=10_000)


def code_of(asked: dict[str, Any]) -> RefusalCode:
    with pytest.raises(Refusal) as caught:
        of(asked)
    return caught.value.code


def shuffled(value: Any) -> Any:
    """The same value with every object's keys the other way round, and integers as floats where that is exact."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    if isinstance(value, list):
        return [shuffled(item) for item in value]
    if type(value) is int and abs(value) < 2**53:
        return float(value)
    return value


@given(values)
def test_key_order_and_number_spelling_do_not_change_canonical_json(value: Any) -> None:
    assert canonical(value) == canonical(shuffled(value))


@given(values)
def test_blanks_do_not_change_canonical_json(value: Any) -> None:
    assert canonical(json.loads(json.dumps(value, indent=3))) == canonical(value)


@given(values, values)
def test_two_values_with_one_canonical_form_are_equal(first: Any, second: Any) -> None:
    assume(repr(shuffled(first)) != repr(shuffled(second)))
    if canonical(first) == canonical(second):
        assert first == second


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, "1"),
        (1, True),
        (0, False),
        (None, ""),
        ([], {}),
        ({"a": None}, {}),
        ("a", "A"),
        ("é", "e\u0301"),
        (0.1, 0.2),
    ],
)
def test_values_of_different_types_differ(first: Any, second: Any) -> None:
    assert canonical(first) != canonical(second)


def test_zero_has_no_sign_and_integral_floats_are_integers() -> None:
    assert canonical([-0.0, 1e3, 2.0]) == canonical([0, 1000, 2]) == b"[0,1000,2]"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), "\ud800", {"\udfff": 1}])
def test_what_is_no_json_value_is_a_bad_field(bad: Any) -> None:
    with pytest.raises(Refusal) as caught:
        canonical([bad])
    assert caught.value.code is RefusalCode.BAD_FIELD


def test_a_value_nested_without_end_is_refused_and_does_not_crash() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(Refusal) as caught:
        canonical(deep)
    assert caught.value.code is RefusalCode.TOO_DEEP


def test_only_the_last_words_of_the_user_may_differ() -> None:
    first, second = of(body("What is a list?")), of(body("Explain lists"))
    assert first.context == second.context
    assert first.fields == second.fields
    assert first.text_digest != second.text_digest
    assert first.comparable


@given(st.sampled_from(["temperature", "tools", "response_format", "user", "metadata", "unknown_today"]), values)
def test_any_other_field_counts(name: str, value: Any) -> None:
    plain, changed = of(body()), of(body(**{name: value}))
    assert plain.context != changed.context
    assert set(changed.fields) - set(plain.fields) == {name}


@given(values, values)
def test_any_change_of_a_field_counts(first: Any, second: Any) -> None:
    assume(canonical(first) != canonical(second))
    assert not same_as(body(extra=first), body(extra=second))
    assert of(body(), vary={"x": first}).context != of(body(), vary={"x": second}).context


@pytest.mark.parametrize("name", ["stream", "stream_options", "store", "service_tier", "cache_control"])
def test_fields_that_cannot_change_the_answer_are_left_out(name: str) -> None:
    assert same_as(body(), body(**{name: True}))


def test_user_and_metadata_are_left_out_only_by_policy() -> None:
    policy = CategoryPolicy(leave_out=("user", "metadata"))
    assert same_as(body(), body(user="u1", metadata={"a": 1}), policy)
    assert not same_as(body(), body(user="u1"))


@pytest.mark.parametrize(
    "name", ["prompt_cache_key", "prompt_cache_retention", "safety_identifier", "request_id", "rid"]
)
def test_ids_of_a_request_are_left_out_unless_the_policy_counts_them(name: str) -> None:
    assert same_as(body(**{name: "a"}), body(**{name: "b"}))
    assert same_as(body(), body(**{name: "b"}))
    assert not same_as(body(**{name: "a"}), body(**{name: "b"}), CategoryPolicy(leave_out=()))


def test_a_policy_may_leave_out_an_id_of_its_own_clients() -> None:
    policy = CategoryPolicy(leave_out=("trace_id",))
    assert same_as(body(trace_id="a"), body(trace_id="b"), policy)
    assert not same_as(body(trace_id="a"), body(trace_id="b"))
    assert not same_as(body(rid="a"), body(rid="b"), policy)


@pytest.mark.parametrize("name", ["model", "messages", "tools", "response_format", "n", "logprobs"])
def test_a_policy_may_not_leave_out_what_is_answered(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be left out"):
        CategoryPolicy(leave_out=("user", name))


def test_the_rest_of_the_last_message_counts() -> None:
    named = body()
    named["messages"][0]["name"] = "ann"
    assert not same_as(body(), named)


def test_earlier_messages_count_and_the_part_that_differs_is_named() -> None:
    def talk(system: str) -> dict[str, Any]:
        asked = body()
        asked["messages"].insert(0, {"role": "system", "content": system})
        return asked

    first, second = of(talk("Today is Monday")), of(talk("Today is Tuesday"))
    assert first.context != second.context
    assert [name for name in first.fields if first.fields[name] != second.fields[name]] == ["messages[0]"]


def test_a_mask_hides_what_matches_in_earlier_messages_and_nothing_else() -> None:
    policy = CategoryPolicy(mask=(r"\d{4}-\d\d-\d\d",))

    def talk(content: Any) -> dict[str, Any]:
        return {**body(), "messages": [{"role": "system", "content": content}, *body()["messages"]]}

    def parts(text: str) -> list[dict[str, str]]:
        return [{"type": "text", "text": text}]

    assert same_as(talk("It is 2024-01-01."), talk("It is 2025-12-31."), policy)
    assert same_as(talk(parts("It is 2024-01-01.")), talk(parts("It is 2025-12-31.")), policy)
    assert not same_as(talk("It is 2024-01-01."), talk("It was 2024-01-01."), policy)
    assert not same_as(talk("It is 2024-01-01."), talk("It is ."), policy)
    assert not same_as(talk("It is 2024-01-01."), talk(["It is ", "."]), policy)
    assert not same_as(body("It is 2024-01-01", x="2024-01-01"), body("It is 2024-01-01", x="2025-01-01"), policy)


def test_an_image_beside_the_text_stays_in_the_context() -> None:
    def look(url: str, text: str) -> dict[str, Any]:
        return body([{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}])

    assert same_as(look("a", "What is this?"), look("a", "What do you see?"))
    assert not same_as(look("a", "What is this?"), look("b", "What is this?"))
    assert of(look("a", "What is this?")).question == "What is this?"


def test_the_hole_cannot_be_spelled_by_a_body() -> None:
    text = body("x")
    part = body([{"type": "text", "text": "x"}])
    empty = {**body(), "messages": [{"role": "user"}, {"role": "user", "content": "x"}]}
    holes = [text, empty, body("x", content="x"), body([{"type": "text", "text": "x", "part0": 1}])]
    assert len({of(hole).context for hole in holes}) == len(holes)
    assert same_as(text, part)


@pytest.mark.parametrize(
    "last",
    [
        {"role": "assistant", "content": "so"},
        {"role": "tool", "content": "", "tool_call_id": "1"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a"}}]},
    ],
)
def test_where_no_single_text_of_the_user_is_last_only_an_exact_match_serves(last: dict[str, Any]) -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "hello"}, last]}
    changed = {"model": "m", "messages": [{"role": "user", "content": "hello"}, {**last, "more": 1}]}
    assert not of(asked).comparable
    assert of(asked).text_digest != of(changed).text_digest


def test_what_of_a_text_is_not_in_its_vector_counts_and_is_named() -> None:
    def framed(beyond: str = "", unread: tuple[str, ...] = ()) -> Identity:
        return identify(body(), {}, (), PLAIN, chars_max=100, framed=FramedQuestion("What", beyond, unread))

    seen = [
        framed(),
        framed(" is a list?"),
        framed(" is a set?"),
        framed("", ("a",)),
        framed("", ("b",)),
        framed("a", ("a",)),
    ]
    assert len({each.context for each in seen}) == len(seen)
    assert seen[0].context == of(body()).context
    assert [set(each.fields) - set(seen[0].fields) for each in seen[:5]] == [
        set(), {"beyond"}, {"beyond"}, {"unread"}, {"unread"},
    ]  # fmt: skip
    assert len({each.text_digest for each in seen}) == 1


def test_a_text_is_looked_up_by_its_normal_form_and_kept_as_it_was_written() -> None:
    first, second = of(body("What is  a list?\r\n")), of(body("what is a list"))
    assert first.text_digest == second.text_digest != of(body("what is `a list`")).text_digest
    assert first.question == "What is  a list?\r\n"


def test_large_numbers_are_what_they_are_written_as() -> None:
    assert canonical([1e25, 9007199254740994.0]) == canonical([10**25, 9007199254740994])
    assert len({canonical(each) for each in (2**53, 2**53 + 1, 2.0**53 + 2)}) == 3


def test_sources_and_their_versions_count_and_their_order_does_not() -> None:
    one, two = Source(id="a", version="1"), Source(id="b", version="1")
    newer = Source(id="a", version="2")
    assert of(body(), sources=(one, two)).context == of(body(), sources=(two, one)).context
    assert len({of(body(), sources=s).context for s in [(), (one,), (two,), (newer,), (one, two)]}) == 5


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"model": "m"},
        {"model": "", "messages": [{"role": "user", "content": "a"}]},
        {"model": "m" * 257, "messages": [{"role": "user", "content": "a"}]},
        {"model": 3, "messages": [{"role": "user", "content": "a"}]},
        {"model": "m", "messages": "a"},
        {"model": "m", "messages": ["a"]},
        {"model": "m", "messages": [{"role": "user", "content": 5}]},
        {"model": "m", "messages": [{"role": "user", "content": ["a"]}]},
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
        {"model": "m", "messages": [{"role": "user", "content": "a\ud800"}]},
        {"model": "m", "messages": [{"role": "user", "content": "a"}], "x": "\udc00"},
    ],
)
def test_a_body_that_is_not_a_chat_is_a_bad_field(bad: dict[str, Any]) -> None:
    assert code_of(bad) is RefusalCode.BAD_FIELD


@pytest.mark.parametrize("text", ["", " \n\t", [], [{"type": "text", "text": " "}], None])
def test_a_blank_question_is_refused(text: Any) -> None:
    assert code_of(body(text)) is RefusalCode.EMPTY_QUESTION


def test_no_message_at_all_is_an_empty_question() -> None:
    assert code_of({"model": "m", "messages": []}) is RefusalCode.EMPTY_QUESTION


def test_a_question_over_the_limit_is_refused() -> None:
    assert code_of(body("a" * 10_001)) is RefusalCode.QUESTION_TOO_LONG
    assert of(body("a" * 10_000)).comparable


def test_the_text_of_several_parts_is_read_as_lines() -> None:
    several = body([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])
    assert question_of(several).text == "a\nb"
    assert question_of(body("a")).text == "a"


def test_many_parts_share_a_digest_so_that_a_record_stays_small() -> None:
    talk = [{"role": "user", "content": str(number)} for number in range(500)]
    many = {"model": "m", "messages": talk, **{f"x{number}": 1 for number in range(200)}, "y" * 300: 1}
    fields = of(many).fields
    assert len(fields) <= FIELDS_MAX + 1
    assert OTHER in fields
    assert "messages[499]" in fields


def test_a_body_field_named_like_another_part_hides_nothing() -> None:
    fields = of(body(**{"messages[0]": 1, "vary": 2, "other": 3}), vary={"a": 1}).fields
    assert {"messages[0]", "body.messages[0]", "vary", "body.vary", "body.other"} <= set(fields)


def test_ids_name_the_request_and_the_incarnations_of_its_topics() -> None:
    tag = decision_tag("requests-id", "journal-id")
    assert len(tag) == 12
    assert decision_id(3, 41, tag) == f"3-41-{tag}"
    assert len({tag, decision_tag("requests-id", "journal-2"), decision_tag("requests-2", "journal-id")}) == 3
