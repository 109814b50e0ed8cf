from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from tests.streams.guards.verdicts import refuses


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("sort a list in python", "sort a list in ruby"),
        ("Read /etc/hosts", "Read /etc/passwd"),
        ("Open https://a.example/x", "Open https://a.example/y"),
        ("Mail ann@example.org", "Mail bob@example.org"),
        ("How do I read a response header?", "How do I set a response header?"),
        ("Is it safe to eat raw eggs?", "Is it safe to eat raw eggs while pregnant?"),
        ("What is the weather in the US?", "What is the weather?"),
        ("What is this?", "What is it?"),
        ("Wo ist Berlin?", "Wo ist Hamburg?"),
        ("Где находится Москва?", "Где находится Казань?"),
        ("How do I cook pork?", "How do I cook beef?"),
    ],
)
def test_other_things_are_refused(a: str, b: str) -> None:
    assert refuses(Guard.NAMES, a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Who leads Apple?", "Who is leading Apple?"),
        ("What is ML?", "What is machine learning?"),
        ("learn JavaScript", "learn js"),
        ("How do I fix a bug?", "What is the best way to fix bugs?"),
        ("colour of the centre", "color of the center"),
        ("configure the proxy", "configuration of the proxy"),
        ("What Is The Capital Of Peru", "what is the capital of peru"),
        ("a data base", "a database"),
        ("a paintbrush", "paint brushes"),
        ("Is the café open?", "Is the cafe open?"),
        ("HOW DO I GET TO US?", "how do I get to us?"),
    ],
)
def test_other_wordings_of_a_thing_pass(a: str, b: str) -> None:
    assert not refuses(Guard.NAMES, a, b)


def test_a_statement_may_say_a_little_more_and_a_question_may_not() -> None:
    assert not refuses(Guard.NAMES, "A man is playing a guitar", "A man is quietly playing a guitar")
    assert refuses(Guard.NAMES, "Who is playing a guitar?", "Who is quietly playing a guitar?")
