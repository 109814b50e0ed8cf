from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from tests.streams.guards.verdicts import refuses, score


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Is this sentence grammatical: he go to school", "Is this sentence grammatical: he goes to school"),
        (
            "Classify the sentiment of this review: the food was great and the staff was friendly",
            "Classify the sentiment of this review: the food was awful and the staff was friendly",
        ),
        ("Translate to French: I love my dog", "Translate to French: stock prices fell on Monday"),
        ("How do you say 'good morning' in Spanish?", "How do you say 'good evening' in Spanish?"),
        ("Translate good morning into Italian", "Translate good night into Italian"),
        ("Fix this code:\n```\nprint('a)\n```", "Fix this code:\n```\nprint('b)\n```"),
        ("Summarise the following text.\n\nThe company grew.", "Summarise the following text.\n\nThe company shrank."),
        ("Übersetze ins Englische: Guten Morgen", "Übersetze ins Englische: Gute Nacht"),
        ("Traduis en anglais : le chat dort", "Traduis en anglais : le chien dort"),
        ("Is this a question: you are coming", "Is this a question: are you coming"),
        ("Count the vowels in banana", "Count the vowels in bananas"),
        ("How many syllables are in poetry?", "How many syllables are in poem?"),
        ("Correct the grammar: She don't like it", "Correct the grammar: She doesn't like it"),
        ("Encode in hex: Abc", "Encode in hex: abc"),
        ("Hash this with SHA256: Secret", "Hash this with SHA256: secret"),
    ],
)
def test_another_payload_is_another_question(a: str, b: str) -> None:
    assert refuses(Guard.PAYLOAD, a, b)
    assert score(a, b, 0.99) == 0


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Translate to French: I love my dog", "Please translate this into French: I love my dog."),
        ("Translate 'good morning' into Italian", "How do I say good morning in Italian?"),
        ("Summarise this text: The company grew.", "Give me a summary of this text:\nThe company grew."),
        ("How do I sort a list: in Python?", "How do I sort a list in Python?"),
        ("What does idempotent mean?", "What is the meaning of idempotent?"),
        ("Translate to French: Good Morning", "Translate to French: good morning"),
        ("Note: my laptop is old. What should I buy?", "My laptop is old. What should I buy?"),
    ],
)
def test_the_same_payload_may_be_asked_for_in_other_words(a: str, b: str) -> None:
    assert not refuses(Guard.PAYLOAD, a, b)
