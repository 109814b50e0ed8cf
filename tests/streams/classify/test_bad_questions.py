"""Odd questions at the entrance: each is asked with the right identity or refused with a reason, and the rest go on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from refrain.schemas.control import PolicyInForce
from refrain.schemas.dead_letters import HEADER_REASON
from refrain.schemas.journal import Asked, decode_event
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.responses import Response
from refrain.streams.classify.exact_form import exact_form
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.errors import RefusalCode
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.models.transformer_embedder import TransformerEmbedder
from refrain.streams.settings import Classify
from refrain.streams.vectors import Floats

POLICY = Policy(categories={"chat": CategoryPolicy(), "uncategorised": CategoryPolicy()})
IMAGE = {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}
LONG = "Translate this.\n" + "All work and no play makes Jack a dull boy. " * 2_300


class Embedder(HashingEmbedder):
    """Sees a head of 200 characters; texts with `nan`, `zero` and `inf` get such vectors."""

    def head(self, text: str) -> str:
        return text if len(text) <= 200 else text[:200]

    def embed(self, texts: Sequence[str]) -> Floats:
        rows = super().embed(texts)
        for number, text in enumerate(texts):
            for name in ("nan", "inf", "zero"):
                if name in text:
                    rows[number] = float(name.replace("zero", "0"))
        return rows


def entrance(embedder: Embedder | TransformerEmbedder | None = None) -> ClassifyStep:
    metrics = Metrics()
    in_force = PolicyInForce(version=1, who="w", at_ms=0, policy=POLICY)
    made = ClassifyStep(
        Classify(),
        Incarnations("r", "j"),
        EmbeddingCache(embedder or Embedder(), 100, EmbeddingMetrics(metrics)),
        ReplyTopics("refrain.", (), {"responses": 1}.get, lambda: 0),
        metrics,
    )
    made.follow(in_force)
    return made


def request(messages: Any, **body: Any) -> bytes:
    asked = {"request_id": "r", "category": "chat", "body": {"model": "m", "messages": messages, **body}}
    return json.dumps(asked, ensure_ascii=False).encode()


def user(content: Any) -> bytes:
    return request([{"role": "user", "content": content}])


def step(*values: bytes, classifier: ClassifyStep | None = None) -> list[Outgoing]:
    records = [Record("requests", 0, offset, 1, b"k", value, ()) for offset, value in enumerate(values)]
    return (classifier or entrance()).process(records)


def asked(*values: bytes) -> list[Asked]:
    events = [decode_event(out.value or b"") for out in step(*values)]
    assert all(isinstance(event, Asked) for event in events)
    assert len(events) == len(values)
    return [event for event in events if isinstance(event, Asked)]


REFUSED = [
    (user(""), RefusalCode.EMPTY_QUESTION),
    (user(" \t\r\n\u00a0\u3000"), RefusalCode.EMPTY_QUESTION),
    (user(None), RefusalCode.EMPTY_QUESTION),
    (user([]), RefusalCode.EMPTY_QUESTION),
    (user([{"type": "text", "text": "\n"}]), RefusalCode.EMPTY_QUESTION),
    (request([]), RefusalCode.EMPTY_QUESTION),
    (user("x" * 100_001), RefusalCode.QUESTION_TOO_LONG),
    (user(["What?"]), RefusalCode.BAD_FIELD),
    (user({"text": "What?"}), RefusalCode.BAD_FIELD),
    (user(7), RefusalCode.BAD_FIELD),
    (user([{"type": "text"}]), RefusalCode.BAD_FIELD),
    (user([{"type": "text", "text": None}]), RefusalCode.BAD_FIELD),
    (request("What?"), RefusalCode.BAD_FIELD),
    (request(None), RefusalCode.BAD_FIELD),
    (b'{"body": {"model": "m", "messages": [{"role": "user", "content": "\\ud83c"}]}}', RefusalCode.BAD_FIELD),
    (b'{"body": {"model": "m", "temperature": NaN, "messages": []}}', RefusalCode.BAD_FIELD),
    (user("What?").replace(b"What?", b"\xff\xfe"), RefusalCode.UNREADABLE),
]


@pytest.mark.parametrize(("value", "code"), REFUSED, ids=lambda each: str(each)[:40])
def test_what_asks_nothing_readable_is_refused_with_a_reason_and_the_next_is_asked(
    value: bytes, code: RefusalCode
) -> None:
    letter, answer, after = step(value, user("What is love?"))
    assert (letter.topic, letter.value, after.topic) == ("dead-letters", value, "journal")
    assert (dict(letter.headers)[HEADER_REASON] or b"").decode().startswith(f"{code.value}: ")
    response = Response.decode(answer.value or b"")
    assert response.error is not None
    assert (response.error.code, bool(response.error.message)) == (code, True)


ODD = {
    "one letter": "a",
    "one sign": "?",
    "one digit": "7",
    "emoji": "🍕🚗👨\u200d👩\u200d👧",
    "right to left": "ما هي عاصمة فرنسا؟",
    "hebrew with marks": "שָׁלוֹם",
    "turned around": "\u202eabc\u202c",
    "mixed scripts": "Что такое 日本 in café ελ?",
    "hindi": "भारत की राजधानी क्या है?",
    "zero": "a\x00b",
    "invisible": "\u200b\u200d\ufeff",
    "controls": "\x1b[31mred\x07",
    "beyond the plane": "\U0001d518\U0001d52b",
    "many marks": "a" + "\u0301" * 50_000 + "\u0316" * 49_990,
    "one long word": "x" * 99_999,
    "100,000 characters": LONG[:99_999],
    "100,000 emoji": "🍕" * 99_999,
    "100,000 blanks": "a" + " " * 99_997 + "b",
    "100,000 line ends": "a" + "\n" * 99_997 + "b",
    "only escapes": '\\"\u0001\u001f' * 1_000,
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_an_odd_question_is_asked_as_it_was_written(text: str) -> None:
    first, again, other = asked(user(text), user(text), user(text + "\u0416"))
    assert first.question.data == text
    assert json.loads(first.body.data)["messages"][0]["content"] == text
    assert (first.context, first.text_digest, first.vector) == (again.context, again.text_digest, again.vector)
    assert first.text_digest != other.text_digest
    assert first.vector is not None
    assert ("beyond" in first.fields) == (len(exact_form(text)) > 200)


def test_odd_questions_take_no_more_than_their_length_in_steps() -> None:
    """Each would take seconds by a rule that looks back from every sign."""
    for sign in (" ", "\n", "\r", "'", "a'", "? ", ".", "\u00a0", "How many ", "\u0301\u0316", "\u0301"):
        text = "a" + sign * (7_900 // len(sign)) + "b"
        assert exact_form(exact_form(text)) == exact_form(text)


def test_odd_questions_are_all_told_apart() -> None:
    events = asked(*[user(text) for text in ODD.values()])
    assert len({event.text_digest for event in events}) == len(ODD)


def test_questions_that_differ_in_an_emoji_alone_are_never_compared_by_meaning() -> None:
    first, second = asked(user("I love 🍕"), user("I love 🚗"))
    assert first.vector == second.vector
    assert first.context != second.context


def test_long_questions_that_differ_at_their_end_alone_are_never_compared_by_meaning() -> None:
    first, second = asked(user(LONG[:99_000] + "Answer yes."), user(LONG[:99_000] + "Answer no."))
    assert first.vector == second.vector
    assert first.context != second.context


@pytest.mark.parametrize("text", ["nan", "inf", "zero", "nan and " + "more " * 100])
def test_a_text_whose_vector_is_none_is_matched_exactly(text: str) -> None:
    bad, good, again = asked(user(text), user("What is love?"), user(text + "\n"))
    assert (bad.vector, again.vector) == (None, None)
    assert good.vector is not None
    assert (bad.context, bad.text_digest) == (again.context, again.text_digest)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "Be kind."}],
        [{"role": "assistant", "content": "Hello!"}],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}],
        [{"role": "user", "content": "Hi"}, {"role": "tool", "content": "", "tool_call_id": "1"}],
        [{"content": "no role"}],
        [{"role": None, "content": "no role"}],
        [{"role": "user", "content": [IMAGE]}],
        [{"role": "user", "content": [IMAGE, {"type": "text", "text": " "}]}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA=="}}]}],
    ],
)
def test_where_no_text_of_a_user_is_last_only_the_whole_message_is_matched(messages: list[dict[str, Any]]) -> None:
    changed = [*messages[:-1], {**messages[-1], "more": 1}]
    first, again, other = asked(request(messages), request(messages), request(changed))
    assert [event.vector for event in (first, again, other)] == [None] * 3
    assert (first.context, first.text_digest) == (again.context, again.text_digest)
    assert first.text_digest != other.text_digest


def test_an_image_counts_beside_the_text_and_the_text_is_compared() -> None:
    def look(url: str, text: str) -> bytes:
        return user([{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}])

    cat, cat_too, dog = asked(
        look("cat.png", "What is it?"), look("cat.png", "What do you see?"), look("dog.png", "What is it?")
    )
    assert cat.vector is not None
    assert cat.context == cat_too.context != dog.context


def test_fields_unknown_today_count_and_reach_the_model() -> None:
    deep: Any = {"a": [{"b": [1, "1", True, None, 1.5]}]}
    messages = [{"role": "user", "content": "What is love?"}]
    plain, more, other = asked(
        request(messages),
        request(messages, future=deep),
        request(messages, future={"a": [{"b": [1, 1, True, None, 1.5]}]}),
    )
    assert len({plain.context, more.context, other.context}) == 3
    assert json.loads(more.body.data)["future"] == deep
    assert set(more.fields) - set(plain.fields) == {"future"}


class Failing:
    """A model that fails on every batch, and on its own text."""

    max_seq_length = 16
    tokenizer = None

    def get_embedding_dimension(self) -> int:
        return 2

    def encode(self, texts: Sequence[str], **_: Any) -> Any:
        if any("poison" in text for text in texts):
            raise RuntimeError("no")
        return np.ones((len(texts), 2))


class ReadsAll(TransformerEmbedder):
    """Shows its model all of a text: there is no window to cut it to."""

    def head(self, text: str) -> str:
        return text

    def unread(self, text: str) -> tuple[str, ...]:
        return ()


def test_a_text_that_the_model_fails_on_is_asked_and_harms_no_other() -> None:
    classifier = entrance(ReadsAll(Failing(), "failing"))
    out = step(user("poison"), user("What is love?"), classifier=classifier)
    events = [decode_event(each.value or b"") for each in out]
    assert [isinstance(event, Asked) and event.vector is None for event in events] == [True, False]
