from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from tests.streams.guards.verdicts import LEAST, refuses, score

NEAR = 0.97


@pytest.mark.parametrize(
    ("a", "b"),
    [
        # persons
        ("Can my landlord sue me?", "Can I sue my landlord?"),
        ("Does he owe her money?", "Does she owe him money?"),
        ("What is my tax rate?", "What is your tax rate?"),
        ("Will they refund us?", "Will we refund them?"),
        ("How do I tell my boss that I am unhappy?", "How do I tell my boss that he is unhappy?"),
        ("Can I see my manager's calendar?", "Can my manager see my calendar?"),
        # prepositions
        ("What should I do during an earthquake?", "What should I do after an earthquake?"),
        ("Books by Winston Churchill", "Books about Winston Churchill"),
        ("How do I get a refund for a gift?", "How do I get a refund as a gift?"),
        ("Is there parking behind the hotel?", "Is there parking in front of the hotel?"),
        ("Which taxes are due until March?", "Which taxes are due since March?"),
        # two that change places
        ("Should I brush then floss?", "Should I floss then brush?"),
        ("What broke the build in git?", "What did the build break in git?"),
        ("Show hotels with a pool and no gym", "Show hotels with a gym and no pool"),
        # quantifiers, and or or
        ("Find rows where a and b are null", "Find rows where a or b are null"),
        ("Show only unread messages", "Show unread messages"),
        ("Do most lenders check income?", "Do some lenders check income?"),
        ("Is each employee entitled to a break?", "Is an employee entitled to each break?"),
        ("Can both parents claim the child?", "Can one parent claim the child?"),
        # how far it holds
        ("Is Iceland green?", "Is Iceland mostly green?"),
        ("Is the pool heated?", "Is even the pool heated?"),
        ("Do I need only a deposit and an ID?", "Do I need a deposit and only an ID?"),
        ("Is oat milk healthier than cow milk?", "Is oat milk as healthy as cow milk?"),
        # when, and how somebody stands to it
        ("What are they building here?", "What were they building here?"),
        ("Do pilots need to sleep on a flight?", "Do pilots want to sleep on a flight?"),
        ("Am I able to appeal?", "Am I obliged to appeal?"),
        # capitals and signs that mean something
        ("What does MS mean in a chart?", "What does ms mean in a chart?"),
        ("What is Python used for?", "What is a python used for?"),
        ("Convert 5 Mb to MB", "Convert 5 MB to Mb"),
        ("What are the benefits of apple?", "What are the benefits of Apple?"),
        ("How do I check a ≤ b in Python?", "How do I check a ≥ b in Python?"),
        ("Is x ∈ A?", "Is x ∉ A?"),
        # a word of degree, of time or of duty in another's place
        ("Is it warm in Malta in April?", "Is it hot in Malta in April?"),
        ("Which phone has a better camera?", "Which phone has the best camera?"),
        ("Is the shop already open?", "Is the shop still open?"),
        ("Must guests pay?", "Should guests pay?"),
        ("Do all birds fly?", "Do most birds fly?"),
        # a little word more that is not known to be harmless
        ("Can I drive while I wait?", "Can I drive so I wait?"),
        ("Can my cat have milk?", "Can my cat have had milk?"),
        ("Match strings with ^abc", "Match strings with abc$"),
        # what a word belongs to
        ("Why does the test fail only on Windows?", "Why does only the test fail on Windows?"),
        ("What should I tell my doctor?", "What should my doctor tell me?"),
        # one, several, all
        ("Write a poem about rain", "Write poems about rain"),
        ("How do I remove a duplicate from a list?", "How do I remove all duplicates from a list?"),
        # who does it, and when
        ("Who elected the pope?", "Who was elected pope?"),
        ("How do I sue?", "How do I get sued?"),
        ("What depends on libssl?", "What does libssl depend on?"),
        ("I am moving to Spain. What now?", "I moved to Spain. What now?"),
        ("She is teaching maths. Is it hard?", "She taught maths. Is it hard?"),
        # classes of letters
        ("What does \\d match?", "What does \\D match?"),
        ("Which languages use å?", "Which languages use a?"),
        # signs that are spoken of
        ("What does ./ mean in a path?", "What does ../ mean in a path?"),
        ("What does -- do in Lua?", "What does - do in Lua?"),
        ("What is the difference between {} and []?", "What is the difference between () and []?"),
        ("How do I use the ? operator in Rust?", "How do I use the ! operator in Rust?"),
        # names that are words, too
        ("What is soap made of?", "What is SOAP made of?"),
        ("How much does caterpillar weigh?", "How much does Caterpillar weigh?"),
        ("What does a smith do?", "What does a Smith do?"),
        # all that differs: a modal, a time, what stands in the place of a preposition
        ("Which birds can swim?", "Which birds swim?"),
        ("What should babies drink?", "What do babies drink?"),
        ("Why is my car towed?", "Why was my car towed?"),
        ("Which bus goes past the museum?", "Which bus goes to the museum?"),
        ("Do fish need ears?", "Do fish have ears?"),
        ("Is the line always busy?", "Is the line usually busy?"),
        # what is denied
        ("Find files that are not empty and hidden", "Find files that are empty and not hidden"),
        ("Is it safe not to vaccinate?", "Is it not safe to vaccinate?"),
        # asked anew
        ("Explain entropy", "Explain entropy one more time"),
        ("Give me tips for better sleep", "Give me more tips for better sleep"),
        ("Tell me a joke", "Tell me another joke"),
        ("What can I cook with eggs?", "What else can I cook with eggs?"),
        ("Write a limerick about cats", "Write a limerick about cats again"),
        # one's own, and anybody's
        ("When does my visa expire?", "When does a visa expire?"),
        ("How old is my house?", "How old is the house?"),
        ("What is the photo of the bridge?", "What is the photo from the bridge?"),
        ("Is the road being paved?", "Is the road paved?"),
        ("How do I make room?", "How do I make a room?"),
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
        ("Does every class have an exam?", "Do classes all have an exam?"),
        ("Which is easier, history or Latin?", "Which is easier between history and Latin?"),
        (
            "Almost all my files are gone, how do I get them back?",
            "Nearly all my files are gone, how do I get them back?",
        ),
        ("How do I sort a list in Python?", "How do I sort a list in python?"),
        ("How Do I Skip A Line In Excel?", "How do I skip a line in Excel?"),
        ("Why isn't my car starting?", "Why is my car not starting?"),
        ("Why doesn't the cache expire?", "Why does the cache not expire?"),
        ("How can I root a phone?", "How do I root a phone?"),
        ("What is the best thing you ate?", "What was the best thing you ate?"),
        ("My laptop is slow - what now?", "My laptop is slow -- what now?"),
        ("Which one, A or B ?", "Which one, A or B?"),
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
        ("Plan a trip to Rome", "Plan a weekend trip to Rome"),
        ("Ask me a riddle", "Ask me a harder riddle"),
    ],
)
def test_a_word_more_in_a_request_takes_off_more_than_any_threshold_leaves(a: str, b: str) -> None:
    assert 0 < score(a, b, NEAR) < 0.88


