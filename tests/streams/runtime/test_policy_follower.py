"""The policy in force is the last committed one; processors follow it, and do not act by one they saw too long ago."""

from __future__ import annotations

import threading

import pytest

from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.errors import ClusterFailed, WrongSetup
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.policy_follower import (
    LEASE_S,
    PolicyFollower,
    PolicyWatch,
    delivery_timeout_ms_of,
    lease_s_of,
)
from refrain.streams.settings import Settings
from tests.streams.clock import Clock

WAIT_S = 10.0


def in_force(version: int) -> PolicyInForce:
    return PolicyInForce(version=version, who="w", at_ms=0, policy=Policy(categories={"code": CategoryPolicy()}))


def publish(cluster: MemoryCluster, value: bytes | None, key: bytes = POLICY_KEY) -> None:
    cluster.producer().send([Outgoing("policies", key, value)])


class Watched(MemoryCluster):
    """A log that says when `policies` is looked at."""

    def __init__(self) -> None:
        super().__init__(lambda: 0)
        self.looks = 0
        self.reads = threading.Semaphore(0)
        self.broken = False

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        self.looks += 1
        self.reads.release()
        if self.broken:
            raise ClusterFailed("no broker")
        return super().ends(topic)

    def await_reads(self, count: int = 2) -> None:
        """Wait until a read that began after this call is over."""
        while self.reads.acquire(blocking=False):
            pass
        for _ in range(count):
            assert self.reads.acquire(timeout=WAIT_S)


@pytest.fixture
def cluster() -> Watched:
    return Watched()


@pytest.mark.parametrize("before", [1, 2, 3])
def test_of_a_topic_that_was_made_anew_all_is_read(before: int, cluster: Watched) -> None:
    watch = PolicyWatch(cluster)
    for version in range(before):
        publish(cluster, in_force(version).encode())
    latest = watch.latest()
    assert latest is not None
    assert latest.version == before - 1
    cluster.delete("policies")
    cluster.create("policies", 1)
    assert watch.latest() is None
    publish(cluster, in_force(8).encode())
    publish(cluster, in_force(9).encode())
    latest = watch.latest()
    assert latest is not None
    assert latest.version == 9


def test_there_is_none_before_the_first_and_then_always_the_last(cluster: Watched) -> None:
    watch = PolicyWatch(cluster)
    assert watch.latest() is None
    publish(cluster, in_force(3).encode())
    publish(cluster, in_force(5).encode())
    latest = watch.latest()
    assert latest == in_force(5)
    assert watch.latest() is latest
    publish(cluster, in_force(6).encode())
    assert watch.latest() == in_force(6)


def test_records_of_other_keys_do_not_count(cluster: Watched) -> None:
    publish(cluster, b"else", b"something")
    assert PolicyWatch(cluster).latest() is None


def test_a_policy_that_was_deleted_is_in_force_no_more(cluster: Watched) -> None:
    publish(cluster, in_force(1).encode())
    publish(cluster, None)
    assert PolicyWatch(cluster).latest() is None


@pytest.mark.parametrize("junk", [b"", b"\xff", b"[" * 1_000, b'{"v":1}', b"x" * 3_000_000], ids=lambda v: str(v)[:9])
def test_what_is_no_policy_leaves_the_one_before_it_in_force(cluster: Watched, junk: bytes) -> None:
    cluster.create("policies", 1, max_bytes=4_000_000)
    publish(cluster, in_force(1).encode())
    publish(cluster, junk)
    watch = PolicyWatch(cluster)
    assert watch.latest() == in_force(1)
    publish(cluster, in_force(3).encode())
    assert watch.latest() == in_force(3)


def test_a_policy_of_a_newer_version_says_to_upgrade_each_time(cluster: Watched) -> None:
    publish(cluster, in_force(1).encode())
    publish(cluster, b'{"v":2}')
    watch = PolicyWatch(cluster)
    for _ in range(2):
        with pytest.raises(WrongSetup, match="upgrade this worker"):
            watch.latest()


def test_a_look_that_was_stopped_tells_nothing(cluster: Watched) -> None:
    publish(cluster, in_force(1).encode())
    watch = PolicyWatch(cluster)
    with pytest.raises(ClusterFailed, match="not read to its end"):
        watch.latest(lambda: True)
    assert watch.latest() == in_force(1)


