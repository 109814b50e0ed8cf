"""The policy in force is the last committed one."""

from __future__ import annotations

import pytest

from schemas.control import POLICY_KEY, PolicyInForce
from schemas.policy import CategoryPolicy, Policy
from streams.errors import WrongSetup
from streams.in_force import PolicyWatch
from streams.log import Outgoing
from streams.memory_log import MemoryLog


def put(log: MemoryLog, version: int) -> None:
    policy = PolicyInForce(version=version, who="me", at_ms=1, policy=Policy(categories={"chat": CategoryPolicy()}))
    log.append([Outgoing("policies", POLICY_KEY, policy.encode())])


def test_there_is_none_before_the_first_and_then_always_the_last() -> None:
    log = MemoryLog(lambda: 0)
    watch = PolicyWatch(log)
    assert watch.latest() is None
    put(log, 3)
    put(log, 5)
    latest = watch.latest()
    assert latest is not None
    assert latest.version == 5
    assert watch.latest() is latest
    put(log, 6)
    assert watch.latest() != latest


def test_records_of_other_keys_do_not_count() -> None:
    log = MemoryLog(lambda: 0)
    log.append([Outgoing("policies", b"something", b"else")])
    assert PolicyWatch(log).latest() is None


def test_a_policy_of_a_newer_version_says_to_upgrade() -> None:
    log = MemoryLog(lambda: 0)
    log.append([Outgoing("policies", POLICY_KEY, b'{"v":2}')])
    with pytest.raises(WrongSetup, match="upgrade this worker"):
        PolicyWatch(log).latest()