def test_a_word_apart_is_not_looked_for_in_texts_worded_otherwise() -> None:
    assert not refuses(Guard.WORDS, "Can my landlord sue me?", "When would somebody who rents out flats go to court?")


def test_words_that_come_twice_are_turned_around_whichever_text_is_kept() -> None:
    assert refuses(Guard.WORDS, "tea after milk after tea", "tea after tea after milk")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        # one word of meaning in another's place, however short the text or long the word
        ("Where is the nearest embassy of Peru?", "Where is the nearest consulate of Peru?"),
        ("Can babies have honey?", "Can toddlers have honey?"),
        ("What is on TV tonight?", "What is on TV tomorrow?"),
        # one word more that says which
        ("How do I clean a keyboard?", "How do I clean a mechanical keyboard?"),
        ("How do I cancel my subscription?", "How do I cancel my free subscription?"),
    ],
)
def test_a_word_of_meaning_replaced_or_inserted_is_not_served_where_all_else_is_the_same(a: str, b: str) -> None:
    assert score(a, b, NEAR) < LEAST


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do I create a drop-down menu in HTML?", "How do I create a dropdown menu in HTML?"),
        ("How do I start learning guitar?", "How do I begin learning guitar?"),
        ("How do I screenshot on a Mac?", "How do I take a screenshot on a Mac?"),
        ("Are all swans white?", "Is every swan white?"),
        ("How do I get started with chess?", "How do I start with chess?"),
        ("Where can I buy cheap furniture?", "Where can I find cheap furniture?"),
        ("How are diamonds formed?", "How do diamonds form?"),
        ("What happened on July 4, 1776?", "What happened on 4 July 1776?"),
    ],
)
def test_an_edit_that_is_known_to_be_harmless_is_served(a: str, b: str) -> None:
    assert score(a, b, NEAR) >= LEAST
