"""What a what-if tells of a policy is what really comes of it, wherever the answers are known."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from refrain.ops.whatif.alternative import Made
from refrain.ops.whatif.recording import Recording
from refrain.ops.whatif.redo import Meaning
from refrain.ops.whatif.run import run
from refrain.schemas.control import Invalidate, Judge, ReportLoad, SetPolicy
from refrain.schemas.policy import REQUEST_IDS, Cacheable, CategoryPolicy, Guard, ModelPolicy, Policy, Quota
from refrain.schemas.policy_limits import Eviction, Limits, TenantLimits
from refrain.schemas.policy_rules import Match, Rule
from refrain.streams.models.embedder import vector_of_record
from refrain.streams.models.hashing_embedder import HashingEmbedder
from tests.ops.whatif.service import Ask, Give, Given, Service, given
from tests.ops.whatif.traffic import any_policy, mixed, policy, script

RECORDED = policy()
EMBEDDER = HashingEmbedder()
MEANING = Meaning(EMBEDDER.identity, lambda texts: [vector_of_record(row) for row in EMBEDDER.embed(texts)])
MANY = {
    "the same": RECORDED,
    "nearer": policy(threshold=0.75),
    "stricter": policy(threshold=0.97),
    "shorter": policy(ttl_ms=60_000),
    "shorter, and stale": policy(ttl_ms=60_000, stale_while_revalidate_ms=30_000),
    "few, by use": policy(quota=Quota(cap=6), limits=Limits(answer_timeout_ms=10_000, eviction=Eviction.LRU)),
    "few, by value": policy(quota=Quota(cap=4), threshold=0.8),
    "one at a time": policy(coalesce=False, threshold=0.8),
    "shared, in slices": policy(scope="shared", slices=4, threshold=0.8),
}


def whatif(service: Service, other: Policy, meaning: Meaning | None = None) -> dict[str, Made]:
    """What the what-if from the recording of a service decides under another policy, by id."""
    found: dict[str, Made] = {}
    run(
        Recording(service.cluster),
        {"other": other},
        meaning=meaning,
        on_made=lambda _, made: found.update({made.decision.id: made}),
    )
    return found


def told(made: Mapping[str, Made]) -> dict[str, Given]:
    return {id_: given(each.decision, each.source) for id_, each in made.items()}


@pytest.fixture(scope="module")
def repeated() -> Service:
    return Service(RECORDED, repeats=True, moody=True).run(mixed(6))


@pytest.fixture(scope="module")
def recorded() -> Service:
    return Service(RECORDED).run(script(1))


@pytest.mark.parametrize("name", MANY)
def test_the_whatif_is_what_really_comes_of_a_policy(name: str, recorded: Service) -> None:
    really = Service(MANY[name]).run(script(1)).given()
    made = whatif(recorded, MANY[name])
    assert told(made) == really
    assert sum(each.outcome == "hit" for each in really.values()) > 20


NEARER = {
    "the same": RECORDED,
    "nearer": policy(threshold=0.75),
    "guarded": policy(threshold=0.75, guards=tuple(Guard)),
    "apart": policy(threshold=0.8, volatile={"ttl_ms": 600_000}, personal={"require": ["user"]}),
    "never": policy(threshold=0.8, volatile="never", personal="never"),
    "limited": policy(threshold=0.8).model_copy(update={"tenants": {"*": TenantLimits(requests_per_s=8)}}),
}


@pytest.mark.parametrize("name", NEARER)
def test_modes_failures_dependence_and_repeats_are_what_they_really_are(name: str, repeated: Service) -> None:
    really = Service(NEARER[name], moody=True).run(mixed(6)).given()
    assert told(whatif(repeated, NEARER[name])) == really
    outcomes = {each.outcome for each in really.values()}
    assert {"hit", "miss", "coalesced", "error"} <= outcomes


@pytest.mark.parametrize("seed", range(6))
def test_between_any_two_policies_nothing_differs_until_an_answer_is_assumed(seed: int) -> None:
    chosen = random.Random(seed)
    before, after = any_policy(chosen), any_policy(chosen)
    recorded, really = (Service(each, moody=True).run(mixed(seed, 160)) for each in (before, after))
    made = whatif(recorded, after)
    first = next((number for number, id_ in enumerate(recorded.ids) if made[id_].assumed), len(recorded.ids))
    known = set(recorded.ids[: first + 1])
    assert {id_: each for id_, each in told(made).items() if id_ in known} == {
        id_: each for id_, each in really.given().items() if id_ in known
    }


def test_a_recording_under_several_policies_is_folded_under_one() -> None:
    first, second = policy(threshold=0.95, mask=(r"day \d+",)), policy(threshold=0.85, quota=Quota(cap=5))
    asked = script(7, 300)
    changes = Give(asked[150].at_ms + 1, SetPolicy(who="w", policy=second))
    recorded = Service(first).run(sorted([*asked, changes], key=lambda each: each.at_ms))
    other = policy(threshold=0.8)
    assert told(whatif(recorded, other)) == Service(other).run(asked).given()


def test_questions_that_passed_the_cache_by_live_are_looked_up_with_answers_that_are_unknown() -> None:
    limited = RECORDED.model_copy(update={"tenants": {"*": TenantLimits(requests_per_s=0.5)}})
    recorded, really = Service(limited).run(script(8, 200)), Service(RECORDED).run(script(8, 200))
    made = whatif(recorded, RECORDED)
    passed = {id_ for id_, each in recorded.given().items() if each.outcome == "bypass"}
    assert len(passed) > 20
    assert told(made) == really.given()
    assert all(made[id_].assumed for id_ in passed if made[id_].decision.outcome.value == "miss")


def test_under_the_recorded_policy_nothing_changes(recorded: Service) -> None:
    made = whatif(recorded, RECORDED)
    assert told(made) == recorded.given()
    assert not any(each.assumed for each in made.values())


def test_hits_of_assumed_answers_are_told_apart(recorded: Service) -> None:
    made = whatif(recorded, MANY["stricter"])
    live = recorded.given()
    assumed = {id_ for id_, each in made.items() if each.assumed}
    forwarded = {id_ for id_, each in made.items() if each.decision.outcome.value == "miss"}
    assert {id_ for id_ in forwarded if live[id_].outcome == "hit"} <= assumed
    assert not {id_ for id_ in forwarded if live[id_].outcome == "miss"} & assumed


def test_loads_withdrawals_and_judgements_are_folded_as_they_came() -> None:
    models = {"m": ModelPolicy()}
    before = policy(threshold_floor=0.7).model_copy(update={"models": models})
    other = policy(threshold=0.85, threshold_floor=0.8, false_hit_bound=0.2).model_copy(update={"models": models})
    asked = [each for each in script(2, 200) if isinstance(each, Ask)]
    tagged = [each._replace(fields={**each.fields, "tags": [f"t{number % 5}"]}) for number, each in enumerate(asked)]
    again = next(
        number
        for number, each in enumerate(asked)
        if number > 60 and any(one._replace(at_ms=each.at_ms) == each for one in asked[40:number])
    )
    middle = tagged[100].at_ms + 1
    commands = [
        Give(middle, ReportLoad(who="w", model="m", load=1.0, valid_until_ms=middle + 3_000_000)),
        Give(middle + 100_000, Invalidate(who="w", tag="t1")),
        Give(middle + 2_000, Judge(who="w", decision_id="-", correct=False), again),
    ]
    recorded, really = (
        Service(each).run(sorted([*tagged, *commands], key=lambda x: x.at_ms)) for each in (before, other)
    )
    assert recorded.given() != really.given()
    assert told(whatif(recorded, other)) == really.given()


def test_questions_are_routed_again_by_rules_and_by_meaning() -> None:
    recorded = Service(RECORDED).run(script(3))
    rules = (
        Rule(when=Match(pattern="kafka"), category="chat"),
        Rule(when=Match(pattern="matrix"), category="secret"),
    )
    examples = {
        "graphs": CategoryPolicy(threshold=0.8, guards=(), examples=("How do I graph vector matrix",)),
        "secret": CategoryPolicy(cache=Cacheable.NEVER),
    }
    other = RECORDED.model_copy(update={"rules": rules, "categories": {**RECORDED.categories, **examples}})
    made = told(whatif(recorded, other, MEANING))
    really = Service(other).run(script(3)).given()
    assert made == really
    assert {"graphs", "secret", "chat"} <= {each.category for each in made.values()}


def test_what_a_policy_leaves_out_and_masks_is_done_again() -> None:
    asked = [
        each._replace(
            text=each.text + "\u200b" * (number % 4 == 0),
            body={"metadata": {"n": number % 7}},
            earlier=[{"role": "system", "content": f"Today is day {number % 9} of May"}],
            fields={**each.fields, "vary": {"locale": ("de", "en")[number % 2]}},
        )
        for number, each in enumerate(script(4, 300))
        if isinstance(each, Ask)
    ]
    other = policy(leave_out=(*REQUEST_IDS, "metadata"), mask=(r"day \d+",), slices=3)
    recorded, really = Service(RECORDED).run(asked), Service(other).run(asked)
    made = told(whatif(recorded, other))
    assert made == really.given()
    hits = [sum(each.outcome == "hit" for each in given_.values()) for given_ in (recorded.given(), made)]
    assert hits[1] > 5 * max(1, hits[0])


def test_second_opinions_that_were_given_live_are_taken_and_others_are_told() -> None:
    recorded = Service(policy(threshold=0.8)).run(script(5, 200))
    result = run(Recording(recorded.cluster), {"verified": policy(threshold=0.8, verify=0.5)})
    assert result.alternatives[0].whole().hits < result.recorded.whole().hits
    assert any("second opinion" in each for each in result.told)


def test_a_policy_that_comes_later_leaves_what_was_before(recorded: Service) -> None:
    middle = script(1)[200].at_ms
    found: dict[str, Made] = {}
    run(
        Recording(recorded.cluster),
        {"other": MANY["nearer"]},
        from_ms=middle,
        on_made=lambda _, made: found.update({made.decision.id: made}),
    )
    live = recorded.given()
    before = {id_ for id_, each in recorded.decisions().items() if each.time_ms < middle}
    assert len(before) > 100
    assert {id_: each for id_, each in told(found).items() if id_ in before} == {id_: live[id_] for id_ in before}
    assert told(found) != live


def test_known_answers_are_compared_with_those_of_the_model(recorded: Service) -> None:
    result = run(Recording(recorded.cluster), {"nearer": MANY["nearer"]})
    whole = result.alternatives[0].whole()
    live = {id_: each for id_, each in recorded.decisions().items() if each.outcome.value != "hit"}
    made = whatif(recorded, MANY["nearer"])
    texts = {id_: ask.text for id_, ask in zip(recorded.ids, asks(1), strict=True)}
    gained = [each for id_, each in made.items() if each.decision.outcome.value == "hit" and id_ in live]
    other_words = [each for each in gained if texts[each.decision.id] != texts[each.source or ""]]
    assert whole.gained == len(gained) > 20
    assert whole.differ >= len(other_words) > 0
    assert whole.unknown < whole.differ


def asks(seed: int) -> list[Ask]:
    return [each for each in script(seed) if isinstance(each, Ask)]
