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
        # to whom and for whom, on what and with what, where and of what
        ("How do I send flowers to my aunt?", "How do I send flowers for my aunt?"),
        ("Can I draw on chalk?", "Can I draw with chalk?"),
        ("How do I dream at school?", "How do I dream of school?"),
        # a verb with a particle, and without it
        ("How do I bring up a topic?", "How do I bring a topic?"),
        ("How do I speak up?", "How do I speak?"),
        ("How do I send for a doctor?", "How do I send a doctor?"),
        ("How do I believe in my sister?", "How do I believe my sister?"),
        # a kind of a thing, and what stands in it
        ("What is the bird in the cage?", "What is a bird cage?"),
        ("How do I bake apple bread?", "How do I bake apples from bread?"),
        # who does it, and that it is done
        ("What do farmers need?", "What does farming need?"),
        ("Why is the battery draining?", "Why does the battery need draining?"),
        # what others do for somebody, and what he does
        ("How do I get my eyes tested?", "How do I test my eyes?"),
        ("Can I have my teeth pulled?", "Can I pull my teeth?"),
        # to which clause, verb or owner a word belongs
        ("How do I train to win?", "How do I train when I win?"),
        ("How do I shout to cheer?", "How do I cheer about a shout?"),
        ("Can I quit today if I am sick?", "Can I quit if I am sick today?"),
        ("When I laugh, do my ribs ache?", "If my ribs ache, do I laugh?"),
        ("Is my sister's cat my friend?", "Is my sister my friend's cat?"),
        ("Can I run if I am hot?", "Can I run if it is hot?"),
        ("May I keep it if I am divorced?", "May I keep it if I get divorced?"),
        # when, how many, how much
        ("Who will win the race?", "Who won the race?"),
        ("Which ship has sails?", "Which ships have sails?"),
        ("Why do all cats not swim?", "Why do not all cats swim?"),
        ("Is an hour and a half enough?", "Is half an hour enough?"),
        ("My back hurts, what now?", "My back hurt, what now?"),
        ("What happens if I don't sleep?", "What happens if I can't sleep?"),
        ("What happens at most schools?", "What happens at the most schools?"),
        ("Can I open two tabs at once?", "Can I open two tabs once?"),
        ("Do bees sting at all?", "Do bees sting a lot?"),
        ("Who is a queen?", "Who is the queen?"),
        ("Do you have to be rich?", "Do you want to be rich?"),
        # whose it is
        ("Can I drive my father's car?", "Can I drive my car to my father?"),
        ("What is my teacher's opinion?", "What is my opinion of my teacher?"),
        ("How do I find a client's contract?", "How do I find a client with my contract?"),
        # in which clause it stands
        ("Why does my phone lag when the game starts?", "Why does the game start when my phone lags?"),
        ("Does the alarm ring if the door opens?", "Does the door open if the alarm rings?"),
        ("If the door opens does the alarm ring?", "Does the door open if the alarm rings?"),
        # what is going on, what is done, and what somebody was about to do
        ("What should I do if I am losing money?", "What should I do if I have lost money?"),
        ("What if my car is being towed?", "What if my car was towed?"),
        ("I was going to sell my flat. What now?", "I have sold my flat. What now?"),
        # a verb with other particles
        ("When do pumps give up?", "When do pumps give out?"),
        ("How do I set up a trap?", "How do I set off a trap?"),
        # how far, how long, and where
        ("Which of the plants grew most?", "Which of the plants grew?"),
        ("How much should I eat for breakfast?", "How much should I eat in breakfast?"),
        ("Who is in jail?", "Who is in the jail?"),
        # when it was, and when it will be
        ("What did fares cost last winter?", "How much will fares be next winter?"),
        ("Who sang yesterday?", "Who will be singing tomorrow?"),
        ("Which books are out?", "Which books are coming out?"),
        ("How much salt is in bread?", "How much salt should be in bread?"),
        ("Should my lawyer tell me about it?", "Should I tell my lawyer about it?"),
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
        # prepositions and particles that say the same
        ("What is the answer to this riddle?", "What is the answer for this riddle?"),
        ("How do I plan a wedding?", "How do I plan for a wedding?"),
        ("How do I clean up a spill?", "How do I clean a spill?"),
        ("How do I learn about chess?", "How do I learn chess?"),
        ("What is the price of gold?", "What is the gold price?"),
        # clauses and voices that do
        ("How do I stop my baby from crying?", "How do I get my baby to stop crying?"),
        ("How do I stop milk from boiling over?", "How do I keep milk from boiling over?"),
        ("When did the Hindenburg crash?", "When was the crash of the Hindenburg?"),
        ("Where is rice grown?", "Where does rice grow?"),
        ("Why isn't my oven working?", "Why is my oven not working?"),
        ("What should I do while pregnant?", "What should I do when pregnant?"),
        ("Is this hotel good?", "Is this a good hotel?"),
        ("How can I get more readers?", "How do you gain more readers?"),
        ("Can stress cause acne?", "Does stress cause acne?"),
        ("How long should I wait after surgery?", "How long do you wait after surgery?"),
        # doers that are asked for
        ("Who is the teacher of the class?", "Who is teaching the class?"),
        ("Which country has the most lakes?", "Which country has most lakes?"),
        ("Which lakes are deep?", "What lakes are deep?"),
        ("What is a modem?", "What's the meaning of modem?"),
        # clauses that change places, and times that begin with a word of theirs
        ("What do I do if my card is stolen?", "If my card is stolen, what do I do?"),
        ("Why does my knee hurt when I run?", "When I run, why does my knee hurt?"),
        ("After 10:00, which class is in room 5?", "Which class is in room 5 after 10:00?"),
        # what is going on is told in two ways, and so is whose it is
        ("My cat has been losing hair, why?", "My cat is losing hair, why?"),
        ("Why is my sink leaking?", "Why's my sink leaking?"),
        ("What is my dog's breed?", "What breed is my dog?"),
        ("How do I shut down my laptop?", "How do I shut off my laptop?"),
        ("How do I keep rhythm in drumming?", "How do you keep rhythm when drumming?"),
        # who does it, before the verb or behind "by"
        ("Why did Athens ban the plays?", "Why were the plays banned by Athens?"),
        ("Which shots does a kitten need?", "Any idea which shots a kitten needs?"),
        ("How do I make kombucha?", "kombucha how to"),
        ("How do I fill out a W-4?", "How do I complete a W-4?"),
        ("How do I fill in this form?", "How do I fill out this form?"),
    ],
)
def test_a_word_that_is_used_alike_asks_for_the_same(a: str, b: str) -> None:
    assert score(a, b, NEAR) >= LEAST


@pytest.mark.parametrize(
    "short", ["", "?", "What?", "Is", "Do I need", "Do I", "what do", "still", "Who used to", "HOW TO"]
)
@pytest.mark.parametrize(
    "other", ["", "?", "Is it", "Do I want", "What does it do?", "not", "Who", "get me", "from", 'HOW TO"HOW']
)
def test_texts_of_hardly_a_word_are_compared(short: str, other: str) -> None:
    for guard in (Guard.WORDS, Guard.QUESTION):
        there, back = detect([guard], read(short), read(other)), detect([guard], read(other), read(short))
        assert [each.verdict for each in there] == [each.verdict for each in back]
