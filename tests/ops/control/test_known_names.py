"""A category that nobody knows is refused with the nearest; of a tenant it is said."""

from __future__ import annotations

import pytest
import typer

from refrain.ops.control.known_names import check_category, hint_tenant, known_categories, recent_tenants
from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.stats import CategoryNow, ShardStats
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster


@pytest.fixture
def cluster() -> MemoryCluster:
    made = MemoryCluster(lambda: 1_000)
    policy = PolicyInForce(version=1, who="w", at_ms=0, policy=Policy(categories={"finance": CategoryPolicy()}))
    from refrain.schemas.documents import Tally

    now = CategoryNow(tally=Tally(), entries=0, room=0)
    stats = ShardStats(partition=0, time_ms=1, policy_version=1, control=1, entries=0, waiting=0, withdrawing=0,
                       loads={}, categories={"former": now, "-": now})  # fmt: skip
    made.append([Outgoing("policies", POLICY_KEY, policy.encode()), Outgoing("stats", b"0", stats.encode()),
                 Outgoing("stats", b"1", b"junk"), Outgoing("decisions", b"k", b"junk")])  # fmt: skip
    return made


def test_categories_of_the_policy_and_of_the_figures_are_known(cluster: MemoryCluster) -> None:
    assert known_categories(cluster) == {"finance", "former"}
    for known in ("finance", "former", "-", None):
        check_category(cluster, known)
    with pytest.raises(typer.BadParameter, match="'finanse' is no category: did you mean 'finance'"):
        check_category(cluster, "finanse")


def test_before_the_first_policy_nothing_is_wrong() -> None:
    check_category(MemoryCluster(lambda: 0), "anything")


def test_a_tenant_that_was_not_seen_is_told_of(cluster: MemoryCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert recent_tenants(cluster) == set()
    hint_tenant("acmee", {"acme"})
    assert "did you mean 'acme'?" in capsys.readouterr().err
    hint_tenant("acme", {"acme"})
    hint_tenant("anybody", set())
    assert capsys.readouterr().err == ""
