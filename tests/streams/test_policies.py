"""The policy in force is known at start, followed while running, and kept when a newer one cannot be read."""

from __future__ import annotations

import threading

import pytest

from schemas.control import POLICY_KEY, PolicyInForce
from schemas.policy import CategoryPolicy, Policy
from streams.errors import LogFailed
from streams.log import Outgoing
from streams.memory_log import MemoryLog
from streams.metrics import Metrics
from streams.policies import PolicyFollower

WAIT_S = 10.0


def in_force(version: int) -> PolicyInForce:
    return PolicyInForce(version=version, who="w", at_ms=0, policy=Policy(categories={"code": CategoryPolicy()}))


def publish(log: MemoryLog, value: bytes | None, key: bytes = POLICY_KEY) -> None:
    log.writer().send([Outgoing("policies", key, value)])


class Watched(MemoryLog):
    """A log that says when `policies` is looked at."""

    def __init__(self) -> None:
        super().__init__(lambda: 0)
        self.reads = threading.Semaphore(0)
        self.broken = False

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        self.reads.release()
        if self.broken:
            raise LogFailed("no broker")
        return super().ends(topic)

    def await_reads(self, count: int = 2) -> None:
        """Wait until a read that began after this call is over."""
        while self.reads.acquire(blocking=False):
            pass
        for _ in range(count):
            assert self.reads.acquire(timeout=WAIT_S)


@pytest.fixture
def log() -> Watched:
    return Watched()


def test_without_a_policy_none_is_known(log: Watched) -> None:
    with PolicyFollower(log, Metrics(), "classify", interval_s=0.001) as policies:
        assert policies.current is None


def test_the_last_policy_is_known_at_once_and_a_new_one_soon(log: Watched) -> None:
    publish(log, in_force(1).encode())
    publish(log, in_force(2).encode())
    metrics = Metrics()
    with PolicyFollower(log, metrics, "classify", interval_s=0.001) as policies:
        assert policies.current == in_force(2)
        publish(log, in_force(7).encode())
        log.await_reads()
        assert policies.current == in_force(7)
    assert metrics.registry.get_sample_value("refrain_policy_version") == 7


@pytest.mark.parametrize("value", [b"\xff", b"{}", in_force(3).encode().replace(b'"v":1', b'"v":9'), b"[" * 5_000])
def test_a_policy_that_cannot_be_read_leaves_the_last_one_in_use(log: Watched, value: bytes) -> None:
    metrics = Metrics()
    follower = PolicyFollower(log, metrics, "classify")
    publish(log, in_force(1).encode())
    publish(log, value)
    follower.read()
    assert follower.current == in_force(1)
    counted = [sample for family in metrics.refused.collect() for sample in family.samples if sample.value == 1]
    assert [sample.labels["processor"] for sample in counted if sample.name.endswith("_total")] == ["classify"]


def test_other_keys_and_deletions_are_no_policies(log: Watched) -> None:
    follower = PolicyFollower(log, Metrics(), "classify")
    publish(log, in_force(1).encode())
    publish(log, in_force(2).encode(), b"other")
    publish(log, None)
    follower.read()
    assert follower.current == in_force(1)


def test_a_broker_that_is_away_for_a_while_is_waited_for(log: Watched) -> None:
    publish(log, in_force(1).encode())
    with PolicyFollower(log, Metrics(), "classify", interval_s=0.001) as policies:
        log.broken = True
        log.await_reads()
        assert policies.current == in_force(1)
        publish(log, in_force(2).encode())
        log.broken = False
        log.await_reads()
        assert policies.current == in_force(2)
