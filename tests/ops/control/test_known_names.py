"""A category that nobody knows is refused with the nearest; of a tenant it is said."""

from __future__ import annotations

import pytest
import typer

from refrain.ops.control.known_names import (
    RECENT_DECISIONS,
    check_category,
    check_names_on,
    is_of,
    known_categories,
    seen_lately,
)
from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.policy import CategoryPolicy, ModelPolicy, Policy
from refrain.schemas.responses import Outcome
from refrain.schemas.stats import CategoryNow, ShardStats
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster

POLICY = Policy(categories={"finance": CategoryPolicy()}, models={"gpt-large": ModelPolicy()})


@pytest.fixture
def cluster() -> MemoryCluster:
    made = MemoryCluster(lambda: 1_000)
    policy = PolicyInForce(version=1, who="w", at_ms=0, policy=POLICY)
    from refrain.schemas.documents import Tally

    now = CategoryNow(tally=Tally(), entries=0, room=0)
    stats = ShardStats(partition=0, time_ms=1, policy_version=1, control=1, entries=0, waiting=0, withdrawing=0,
                       loads={}, categories={"former": now, "-": now})  # fmt: skip
    made.append([Outgoing("policies", POLICY_KEY, policy.encode()), Outgoing("stats", b"0", stats.encode()),
                 Outgoing("stats", b"1", b"junk"), Outgoing("decisions", b"k", b"junk")])  # fmt: skip
    return made


def test_categories_of_the_policy_and_of_the_figures_are_known(cluster: MemoryCluster) -> None:
    assert known_categories(cluster) == {"finance", "former"}
    for known in ("finance", "former", None):
        check_category(cluster, known)
    check_category(cluster, "-", or_none=True)
    with pytest.raises(typer.BadParameter, match="'-' is no category"):
        check_category(cluster, "-")
    with pytest.raises(typer.BadParameter, match="'finanse' is no category: did you mean 'finance'"):
        check_category(cluster, "finanse")


def test_before_the_first_policy_nothing_is_wrong() -> None:
    check_category(MemoryCluster(lambda: 0), "anything")


def test_a_tenant_or_model_that_was_not_seen_is_told_of_with_the_nearest(
    cluster: MemoryCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    check_names_on(cluster, tenant="anybody")
    assert capsys.readouterr().err == "", "nobody has asked yet"
    cluster.append([decided(0)])
    check_names_on(cluster, tenant="acmee", model="gpt-smal")
    told = capsys.readouterr().err
    assert "nobody of tenant 'acmee' has asked lately: did you mean 'acme'?" in told
    assert "nobody has asked model 'gpt-smal' lately: did you mean 'gpt-small'?" in told
    check_names_on(cluster, tenant="acme", model="gpt-small")
    check_names_on(cluster, model="gpt-large")
    assert capsys.readouterr().err == "", "the policy names it"


def test_names_are_of_a_bounded_number_of_decisions(cluster: MemoryCluster) -> None:
    cluster.append([decided(0, tenant="long-ago")] + [decided(n) for n in range(1, RECENT_DECISIONS + 1)])
    assert seen_lately(cluster).tenants == {"acme"}


def test_a_dash_is_what_has_no_category() -> None:
    assert [is_of(*each) for each in (("a", None), (None, None), (None, "-"), ("a", "-"), ("a", "a"), (None, "a"))] == [
        True, True, True, False, True, False,
    ]  # fmt: skip


def decided(offset: int, tenant: str = "acme") -> Outgoing:
    decision = Decision(
        id=f"0-{offset}-x",
        partition=0,
        offset=offset,
        time_ms=1,
        tenant=tenant,
        category=None,
        model="gpt-small",
        outcome=Outcome.MISS,
        reason=Reason.NAMESPACE_EMPTY,
    )
    return Outgoing("decisions", b"k", decision.encode(), (), 0)
