"""Another form of a word is another text where a text is about words or hands one on, and nowhere else."""

from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from tests.streams.guards.verdicts import refuses, score

NEAR = 0.97


@pytest.mark.parametrize(
    ("a", "b"),
    [
        # about words
        ("How do you spell theatre?", "How do you spell theater?"),
        ("Is the word color spelled correctly?", "Is the word colour spelled correctly?"),
        ("Is the sentence they was happy correct?", "Is the sentence they were happy correct?"),
        ("Is it grammatical to say he don't know?", "Is it grammatical to say he doesn't know?"),
        ("How many e's are in cheese?", "How many e's are in cheeses?"),
        # handed on
        ("Translate into Spanish that the shop is open", "Translate into Spanish that the shops are open"),
        ("Say in Italian that I would like a coffee", "Say in Italian that I would like the coffee"),
        ("Tell my boss that I am sick", "Tell my boss that I was sick"),
        ("Write a sign saying the pool is closed", "Write a sign saying the pools are closed"),
        ("Ask the hotel whether breakfast is included", "Ask the hotel whether breakfast was included"),
        ("What is the Greek for I love you?", "What is the Greek for I loved you?"),
        # behind a colon
        ("Find the verb in this: birds sing", "Find the verb in this: a bird sings"),
        ("Turn into a question: they are late", "Turn into a question: they were late"),
    ],
)
def test_another_form_of_a_word_that_is_handled_is_another_payload(a: str, b: str) -> None:
    assert refuses(Guard.PAYLOAD, a, b)
    assert score(a, b, NEAR) == 0


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do you spell theatre?", "How is theatre spelled?"),
        ("What does the word color mean?", "What is the meaning of the word color?"),
        ("How do I add pages to a word document?", "How do I add a page to a word document?"),
        ("Tell my boss that I'm sick", "Tell my boss that I am sick"),
        ("Tell me how I can fix a bug", "Tell me how I can fix bugs"),
        ("Write a function that sorts lists", "Write a function that sorts a list"),
        ("How do I delete an email that I sent?", "How do I delete emails that I sent?"),
        ("Why do people ask questions that anybody answers?", "Why do people ask a question that anybody answers?"),
        ("Quick question: how do I reset passwords?", "Quick question: how do I reset a password?"),
        ("How many words are in a novel?", "How many words are there in novels?"),
        ("Where do I buy a heater?", "Where do I buy heaters?"),
    ],
)
def test_elsewhere_forms_of_a_word_say_the_same(a: str, b: str) -> None:
    assert score(a, b, NEAR) == NEAR
