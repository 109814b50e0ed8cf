"""What words are used for in two texts that have most of them in common."""

from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from refrain.streams.guards import read
from tests.streams.guards.verdicts import LEAST, detect, score

NEAR = 0.97


@pytest.mark.parametrize(
    ("a", "b"),
    [
        # who does it, and to whom it is done
        ("Who does the cat like?", "Who likes the cat?"),
        ("Which teams beat Chelsea?", "Which teams did Chelsea beat?"),
        ("I was promoted. What now?", "I promoted someone. What now?"),
        ("How do I get him hired?", "How do I hire him?"),
        ("How do I forgive my sister?", "How do I get my sister to forgive me?"),
        ("How do I stop my dog from barking?", "How do I get my dog barking?"),
        # what was done before, and what is intended
        ("Why did he stop smoking?", "Why did he stop to smoke?"),
        ("Did I forget to call my mother?", "Did I forget calling my mother?"),
        ("Who runs the marketing team?", "Who used to run the marketing team?"),
        ("What would happen if the moon disappeared?", "What happened when the moon disappeared?"),
        # how long, and by when
        ("How do I plan for a week?", "How do I plan in a week?"),
        # what is done with a thing
        ("How do I use a bow?", "How do I make a bow?"),
        ("How do I give a loan?", "How do I get a loan?"),
        ("Do I want a lawyer?", "Do I need a lawyer?"),
        # what it is, what it does, how it should be
        ("What does lactose do?", "What does lactose mean?"),
        ("What is a good GPA?", "What is a GPA?"),
        ("What is the use of a catheter?", "What is a catheter?"),
        ("What does my boss look like?", "What does my boss like?"),
        ("What is the price of gold?", "What is the gold price made of?"),
        # how far it is so
        ("Is it still raining?", "Is it raining?"),
        ("Are cats more clever?", "Are cats clever?"),
        ("Is this the best price?", "Is this a good price?"),
        ("Can only I eat fruit?", "Can I only eat fruit?"),
        ("Not all drugs are legal, right?", "All drugs are not legal, right?"),
        ("Is a number of students sick?", "Is the number of students sick?"),
        # two senses of a form
        ("Where can I buy glass?", "Where can I buy glasses?"),
        ("Who are the paid employees of the union?", "Who are paying employees of the union?"),
        ("How do I keep my shoes clean?", "How do I keep my clean shoes?"),
        ("How do I read your terms?", "How do I read my terms?"),
        ("Explain the joke", "Explain the joke another way"),
    ],
)
def test_a_word_that_is_used_otherwise_asks_for_something_else(a: str, b: str) -> None:
    assert score(a, b, NEAR) < LEAST


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Who wrote Don Quixote?", "Who was Don Quixote written by?"),
        ("How do I make my hair grow faster?", "How can I get my hair to grow faster?"),
        ("A man is playing the guitar", "The man is playing the guitar"),
        ("What is a good healthy breakfast?", "What's a healthy breakfast?"),
        ("How does a heat pump work?", "I'd like to know how a heat pump works"),
        ("Must I have a lawyer to write a will?", "Do I need a lawyer to write a will?"),
        ("How do I get a tan safely?", "How can I safely get a tan?"),
        ("What does a notary do?", "What is it that a notary does?"),
        ("How often should I water a cactus?", "How frequently should I water a cactus?"),
        ("Is the traveler insured?", "Is the traveller insured?"),
        ("Price of a Tesla?", "What is the price of a Tesla?"),
        ("Plan a trip to Lisbon", "Help me plan a trip to Lisbon"),
        ("How do I take care of a snake?", "How do I care for a snake?"),
        ("Where do I vote?", "Where does one vote?"),
    ],
)
def test_a_word_that_is_used_alike_asks_for_the_same(a: str, b: str) -> None:
    assert score(a, b, NEAR) >= LEAST


@pytest.mark.parametrize("short", ["", "?", "What?", "Is", "Do I need", "Do I", "what do", "still", "Who used to"])
@pytest.mark.parametrize("other", ["", "?", "Is it", "Do I want", "What does it do?", "not", "Who", "get me", "from"])
def test_texts_of_hardly_a_word_are_compared(short: str, other: str) -> None:
    for guard in (Guard.WORDS, Guard.QUESTION):
        there, back = detect([guard], read(short), read(other)), detect([guard], read(other), read(short))
        assert [each.verdict for each in there] == [each.verdict for each in back]