def test_without_a_policy_none_is_known(cluster: Watched) -> None:
    with PolicyFollower(cluster, Metrics(), "classify", interval_s=0.001) as policies:
        assert policies.leased().policy is None


def test_the_last_policy_is_known_at_once_and_a_new_one_soon(cluster: Watched) -> None:
    publish(cluster, in_force(1).encode())
    publish(cluster, in_force(2).encode())
    metrics = Metrics()
    with PolicyFollower(cluster, metrics, "classify", interval_s=0.001) as policies:
        assert policies.leased().policy == in_force(2)
        publish(cluster, in_force(7).encode())
        cluster.await_reads()
        assert policies.leased().policy == in_force(7)
    assert metrics.registry.get_sample_value("refrain_policy_version") == 7


@pytest.mark.parametrize("value", [b"\xff", b"{}", in_force(3).encode().replace(b'"v":1', b'"v":9'), b"[" * 5_000])
def test_a_policy_that_cannot_be_read_leaves_the_last_one_in_use(cluster: Watched, value: bytes) -> None:
    metrics = Metrics()
    follower = PolicyFollower(cluster, metrics, "classify")
    publish(cluster, in_force(1).encode())
    publish(cluster, value)
    follower.read()
    follower.read()
    assert follower.leased().policy == in_force(1)
    counted = [sample for family in metrics.refused.collect() for sample in family.samples if sample.value == 1]
    assert [sample.labels["processor"] for sample in counted if sample.name.endswith("_total")] == ["classify"]


def test_a_broker_that_is_away_for_a_while_is_waited_for(cluster: Watched) -> None:
    publish(cluster, in_force(1).encode())
    with PolicyFollower(cluster, Metrics(), "classify", interval_s=0.001) as policies:
        cluster.broken = True
        cluster.await_reads()
        assert policies.leased().policy == in_force(1)
        publish(cluster, in_force(2).encode())
        cluster.broken = False
        cluster.await_reads()
        assert policies.leased().policy == in_force(2)


def test_within_its_lease_a_policy_is_used_without_another_look(cluster: Watched) -> None:
    publish(cluster, in_force(1).encode())
    clock = Clock()
    follower = PolicyFollower(cluster, Metrics(), "classify", clock=clock)
    follower.read()
    publish(cluster, in_force(2).encode())
    looks = cluster.looks
    clock.now_s += LEASE_S - 0.01
    assert follower.leased().policy == in_force(1)
    assert cluster.looks == looks


def test_a_worker_that_stood_still_does_not_act_by_an_old_policy(cluster: Watched) -> None:
    publish(cluster, in_force(1).encode())
    clock = Clock()
    follower = PolicyFollower(cluster, Metrics(), "classify", clock=clock)
    known = follower.read()
    publish(cluster, in_force(2).encode())
    clock.now_s += LEASE_S
    assert not follower.lease_runs(known)
    assert follower.last == known
    assert follower.leased().policy == in_force(2)


def test_an_old_policy_that_cannot_be_looked_up_again_is_not_used(cluster: Watched) -> None:
    publish(cluster, in_force(1).encode())
    clock = Clock()
    follower = PolicyFollower(cluster, Metrics(), "classify", clock=clock)
    follower.read()
    cluster.broken = True
    assert follower.leased().policy == in_force(1)
    clock.now_s += LEASE_S
    with pytest.raises(ClusterFailed):
        _ = follower.leased().policy


def test_a_lease_begins_before_the_look() -> None:
    clock = Clock()

    class Slow(Watched):
        def ends(self, topic: str) -> dict[int, tuple[int, int]]:
            clock.now_s += LEASE_S
            return super().ends(topic)

    follower = PolicyFollower(Slow(), Metrics(), "classify", clock=clock)
    assert not follower.lease_runs(follower.read())


def test_a_lease_is_shorter_than_the_session_of_a_group() -> None:
    assert lease_s_of(Settings()) == LEASE_S
    for session_ms in (1_000, 6_000, 10_000, 45_000):
        settings = Settings(session_timeout_ms=session_ms)
        assert 1_000 * lease_s_of(settings) + delivery_timeout_ms_of(settings) < session_ms * 5 / 6
