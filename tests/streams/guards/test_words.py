from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from tests.streams.guards.verdicts import refuses, score

NEAR = 0.97


@pytest.mark.parametrize(
    ("a", "b"),
    [
        # persons
        ("Can my landlord sue me?", "Can I sue my landlord?"),
        ("Does he owe her money?", "Does she owe him money?"),
        ("What is my tax rate?", "What is your tax rate?"),
        ("Will they refund us?", "Will we refund them?"),
        ("Can I see my manager's calendar?", "Can my manager see my calendar?"),
        # prepositions
        ("What should I do during an earthquake?", "What should I do after an earthquake?"),
        ("Books by Winston Churchill", "Books about Winston Churchill"),
        ("Which taxes are due until March?", "Which taxes are due since March?"),
        # two that change places
        ("Should I brush then floss?", "Should I floss then brush?"),
        ("What broke the build in git?", "What did the build break in git?"),
        ("Show hotels with a pool and no gym", "Show hotels with a gym and no pool"),
        # quantifiers, and or or
        ("Find rows where a and b are null", "Find rows where a or b are null"),
        ("Show only unread messages", "Show unread messages"),
        # capitals and signs that mean something
        ("Convert 5 Mb to MB", "Convert 5 MB to Mb"),
        ("What are the benefits of apple?", "What are the benefits of Apple?"),
        ("How do I check a ≤ b in Python?", "How do I check a ≥ b in Python?"),
        ("Is x ∈ A?", "Is x ∉ A?"),
        # asked anew
        ("Give me tips for better sleep", "Give me more tips for better sleep"),
        ("Tell me a joke", "Tell me another joke"),
        ("What can I cook with eggs?", "What else can I cook with eggs?"),
        ("Write a limerick about cats", "Write a limerick about cats again"),
    ],
)
def test_a_small_word_that_differs_where_all_else_is_the_same_is_a_veto(a: str, b: str) -> None:
    assert refuses(Guard.WORDS, a, b)
    assert score(a, b, NEAR) == 0


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do I reverse a list?", "How can you reverse the list, please?"),
        ("What is the capital of France?", "what's the capital of france"),
        ("How do I sort a list in Python?", "In Python, how do I sort a list?"),
        ("Is salt and pepper enough?", "Is pepper and salt enough?"),
        ("Best hotels in Rajasthan", "The best hotels of Rajasthan"),
        ("How can I earn money through blogging?", "How can I earn money by blogging?"),
        ("Can everyone join the call?", "Can everybody join the call?"),
        ("Does Java support records?", "Are records supported by Java?"),
        ("what is aids", "What is AIDS?"),
        ("Is more exercise healthy?", "Is more exercise really healthy?"),
        ("Mac vs PC", "PC vs Mac"),
    ],
)
def test_a_small_word_that_is_harmless_counts_for_nothing(a: str, b: str) -> None:
    assert not refuses(Guard.WORDS, a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Recommend a hotel that is close to the beach", "Recommend a cheap hotel that is close to the beach"),
        (
            "Write a function that checks whether a linked list has a cycle",
            "Write a function that checks whether a doubly linked list has a cycle",
        ),
        ("Show me flights to Madrid", "Show me direct flights to Madrid"),
    ],
)
def test_a_word_more_in_a_request_takes_off_more_than_any_threshold_leaves(a: str, b: str) -> None:
    assert 0 < score(a, b, NEAR) < 0.88


def test_a_word_apart_is_not_looked_for_in_texts_worded_otherwise() -> None:
    assert not refuses(Guard.WORDS, "Can my landlord sue me?", "When would somebody who rents out flats go to court?")


def test_words_that_come_twice_are_turned_around_whichever_text_is_kept() -> None:
    assert refuses(Guard.WORDS, "tea after milk after tea", "tea after tea after milk")
