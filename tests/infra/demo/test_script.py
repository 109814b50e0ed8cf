"""The demo's questions and the default policy fit each other, measured with the real embedder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from infra.demo.script import POLICY, Demo, ScriptedQuestion, read_demo
from refrain.ops.policies.file import read_policy
from refrain.schemas.control import PolicyInForce
from refrain.schemas.policy import UNCATEGORISED, Cacheable, Policy
from refrain.streams import guards
from refrain.streams.classify.routing import Router, RoutingInput
from refrain.streams.errors import WrongSetup
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.loading import load_embedder
from refrain.streams.settings import Embedding
from refrain.streams.vectors import Ints, quantise, similarity

MARGIN = 0.015
"""Of cosine similarity: what another engine or processor makes of the same weights differs by less."""


@pytest.fixture(scope="module")
def demo() -> Demo:
    return read_demo()


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read_policy(POLICY.read_text(encoding="utf-8"), POLICY.name)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    try:
        return load_embedder(Embedding(), tmp_path_factory.mktemp("models"))
    except WrongSetup as problem:
        pytest.skip(str(problem))


@pytest.fixture(scope="module")
def vectors(embedder: Embedder, demo: Demo) -> dict[str, Ints]:
    texts = sorted({asked.question for asked in demo.questions})
    return {text: quantise(row) for text, row in zip(texts, embedder.embed(texts), strict=True)}


@pytest.fixture(scope="module")
def places(embedder: Embedder, demo: Demo, policy: Policy, vectors: dict[str, Ints]) -> dict[ScriptedQuestion, str]:
    """The category that each question is given."""
    in_force = PolicyInForce(version=0, who="test", at_ms=0, policy=policy)
    router = Router(in_force, lambda texts: [quantise(row) for row in embedder.embed(texts)], embedder.identity)

    def place(asked: ScriptedQuestion) -> str:
        body = {"messages": [{"role": "user", "content": asked.question}]}
        ask = RoutingInput("default", demo.model, (), asked.category, asked.question, body)
        return (router.match(ask) or router.match_by_meaning(vectors[asked.question])).category

    return {asked: place(asked) for asked in demo.questions}


def test_there_are_enough_questions_of_every_kind(demo: Demo) -> None:
    kinds = Counter((asked.wave, asked.expect) for asked in demo.questions)
    assert len(demo.questions) >= 48
    assert kinds[(2, "hit")] >= 16
    assert kinds[(2, "miss")] >= 8
    assert kinds[(1, "bypass")] >= 2
    assert kinds[(2, "bypass")] >= 2
    assert len({asked.category for asked in demo.questions} - {None}) >= 5
    assert sum(asked.category is None for asked in demo.questions) >= 10


def test_the_default_policy_can_be_read_and_keeps_one_category_out(policy: Policy) -> None:
    assert [name for name, of in policy.categories.items() if of.cache is Cacheable.NEVER] == ["medical"]
    assert policy.categories[UNCATEGORISED].threshold == max(of.threshold for of in policy.categories.values())


@pytest.mark.model
def test_questions_that_may_not_be_cached_are_recognised_and_no_others(places: dict[ScriptedQuestion, str]) -> None:
    for asked, category in places.items():
        assert (category == "medical") == (asked.expect == "bypass"), asked.question


@pytest.mark.model
def test_a_question_without_a_category_gets_that_of_the_question_it_rewords(
    demo: Demo, places: dict[ScriptedQuestion, str]
) -> None:
    of = {asked.question: places[asked] for asked in demo.questions if asked.wave == 1}
    for asked, category in places.items():
        assert category != UNCATEGORISED, asked.question
        if asked.same_as is not None:
            assert category == of[asked.same_as], asked.question


@pytest.mark.model
def test_of_rewordings_more_than_the_threshold_is_left_and_nothing_comes_nearer(
    demo: Demo, policy: Policy, places: dict[ScriptedQuestion, str], vectors: dict[str, Ints]
) -> None:
    for asked in demo.questions:
        if asked.expect != "hit" or asked.question == asked.same_as:
            continue
        found = _scores(asked, demo, policy, places, vectors)
        best = max(found, key=lambda text: found[text])
        assert best == asked.same_as, asked.question
        assert found[best] >= policy.categories[places[asked]].threshold + MARGIN, (asked.question, found[best])


@pytest.mark.model
def test_of_questions_that_must_miss_less_than_the_threshold_is_left_beside_all_others(
    demo: Demo, policy: Policy, places: dict[ScriptedQuestion, str], vectors: dict[str, Ints]
) -> None:
    for asked in demo.questions:
        if asked.expect == "miss":
            best = max(_scores(asked, demo, policy, places, vectors).values())
            assert best <= policy.categories[places[asked]].threshold - MARGIN, (asked.question, best)


@pytest.mark.model
def test_some_that_must_miss_are_above_the_threshold_by_similarity_and_guards_refuse_them(
    demo: Demo, policy: Policy, places: dict[ScriptedQuestion, str], vectors: dict[str, Ints]
) -> None:
    refused = [
        asked.question
        for asked in demo.questions
        if asked.expect == "miss" and asked.wave == 2
        and max(_rivals(asked, demo, places, vectors).values()) >= policy.categories[places[asked]].threshold
    ]  # fmt: skip
    assert len(refused) >= 5


def _scores(
    asked: ScriptedQuestion,
    demo: Demo,
    policy: Policy,
    places: dict[ScriptedQuestion, str],
    vectors: dict[str, Ints],
) -> dict[str, float]:
    """What the guards of its category leave of each rival's similarity."""
    terms = guards.GuardTerms.of(policy.categories[places[asked]])
    return {
        text: guards.weigh(terms, guards.read(asked.question), guards.read(text)).score(near) / guards.MICROS
        for text, near in _rivals(asked, demo, places, vectors).items()
    }


def test_a_hit_must_name_an_earlier_question(tmp_path: Path) -> None:
    path = tmp_path / "demo.yaml"
    path.write_text("model: m\nquestions: [{wave: 1, category: null, expect: hit, question: a, same_as: a}]\n")
    with pytest.raises(ValueError, match="same_as"):
        read_demo(path)


def _rivals(
    asked: ScriptedQuestion, demo: Demo, places: dict[ScriptedQuestion, str], vectors: dict[str, Ints]
) -> dict[str, float]:
    """The similarity of every other question that is kept by then, or may be, in the same category."""
    return {
        other.question: similarity(vectors[asked.question], vectors[other.question])
        for other in demo.questions
        if other.expect == "miss"
        and other.wave <= asked.wave
        and places[other] == places[asked]
        and other.question != asked.question
    }
