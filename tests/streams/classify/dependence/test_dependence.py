"""What depends on now and on who asks: found by rule, with the words that decided, and not where they do no harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from refrain.schemas.base import Dependence
from refrain.streams.classify.dependence import dependence_of
from tests.tables import table

FOLDER = Path(__file__).parent
SENTENCES: dict[str, list[str]] = table(FOLDER / "sentences.yaml")
HELD_OUT: dict[str, list[str]] = table(FOLDER / "held_out.yaml")
CHINESE: dict[str, dict[str, list[str]]] = table(FOLDER / "chinese.yaml")
DEMO = Path(__file__).resolve().parents[4] / "infra" / "demo" / "demo.yaml"


def found(text: str) -> Dependence:
    return dependence_of(text, {"messages": [{"role": "user", "content": text}]}, {}, ())


def named(body: dict[str, Any], vary: dict[str, Any] | None = None, leave_out: tuple[str, ...] = ()) -> Any:
    text = "What is my balance?"
    messages = [*body.pop("earlier", []), {"role": "user", "content": text}]
    return dependence_of(text, {**body, "messages": messages}, vary or {}, leave_out).named


@pytest.mark.parametrize("text", [*SENTENCES["volatile"], *SENTENCES["both"], *CHINESE["made_on"]["volatile"]])
def test_what_depends_on_now_is_found(text: str) -> None:
    assert found(text).volatile


@pytest.mark.parametrize("text", [*SENTENCES["personal"], *SENTENCES["both"], *CHINESE["made_on"]["personal"]])
def test_what_depends_on_who_asks_is_found(text: str) -> None:
    assert found(text).personal


@pytest.mark.parametrize("text", [*SENTENCES["neither"], *CHINESE["made_on"]["neither"]])
def test_words_that_do_no_harm_are_let_pass(text: str) -> None:
    assert (found(text).volatile, found(text).personal) == ((), ())


def test_each_kind_has_sentences_enough() -> None:
    assert all(
        len(lists[kind]) >= 60 for lists in (SENTENCES, HELD_OUT) for kind in ("volatile", "personal", "neither")
    )


@pytest.mark.parametrize("held_out", [HELD_OUT, CHINESE["held_out"]], ids=["English", "Chinese"])
def test_of_sentences_that_the_rules_were_not_made_for_one_in_ten_is_wrong_at_most(
    held_out: dict[str, list[str]],
) -> None:
    missed = [text for text in held_out["volatile"] if not found(text).volatile]
    unnamed = [text for text in held_out["personal"] if not found(text).personal]
    alarmed = [text for text in held_out["neither"] if found(text).volatile or found(text).personal]
    for wrong, kind in ((missed, "volatile"), (unnamed, "personal"), (alarmed, "neither")):
        assert len(wrong) <= 0.1 * len(held_out[kind]), wrong


def test_words_without_blanks_between_them_are_told_as_they_are_written() -> None:
    assert found("\u6211\u7684\u8a02\u55ae\u5230\u54ea\u4e86").personal == ("\u6211\u54ea",)


def test_what_the_demo_keeps_depends_on_nothing() -> None:
    asked = table(DEMO)["questions"]
    kept = [each["question"] for each in asked if each["expect"] != "bypass"]
    assert [text for text in kept if found(text).volatile or found(text).personal] == []


@pytest.mark.parametrize(
    ("text", "volatile", "personal"),
    [
        ("What time is it?", ("time is it",), ()),
        ("What is my balance?", (), ("what is my balance",)),
        ("Which of my secret love letters has been delivered today?", ("today",), ()),
        ("Did my aunt Agatha's parcel arrive yesterday?", ("yesterday",), ("my parcel",)),
    ],
)
def test_the_words_that_decided_are_told_and_none_of_the_askers_own(
    text: str, volatile: tuple[str, ...], personal: tuple[str, ...]
) -> None:
    assert set(volatile) <= set(found(text).volatile)
    assert set(personal) <= set(found(text).personal)
    told = " ".join((*found(text).volatile, *found(text).personal)).split()
    assert not {"secret", "love", "aunt", "agatha"} & set(told)


@pytest.mark.parametrize(
    "text",
    [
        "WHAT IS MY BALANCE?",
        "what is my balance",
        "  What   is\nmy balance ?",
        "What\u2019s my balance?",
        "Hi! Could you please tell me what my balance is?",
        "Thanks. And my balance?",
        "(what is my balance?)",
        "**What is my balance?**",
        "What is the balance of my account, and how do I change my password?",
    ],
)
def test_the_spelling_does_not_matter(text: str) -> None:
    assert found(text).personal


@pytest.mark.parametrize(
    "text",
    [
        'What does "Where is my order?" mean?',
        "Fix this: `print(today())`",
        "Translate into German: What time is it? Where is my order?",
        "Correct the spelling of this sentence: my balence is low today",
        "Who starred in the film Now You See Me?",
        "How does the Today show choose its guests?",
        "",
        "?",
        "\u4f60\u597d",
        "```\nmy_order = now()\n```",
    ],
)
def test_what_is_quoted_named_or_to_be_worked_on_is_not_asked(text: str) -> None:
    assert (found(text).volatile, found(text).personal) == ((), ())


def test_what_is_told_beside_a_question_is_its_occasion() -> None:
    assert found("I have had a cough since yesterday. Is honey good for it?").volatile == ()
    assert found("My card was stolen. What should I do?").personal == ()
    assert found("My card was stolen.").personal
    assert found("I ordered a lamp. Where is it?").personal


def test_a_long_text_is_read_at_both_its_ends_and_in_bounded_time() -> None:
    material = "The quick brown fox jumps over the lazy dog. " * 20_000
    assert found(f"{material}\n\nWhat is my balance?").personal
    assert found(f"What is my balance?\n\n{material}").personal
    assert not found(material).personal


def test_the_rules_have_a_version() -> None:
    assert len(found("Why is the sky blue?").rules) == 8


def test_user_vary_and_earlier_turns_name_the_asker() -> None:
    turn = [{"role": "user", "content": "My customer number is 4711."}, {"role": "assistant", "content": "Thanks."}]
    assert named({}) == ()
    assert named({"user": "u-1"}) == ("user",)
    assert named({}, {"user": 1}) == ("vary",)
    assert named({"earlier": turn}) == ("turns",)
    assert named({"earlier": [{"role": "tool", "content": '{"balance": 12}'}]}) == ("turns",)
    assert named({"user": "u-1", "earlier": turn}, {"a": 1}) == ("user", "vary", "turns")


@pytest.mark.parametrize(
    "body",
    [
        {"user": ""},
        {"user": " "},
        {"user": None},
        {"user": 7},
        {"earlier": [{"role": "system", "content": "You work for a bank."}]},
        {"earlier": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello! How can I help?"}]},
        {"earlier": [{"role": "user", "content": [{"type": "text", "text": "Hello there!"}]}]},
    ],
)
def test_what_all_users_may_send_alike_names_nobody(body: dict[str, Any]) -> None:
    assert named(dict(body)) == ()


def test_what_the_policy_leaves_out_of_the_context_names_nobody() -> None:
    assert named({"user": "u-1"}, leave_out=("user",)) == ()
