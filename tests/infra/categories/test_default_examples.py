"""The examples that are shipped train a classifier that is sensible about questions that it has not seen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from refrain.ops.categories.examples import Example, ExampleFields, digest, read_examples, unique
from refrain.ops.policies.file import read_policy
from refrain.schemas.control import PolicyInForce
from refrain.schemas.policy import UNCATEGORISED, Policy
from refrain.streams.classify.routing import Router, learned_router
from refrain.streams.errors import WrongSetup
from refrain.streams.models.category_classifier import CategoryClassifier
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.loading import load_embedder
from refrain.streams.settings import Embedding
from refrain.streams.vectors import Ints, quantise

INFRA = Path(__file__).resolve().parents[3] / "infra"
EXAMPLES = INFRA / "categories" / "default.jsonl"
HELD_OUT = {
    "code": (
        "How do I concatenate two arrays in PHP?",
        "Why does my recursive method overflow the stack?",
        "Write a unit test for this parser",
        "How do I cherry-pick a commit onto another branch?",
        "What does a lambda expression do in C#?",
    ),
    "docs": (
        "What is the default port of Redis?",
        "Which fields does the response of the login endpoint have?",
        "What does the option --recursive do?",
        "Which HTTP status code means unauthorised?",
        "How do I set the log level in the config file?",
    ),
    "chat": (
        "Tell me a story about a pirate",
        "How do I make tomato soup?",
        "What should I buy my father for his birthday?",
        "Which film should we watch this evening?",
        "Who painted the Starry Night?",
    ),
    "finance": (
        "What is a good interest rate on a savings account?",
        "How do exchange-traded funds work?",
        "Should I sell my shares now?",
        "How much income tax do I pay?",
        "What is the price of silver today?",
    ),
    "medical": (
        "What are the symptoms of measles?",
        "My tooth hurts when I bite, what should I do?",
        "How many aspirin can I take in a day?",
        "Is a high fever dangerous for a baby?",
        "What are the side effects of this blood pressure medicine?",
        "I have a rash on my leg that itches",
        "Can I take antihistamines while I am pregnant?",
        "Should I see a doctor about my cough?",
        "I was prescribed insulin, when do I inject it?",
        "How long does a broken arm take to heal?",
    ),
    UNCATEGORISED: (
        "Set a timer for ten minutes",
        "When does the library close today?",
        "Can my employer terminate my contract without notice?",
        "Where is the parcel that I ordered last week?",
        "Book a taxi to the station",
        "How thick must the concrete slab be?",
    ),
}


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    taken = read_examples(EXAMPLES, ExampleFields("text", "category"))
    assert taken.problems == ()
    return taken.of(())


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read_policy((INFRA / "policies" / "default.yaml").read_text(encoding="utf-8"), "default.yaml")


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    try:
        return load_embedder(Embedding(), tmp_path_factory.mktemp("models"))
    except WrongSetup as problem:
        pytest.skip(str(problem))


@pytest.fixture(scope="module")
def trained(embedder: Embedder, examples: list[Example]) -> CategoryClassifier:
    pytest.importorskip("sklearn")
    from refrain.ops.categories.train import build_artefact, material

    vectors = [quantise(row) for row in embedder.embed([example.text for example in examples])]
    found = material(vectors, examples)
    return CategoryClassifier(build_artefact(found, embedder.identity, digest(examples), 0.94, lambda _: None))


def test_there_are_enough_of_every_category_of_the_policy_and_none_twice(
    examples: list[Example], policy: Policy
) -> None:
    counts = Counter(example.category for example in examples)
    assert set(counts) == {None, *policy.categories} - {UNCATEGORISED}
    assert min(counts.values()) >= 40
    assert counts[None] >= 60
    assert len(unique(examples)) == len(examples)
    held_out = {text for texts in HELD_OUT.values() for text in texts}
    assert not held_out & {example.text for example in examples}


@pytest.mark.model
def test_most_questions_that_it_has_not_seen_get_their_category(
    trained: CategoryClassifier, embedder: Embedder, policy: Policy
) -> None:
    vector = _vectors(embedder)
    router = _router(policy, embedder, trained)
    found = {
        name: sum(router.match_by_meaning(vector[text]).category == name for text in texts)
        for name, texts in HELD_OUT.items()
    }
    assert all(found[name] >= len(texts) - 1 for name, texts in HELD_OUT.items() if name != UNCATEGORISED), found
    assert found[UNCATEGORISED] >= len(HELD_OUT[UNCATEGORISED]) - 2, found
    assert trained.artefact.made.held_out_accuracy > 0.9


@pytest.mark.model
def test_it_never_lets_a_medical_question_through_that_the_nearest_examples_stop(
    trained: CategoryClassifier, embedder: Embedder, policy: Policy, examples: list[Example]
) -> None:
    vector = _vectors(embedder)
    by_example, by_training = _router(policy, embedder, None), _router(policy, embedder, trained)
    for texts in HELD_OUT.values():
        for text in texts:
            if by_example.match_by_meaning(vector[text]).never:
                assert by_training.match_by_meaning(vector[text]).never, text
    assert all(by_training.match_by_meaning(vector[text]).never for text in HELD_OUT["medical"])


def _vectors(embedder: Embedder) -> dict[str, Ints]:
    texts = [text for texts in HELD_OUT.values() for text in texts]
    return dict(zip(texts, (quantise(row) for row in embedder.embed(texts)), strict=True))


def _router(policy: Policy, embedder: Embedder, trained: CategoryClassifier | None) -> Router:
    in_force = PolicyInForce(version=0, who="test", at_ms=0, policy=policy)
    return learned_router(
        in_force, lambda texts: [quantise(row) for row in embedder.embed(texts)], embedder.identity, trained
    )
