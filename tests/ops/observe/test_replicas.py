"""What the doctor makes of the brokers' metadata: who is missing, and what that does to partitions."""

from __future__ import annotations

from refrain.ops.observe.replicas import PartitionReplicas, summarise


def partition(number: int, *in_sync: int, leader: int = 1, replicas: tuple[int, ...] = (1, 2, 3)) -> PartitionReplicas:
    return PartitionReplicas("refrain.journal", number, replicas, in_sync, leader)


def test_a_whole_cluster_is_short_of_nothing() -> None:
    state = summarise([partition(0, 1, 2, 3), partition(1, 3, 2, 1)], [1, 2, 3], 2)
    assert not state.is_short
    assert state.partitions == 2


def test_a_broker_that_is_away_is_named_with_the_partitions_that_miss_it() -> None:
    state = summarise([partition(0, 1, 2), partition(1, 1, 2), partition(2, 1, 2, replicas=(1, 2))], [1, 2], 2)
    assert (state.under_replicated, state.below_minimum, state.leaderless, state.missing) == (2, 0, 0, (3,))
    assert str(state) == "2 of 3 partitions under-replicated; missing: broker 3"


def test_partitions_that_take_no_record_or_have_no_leader_are_told_apart() -> None:
    state = summarise([partition(0, 1), partition(1, 2, 1, leader=2), partition(2, 3, leader=-1)], [1], 2)
    assert (state.under_replicated, state.below_minimum, state.leaderless) == (3, 3, 2)
    assert "3 below min_insync" in str(state)
    assert "2 without a leader" in str(state)


def test_a_replica_that_lags_is_short_though_every_broker_is_there() -> None:
    state = summarise([partition(0, 1, 2)], [1, 2, 3], 2)
    assert state.is_short
    assert state.missing == ()


def test_one_replica_is_no_shortage_where_one_is_all_there_is() -> None:
    assert not summarise([partition(0, 1, replicas=(1,))], [1], 2).is_short
