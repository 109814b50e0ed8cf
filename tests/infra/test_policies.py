"""The policies that are shipped: whole, as the paper has them where they say so, and not at odds with themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.policies.file import read_policy, write_policy
from refrain.schemas.control import PolicyInForce
from refrain.schemas.policy import Cacheable, Policy
from refrain.streams.classify.routing import RoutingInput, learned_router

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "policies"
FILES = sorted(FOLDER.glob("*.yaml"))
PAPER = ("code", "docs", "conversation", "finance", "legal", "medical", "specialised")


def policy_of(file: Path) -> Policy:
    return read_policy(file.read_text(encoding="utf-8"), file.name)


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def policy(request: pytest.FixtureRequest) -> Policy:
    return policy_of(request.param)


def test_it_is_whole_and_reads_back_as_it_is_written(policy: Policy) -> None:
    assert read_policy(write_policy(policy), "again") == policy


def test_no_rule_takes_an_example_of_another_category(policy: Policy) -> None:
    in_force = PolicyInForce(version=0, who="me", at_ms=0, policy=policy)
    router = learned_router(in_force, lambda texts: [None for _ in texts], "none")
    for name, category in policy.categories.items():
        for text in category.examples:
            body = {"messages": [{"role": "user", "content": text}]}
            match = router.match(RoutingInput("default", "default", (), None, text, body))
            assert match is None or match.category in (name, "uncategorised"), text


def test_no_question_is_an_example_twice(policy: Policy) -> None:
    texts = [text for category in policy.categories.values() for text in category.examples]
    assert len(set(texts)) == len(texts)


def test_what_load_may_stretch_has_a_bound_on_false_hits_and_what_it_may_not_is_never_served_stale() -> None:
    for name, category in policy_of(FOLDER / "paper.yaml").categories.items():
        relaxes = category.threshold_floor is not None or category.ttl_cap_ms is not None
        assert relaxes == ("false_hit_bound" in category.model_fields_set), name
        assert relaxes or category.stale_while_revalidate_ms == 0, name


def test_the_papers_seven_categories_are_there_and_what_is_regulated_is_not_kept() -> None:
    policy = policy_of(FOLDER / "paper.yaml")
    assert tuple(policy.categories) == PAPER
    assert [name for name, category in policy.categories.items() if category.cache is Cacheable.NEVER] == ["medical"]
    assert sum(category.quota.guaranteed for category in policy.categories.values()) == 4_000


def test_every_category_that_keeps_answers_says_what_it_keeps_of_what_depends_on_now_or_on_who_asks(
    policy: Policy,
) -> None:
    for name, category in policy.categories.items():
        if category.cache is not Cacheable.NEVER:
            assert "allow" not in (category.volatile, category.personal), name


def test_every_number_of_the_papers_policy_says_why() -> None:
    lines = (FOLDER / "paper.yaml").read_text(encoding="utf-8").splitlines()
    for name in ("threshold:", "ttl_ms:", "quota:", "entries_max:", "example_similarity:"):
        at = [number for number, line in enumerate(lines) if line.strip().startswith(name)]
        assert at
        for number in at:
            before = [line.strip() for line in lines[number - 2 : number]]
            assert any(line.startswith("#") for line in before) or "#" in lines[number], lines[number]
