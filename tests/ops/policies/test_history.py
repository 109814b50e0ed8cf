"""What was in force, told by `control` as govern takes it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.ops.policies.history import fold, read_history
from refrain.schemas.control import PolicyInForce, ReportLoad, SetPolicy
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.errors import BadInput
from refrain.streams.govern.commands import decide
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster

LOAD = ReportLoad(who="adapt", model="m", load=0.5, valid_until_ms=9).encode()


def policy(threshold: float) -> Policy:
    return Policy(categories={"code": CategoryPolicy(threshold=threshold)})


def setting(threshold: float, expected: int | None, who: str = "ana") -> bytes:
    return SetPolicy(who=who, policy=policy(threshold), expected_version=expected).encode()


def control(*values: bytes, begins: int = 0) -> list[Record]:
    return [Record("control", 0, begins + n, 1_000 + n, None, value) for n, value in enumerate(values)]


def versions(*values: bytes, begins: int = 0) -> list[int]:
    return [each.version for each in fold(control(*values, begins=begins), begins).policies]


def test_refused_commands_reports_of_load_and_junk_are_not_history() -> None:
    assert versions(setting(0.9, None), LOAD, setting(0.8, 0), b"junk", setting(0.7, 0), setting(0.6, 2)) == [0, 2, 5]


def test_each_says_who_when_and_what() -> None:
    (first, second) = fold(control(setting(0.9, None), setting(0.8, 0, "ben"))).policies
    assert (first.who, first.at_ms, second.who, second.at_ms) == ("ana", 1_000, "ben", 1_001)
    assert second.policy == policy(0.8)


def test_what_replaced_a_policy_that_is_not_kept_any_more_is_believed() -> None:
    assert versions(setting(0.9, 90), setting(0.8, 90), setting(0.7, 100), begins=100) == [100, 102]
    assert versions(setting(0.9, 101), setting(0.8, None), setting(0.7, 101), begins=100) == [101, 102]


def test_what_replaced_a_policy_of_a_control_before_this_one_is_believed() -> None:
    old, load, first, second = control(setting(0.9, None), LOAD, setting(0.8, 90), setting(0.7, 100))
    moved = [old, load, first._replace(offset=100), second._replace(offset=101)]
    assert [each.version for each in fold(moved[1:]).policies] == [100, 101]
    # What nobody could have seen in force is not.
    assert versions(LOAD, setting(0.8, 0)) == []


def test_what_replaced_a_policy_that_cannot_be_read_any_more_is_believed() -> None:
    unreadable = setting(0.9, None).replace(b"threshold", b"treshold")
    assert versions(unreadable, setting(0.8, 0), setting(0.7, 0), setting(0.6, 1)) == [1, 3]


def test_a_version_is_found_or_those_there_are_are_named() -> None:
    history = fold(control(setting(0.9, None), setting(0.8, None)))
    assert history.version(1).policy == policy(0.8)
    assert history.before(1).version == 0
    with pytest.raises(BadInput, match="no policy of version 7 was ever in force; the last are 0, 1"):
        history.version(7)
    with pytest.raises(BadInput, match="no policy before version 0 is known"):
        history.before(0)
    with pytest.raises(BadInput, match="begins at offset 4, what is older is gone"):
        fold([], 4).version(2)


@given(
    st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 12)))), max_size=12)
)
def test_history_is_what_govern_puts_in_force(drawn: Sequence[tuple[int, int | None] | None]) -> None:
    values = [b"junk" if each is None else setting(0.6 + each[0] / 10, each[1]) for each in drawn]
    in_force: PolicyInForce | None = None
    expected = []
    for record in control(*values):
        before = in_force
        _, in_force = decide(record, in_force, 1)
        if in_force is not None and in_force is not before:
            expected.append(in_force)
    assert list(fold(control(*values)).policies) == expected


def test_it_is_read_from_the_log() -> None:
    cluster = MemoryCluster(lambda: 7)
    cluster.append([Outgoing("control", None, value) for value in (setting(0.9, None), LOAD, setting(0.8, 0))])
    assert [each.version for each in read_history(cluster).policies] == [0, 2]
