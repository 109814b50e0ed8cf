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
from refrain.streams.adapt.load_window import Smoothed, load_of
from refrain.streams.classify.routing import RoutingInput, learned_router
from refrain.streams.errors import WrongSetup
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.loading import load_embedder
from refrain.streams.settings import Embedding
from refrain.streams.vectors import Ints, quantise, similarity

MARGIN = 0.015
"""Of cosine similarity: what another engine or processor makes of the same weights differs by less."""


ONE = "questions: [{wave: 1, category: null, expect: miss, question: a, source: doc}]\n"
LOAD_MARGIN = 0.005
"""Of the same, for the question between floor and threshold, which lie 0.02 apart: engines differ by 0.002."""


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
    texts = sorted({asked.question for asked in (*demo.questions, *step_questions(demo))})
    return {text: quantise(row) for text, row in zip(texts, embedder.embed(texts), strict=True)}


@pytest.fixture(scope="module")
def places(embedder: Embedder, demo: Demo, policy: Policy, vectors: dict[str, Ints]) -> dict[ScriptedQuestion, str]:
    """The category that each question is given."""
    in_force = PolicyInForce(version=0, who="test", at_ms=0, policy=policy)
    router = learned_router(in_force, lambda texts: [quantise(row) for row in embedder.embed(texts)], embedder.identity)

    def place(asked: ScriptedQuestion) -> str:
        body = {"messages": [{"role": "user", "content": asked.question}]}
        ask = RoutingInput("default", demo.model, (), asked.category, asked.question, body)
        return (router.match(ask) or router.match_by_meaning(vectors[asked.question])).category

    return {asked: place(asked) for asked in (*demo.questions, *step_questions(demo))}


def step_questions(demo: Demo) -> list[ScriptedQuestion]:
    """What the steps ask first, behind the waves."""
    wave = demo.last_wave + 1
    return [step.before(wave) for step in (demo.load, demo.withdrawal) if step is not None]


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
def test_guards_refuse_what_is_above_the_threshold_by_similarity_each_by_the_one_that_is_named(
    demo: Demo, policy: Policy, places: dict[ScriptedQuestion, str], vectors: dict[str, Ints]
) -> None:
    named = [asked for asked in demo.questions if asked.guard is not None]
    assert len(named) >= 5
    for asked in named:
        of, near = policy.categories[places[asked]], asked.near or ""
        assert _rivals(asked, demo, places, vectors)[near] >= of.threshold + MARGIN, asked.question
        evidence = guards.weigh(guards.GuardTerms.of(of), guards.read(asked.question), guards.read(near))
        assert evidence.refused == asked.guard, asked.question


@pytest.mark.model
def test_load_relaxes_the_threshold_to_below_what_is_left_of_its_rewording_and_nothing_less_does(
    demo: Demo, policy: Policy, places: dict[ScriptedQuestion, str], vectors: dict[str, Ints]
) -> None:
    assert demo.load is not None
    asked = demo.load.before(demo.last_wave + 1)
    of = policy.categories[places[asked]]
    assert of.threshold_floor is not None
    found = _scores(asked, demo, policy, places, vectors)
    best = max(found, key=lambda text: found[text])
    assert best == demo.load.same_as
    assert of.threshold_floor + LOAD_MARGIN <= found[best] <= of.threshold - LOAD_MARGIN, found[best]


def test_what_the_step_reports_beside_an_idle_replica_saturates_the_model(demo: Demo, policy: Policy) -> None:
    assert demo.load is not None
    mean = Smoothed(demo.load.latency_p95_ms / 2, demo.load.queue_depth / 2)
    assert load_of(mean, policy.models[demo.model]) == 1.0


@pytest.mark.model
def test_what_is_withdrawn_is_near_enough_and_nothing_else_is_even_under_load(
    demo: Demo, policy: Policy, places: dict[ScriptedQuestion, str], vectors: dict[str, Ints]
) -> None:
    assert demo.withdrawal is not None
    asked = demo.withdrawal.before(demo.last_wave + 1)
    of = policy.categories[places[asked]]
    found = _scores(asked, demo, policy, places, vectors)
    assert found.pop(demo.withdrawal.same_as) >= of.threshold + MARGIN
    assert max(found.values()) <= (of.threshold if of.threshold_floor is None else of.threshold_floor) - MARGIN


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


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("questions: [{wave: 1, category: null, expect: hit, question: a, same_as: a}]", "same_as"),
        ("questions: [{wave: 1, category: null, expect: miss, question: a, guard: numbers, near: a}]", "a guard"),
        ("questions: [{wave: 1, category: null, expect: miss, question: a, guard: nobody, near: a}]", "guard"),
        ("questions: [{wave: 1, category: null, expect: bypass, question: a}]", "no question must miss"),
        (f"{ONE}load: {{category: null, question: b, same_as: c, latency_p95_ms: 1, queue_depth: 1}}", "load: same_as"),
        (f"{ONE}withdrawal: {{category: null, question: b, same_as: a, source: other}}", "with the source 'other'"),
    ],
    ids=[
        "a hit of nothing",
        "a guard in the first wave",
        "no guard",
        "nothing kept",
        "a load of nothing",
        "another source",
    ],
)
def test_a_script_that_cannot_come_true_is_refused(tmp_path: Path, more: str, told: str) -> None:
    path = tmp_path / "demo.yaml"
    path.write_text(f"model: m\n{more}\n")
    with pytest.raises(ValueError, match=told):
        read_demo(path)


def test_a_script_may_have_no_steps(tmp_path: Path) -> None:
    path = tmp_path / "demo.yaml"
    path.write_text(f"model: m\n{ONE}")
    assert (read_demo(path).load, read_demo(path).withdrawal) == (None, None)


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
