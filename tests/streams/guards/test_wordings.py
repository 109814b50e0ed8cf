"""Ways to word a question that the guards know by a grammar: they ask the same, and what is near them does not."""

from __future__ import annotations

import pytest

from tests.streams.guards.verdicts import LEAST, score

ALMOST_EQUAL = 0.97
QUESTIONS = [
    "How do I descale a kettle?",
    "Why do cats purr?",
    "What is a balloon mortgage?",
    "Is oatmeal gluten free?",
]
CLOSINGS = [
    "I can't figure it out.",
    "I have no idea!",
    "I've always wondered.",
    "Please tell me.",
    "Does anyone know?",
    "It's urgent.",
    "I need an answer asap",
    "Any hints would be great",
    "This has been bugging me for years",
    "If you know",
    "Sorry for the silly question",
    "In your opinion?",
    "lol",
]
OPENINGS = [
    "Sorry to bother you, but",
    "Out of curiosity,",
    "My question:",
    "I've got a question.",
    "Hey Siri,",
    "Dear assistant,",
    "Great, thanks for the last answer.",
    "By the way,",
    "Alright,",
]


@pytest.mark.parametrize("closing", CLOSINGS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_what_closes_a_question_asks_for_nothing(question: str, closing: str) -> None:
    assert score(question, f"{question} {closing}", ALMOST_EQUAL) == ALMOST_EQUAL


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_what_opens_a_text_asks_for_nothing(question: str, opening: str) -> None:
    assert score(question, f"{opening} {question[0].lower()}{question[1:]}", ALMOST_EQUAL) == ALMOST_EQUAL


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Is oatmeal gluten free?", "Can you tell me whether oatmeal is gluten free?"),
        ("Does Lisbon have a subway?", "I'm not sure if Lisbon has a subway"),
        ("Do penguins have knees?", "Penguins have knees?"),
        ("Why did Rome fall?", "I wonder why Rome fell"),
        ("Why does bread go stale?", "Why is it that bread goes stale?"),
        ("Where can I get honey?", "Where could one get honey?"),
        ("How do I know if I am pregnant?", "How do you know if you are pregnant?"),
        ("What should I do if a wasp stings me?", "What are you supposed to do if a wasp stings you?"),
        ("Is it safe to fly?", "Would it be safe for me to fly?"),
        ("Is it legal to keep a fox?", "Am I legally allowed to keep a fox?"),
        ("How much does a root canal cost?", "How much would a root canal cost me?"),
        ("How long does it take to boil an egg?", "How long will it take me to boil an egg?"),
        ("List the planets", "Could you give me a list of the planets?"),
        ("Write a limerick about a frog", "Generate a limerick about a frog"),
        ("What is life like in Singapore?", "How is life in Singapore?"),
        ("What does Inertia mean?", 'What does "inertia" mean?'),
        ("Is is safe to fly?", "Is it safe to fly?"),
        ("Who is M.S. Dhoni?", "Who is MS Dhoni?"),
        ("Is 5'4\" tall?", "Is 5 ft 4 tall?"),
        ("What holidays are in Dec?", "What holidays are in December?"),
        ("React vs Vue", "React versus Vue"),
        ("Convert 3 inches to cm", "What is 3 inches in cm?"),
        ("Where can I find a map of Oslo?", "Where is a map of Oslo?"),
        ("How do I learn the violin?", "How do I learn to play the violin?"),
        ("What is the function of the spleen?", "What does the spleen do?"),
        ("Why do I keep losing my keys?", "Why do I lose my keys?"),
        ("how 2 peel a mango", "How do I peel a mango?"),
        ("What means ASAP?", "What is the meaning of ASAP?"),
        ("wat is a fjord", "What is a fjord?"),
        ("Can I run two servers at once?", "Can I run two servers at the same time?"),
        ("What was built in the 18th century?", "What was built in the 1700s?"),
        ("Name five rivers", "List five rivers"),
        ("How do I loose weight fast?", "How do I lose weight fast?"),
        ("Is it a non-profit company?", "Is it a nonprofit company?"),
        ("Give me a poem about fog", "Write a poem about fog"),
    ],
)
def test_other_wordings_are_served(a: str, b: str) -> None:
    assert score(a, b, ALMOST_EQUAL) >= LEAST


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Why did Google acquire Fitbit?", "Why did Fitbit acquire Google?"),
        ("Who did Anna hire?", "Who hired Anna?"),
        ("Pluto was a planet?", "Is Pluto a planet?"),
        ("How do I pay you?", "How do you pay me?"),
        ("What should I do if you leave me?", "What should you do if I leave you?"),
        ("What must I do to get a visa?", "What can I do to get a visa?"),
        ("How much will a kitchen remodel cost?", "How much did a kitchen remodel cost?"),
        ("Is 5'4\" tall?", "Is 5'5\" tall?"),
        ("How does one egg a day affect me?", "How do three eggs a day affect me?"),
        ("How do I lease a car?", "How do I rent a car?"),
        ("Can diabetes be cured?", "Can diabetes be treated?"),
    ],
)
def test_what_is_near_another_wording_and_asks_something_else_is_not(a: str, b: str) -> None:
    assert score(a, b, ALMOST_EQUAL) < LEAST
