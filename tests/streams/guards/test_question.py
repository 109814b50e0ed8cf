from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from tests.streams.guards.verdicts import refuses


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Who built it?", "When was it built?"),
        ("Where is it?", "Why is it?"),
        ("How many are there?", "Which are there?"),
        ("How much is it?", "How long is it?"),
        ("How do I sort?", "Is it sorted?"),
        ("What is sorting?", "How do I sort?"),
        ("Did it rain?", "Will it rain?"),
        ("Who is the mayor?", "Who was the mayor?"),
        ("Should I go?", "Can I go?"),
        ("How fast do oaks grow?", "How do I make oaks grow?"),
        ("What kills ants?", "Why do ants kill?"),
        ("Can dogs bark?", "Do dogs bark?"),
        ("Author of Emma?", "Why is it so?"),
    ],
)
def test_other_kinds_of_answers_are_refused(a: str, b: str) -> None:
    assert refuses(Guard.QUESTION, a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do I sort?", "What is the best way to sort?"),
        ("How do I sort?", "How to sort"),
        ("How do I sort?", "Could you tell me how to sort?"),
        ("How do I sort?", "Is there a way to sort?"),
        ("Explain sorting", "What is sorting?"),
        ("Explain sorting", "Can you please explain sorting?"),
        ("When was it built?", "In which year was it built?"),
        ("How much is it?", "What is the price?"),
        ("Why is it so?", "What is the reason for it?"),
        ("Which is best?", "What is best?"),
        ("The man who sings is here", "A singing man is here"),
        ("In Rome, is it warm?", "Is it warm in Rome?"),
        ("What kills ants?", "How do I kill ants?"),
        ("What method is best for it?", "What is the best method for it?"),
        ("Which country is it?", "What country is it?"),
        ("Author of Emma?", "Who is the author of Emma?"),
        ("Best time to go?", "What is the best time to go?"),
        ("Can gum cause pain?", "Does gum cause pain?"),
        ("Will salt make me sick?", "Does salt make you sick?"),
        ("What is the spelling of rhyme?", "How do you spell rhyme?"),
        ("When is the next election?", "When will the next election be?"),
    ],
)
def test_the_same_kind_of_answer_passes(a: str, b: str) -> None:
    assert not refuses(Guard.QUESTION, a, b)
