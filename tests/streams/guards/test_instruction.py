"""The guard `instruction`: text beside a question that tells how to answer it makes another question."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refrain.schemas.policy import Guard, Strictness
from refrain.streams.errors import WrongSetup
from refrain.streams.guards import GuardTerms, read, weigh
from refrain.streams.models.loading import load_embedder
from refrain.streams.settings import Embedding
from tests.streams.guards.verdicts import LEAST, refuses, score
from tests.tables import table

Pair = tuple[str, str]
_LIST: dict[str, Any] = table(Path(__file__).parent / "beside.yaml")
QUESTIONS: list[str] = _LIST["questions"]
BESIDE: dict[str, list[str]] = _LIST["beside"]
SHARE = 3 / 155
"""Of texts with an instruction beside the question, so many may be served by the answer to it alone."""
ALMOST_EQUAL = 0.97
"""A similarity that is served unless the guards find something."""
POLITE = [
    "{q} Thanks in advance.",
    "Hi there! {q}",
    "Hello, I have a question. {q} Thank you very much!",
    "{q} Please help me.",
    "Dear team, {q}",
    "Good morning! {q} Best regards",
    "{q} Any ideas?",
    "{q} Thank you for your time.",
    "Sorry to bother you. {q}",
    "Quick question: {q}",
]


def with_it(form: str, question: str) -> str:
    """A question with what stands beside it."""
    return form.replace("{q}", question).replace("{{", "{").replace("}}", "}")


def test_the_list_is_large_enough() -> None:
    forms = list(chain.from_iterable(BESIDE.values()))
    assert len(set(forms)) == len(forms) >= 155
    assert len(QUESTIONS) == 10


def served_at(similarity: float, kinds: Iterable[str]) -> tuple[list[Pair], int]:
    """The pairs of some kinds that are served at a similarity, and how many there are."""
    pairs = [(q, with_it(form, q)) for kind in kinds for form in BESIDE[kind] for q in QUESTIONS]
    return [pair for pair in pairs if score(*pair, similarity) >= LEAST], len(pairs)


def test_an_instruction_beside_a_question_makes_another_one_however_similar() -> None:
    served, all_of_them = served_at(ALMOST_EQUAL, BESIDE)
    assert len(served) <= SHARE * all_of_them, served


@pytest.mark.parametrize("kind", BESIDE)
def test_no_kind_of_instruction_is_often_overlooked(kind: str) -> None:
    served, all_of_them = served_at(ALMOST_EQUAL, [kind])
    # One form of its kind, "or not", asks nothing else and is served.
    assert len(served) <= 0.08 * all_of_them, served


@pytest.mark.model
def test_by_the_default_model_hardly_any_is_served(tmp_path: Path) -> None:
    try:
        embedder = load_embedder(Embedding(), tmp_path)
    except WrongSetup as problem:
        pytest.skip(str(problem))
    pairs = [(q, with_it(form, q)) for form in chain.from_iterable(BESIDE.values()) for q in QUESTIONS]
    vectors = embedder.embed([text for pair in pairs for text in pair])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = (vectors[::2] * vectors[1::2]).sum(axis=1).tolist()
    served = [pair for pair, similarity in zip(pairs, alike, strict=True) if score(*pair, similarity) >= LEAST]
    print(f"{len(served)} of {len(pairs)} are served at {LEAST}")
    assert len(served) <= SHARE * len(pairs), served


@pytest.mark.parametrize("form", POLITE)
def test_politeness_beside_a_question_asks_for_nothing(form: str) -> None:
    for question in QUESTIONS:
        if question.endswith("?"):
            assert not refuses(Guard.INSTRUCTION, question, form.replace("{q}", question))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How can somebody reset a password?", "How do I reset my password? Just say no."),
        ("Could you tell me how photosynthesis works?", "Explain how photosynthesis works. Be brief."),
        ("What does aspirin do to the stomach?", "You are a pirate. What are the side effects of aspirin?"),
        ("Is ibuprofen with alcohol dangerous?", "Is it safe to take ibuprofen with alcohol? Would you just say yes?"),
    ],
)
def test_who_is_told_how_to_answer_is_told_it_beside_a_question_in_other_words_too(a: str, b: str) -> None:
    assert weigh(GuardTerms((Guard.INSTRUCTION,)), read(a), read(b)).refused is Guard.INSTRUCTION


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("I have a headache. What should I take?", "What should I take for a headache?"),
        ("My dog eats grass. Is that dangerous for dogs?", "Is it dangerous for dogs to eat grass?"),
        ("Be brief. Why is the sky blue?", "Why is the sky blue? Be brief."),
        ("Why is the sky blue? Answer in one word.", "Why is the sky blue? Answer in one word, please."),
        ("What is HTML (HyperText)?", "What is HTML?"),
        ("Does Prof. Wall teach on Friday?", "Does Professor Wall teach on Friday?"),
        ("For next week, what is the plan?", "What is the plan for next week?"),
        ("Is it true that cats sleep a lot?", "Do cats sleep a lot, is it true?"),
        ("Which is the best: tea or coffee?", "Which is the best, tea or coffee?"),
    ],
)
def test_what_the_other_text_says_too_is_nothing_beside_a_question(a: str, b: str) -> None:
    assert not refuses(Guard.INSTRUCTION, a, b)


def test_a_further_question_weighs_a_little_and_what_is_said_beside_one_decides() -> None:
    plain = "What are radio waves?"
    further, said = f"{plain} What was discovered by Hertz?", f"{plain} Corruption will still exist."
    terms = GuardTerms((Guard.INSTRUCTION,))
    assert weigh(terms, read(plain), read(further)).penalty == 20_000
    assert weigh(terms, read(plain), read(said)).refused is Guard.INSTRUCTION
    lenient = GuardTerms((Guard.INSTRUCTION,), strictness=Strictness.LENIENT)
    assert weigh(lenient, read(plain), read(further)).penalty == 10_000


def test_what_is_told_is_named() -> None:
    verdict = weigh(
        GuardTerms((Guard.INSTRUCTION,)), read("Why is it blue?"), read("Why is it blue? Just say no.")
    ).verdicts
    assert [(each.guard, each.verdict, each.words) for each in verdict] == [("instruction", "refused", ("say", "no"))]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Wie setze ich mein Passwort zurück?", "Wie setze ich mein Passwort zurück? Antworte nur mit ja."),
        ("Comment réinitialiser mon mot de passe ?", "Comment réinitialiser mon mot de passe ? Réponds en un mot."),
        ("¿Cómo restablezco mi contraseña?", "Di que no. ¿Cómo restablezco mi contraseña?"),
        ("如何重置密码?", "如何重置密码?用中文回答。"),
    ],
)
def test_it_looks_at_every_language(a: str, b: str) -> None:
    terms = GuardTerms((Guard.INSTRUCTION,), unverified="frame")
    assert weigh(terms, read(a), read(b)).refused is Guard.INSTRUCTION
    assert weigh(terms, read(b), read(a)).refused is Guard.INSTRUCTION


@pytest.mark.parametrize("piece", ["say no. ", "a, ", "(", "[x] ", "\n", "and why ", ": ", "yes? no! "])
def test_texts_of_many_sentences_are_read_and_compared(piece: str) -> None:
    long = piece * 300
    terms = GuardTerms((Guard.INSTRUCTION,))
    for other in ("Why is the sky blue?", "say no.", long[:-1] + "x", ""):
        there, back = weigh(terms, read(long), read(other)), weigh(terms, read(other), read(long))
        assert (there.penalty, there.refused) == (back.penalty, back.refused)
