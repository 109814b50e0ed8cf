"""Each command reaches every shard once, or is refused; there is nothing in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schemas.base import Message
from schemas.control import Invalidate, Judge, PolicyInForce, ReportLoad, SetPolicy
from schemas.dead_letters import HEADER_REASON
from schemas.journal import LoadChanged, PolicySet, decode_event
from schemas.policy import CategoryPolicy, ModelPolicy, Policy
from streams.errors import SendFailed, WrongSetup
from streams.govern import decide, run_govern
from streams.log import Outgoing, Record
from streams.memory_log import MemoryLog
from streams.metrics import Metrics
from streams.settings import Settings

POLICY = Policy(categories={"chat": CategoryPolicy()}, models={"m": ModelPolicy()})
SET = SetPolicy(who="me", policy=POLICY)
LOAD = ReportLoad(who="adapt", model="m", load=0.5, valid_until_ms=9)


def give(log: MemoryLog, *commands: Message | bytes) -> None:
    log.append([Outgoing("control", None, c if isinstance(c, bytes) else c.encode()) for c in commands])


def govern(log: MemoryLog, until: Callable[[], bool]) -> Metrics:
    metrics = Metrics()
    run_govern(Settings(), log, metrics, stop=until, ready=lambda: None, now_ms=lambda: 0)
    return metrics


def position(log: MemoryLog) -> int:
    kept = log.group("control", "govern").positions
    return kept[0].next_offset if kept else 0


def run_through(log: MemoryLog) -> Metrics:
    end = len(log.records("control"))
    return govern(log, lambda: position(log) == end)


def reasons(log: MemoryLog) -> list[str]:
    letters = log.records("dead-letters")
    return [(dict(letter.headers)[HEADER_REASON] or b"").decode().partition(":")[0] for letter in letters]


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(lambda: 77)


def test_a_policy_reaches_every_shard_and_is_in_force(log: MemoryLog) -> None:
    give(log, SET)
    metrics = run_through(log)
    events = [(r.partition, decode_event(r.value or b"")) for r in log.records("journal")]
    assert events == [(shard, PolicySet(version=0, policy=POLICY)) for shard in range(32)]
    (kept,) = log.records("policies")
    assert PolicyInForce.decode(kept.value or b"") == PolicyInForce(version=0, who="me", at_ms=77, policy=POLICY)
    assert metrics.registry.get_sample_value("refrain_policy_version") == 0


def test_a_load_reaches_every_shard_under_its_own_version(log: MemoryLog) -> None:
    give(log, SET, LOAD)
    run_through(log)
    events = [decode_event(r.value or b"") for r in log.records("journal") if r.offset == 1]
    assert events == [LoadChanged(version=1, model="m", load=0.5, valid_until_ms=9)] * 32
    assert len(log.records("policies")) == 1


def test_a_policy_that_replaces_another_than_the_one_in_force_is_refused(log: MemoryLog) -> None:
    again = SET.model_copy(update={"expected_version": 0})
    give(log, again, SET, again.model_copy(update={"expected_version": 1}), again)
    run_through(log)
    assert reasons(log) == ["stale_command", "stale_command"]
    assert [PolicyInForce.decode(r.value or b"").version for r in log.records("policies")] == [1, 2]


def test_the_version_in_force_is_known_after_a_restart(log: MemoryLog) -> None:
    give(log, SET)
    run_through(log)
    give(log, SET.model_copy(update={"expected_version": 0}), SET.model_copy(update={"expected_version": 0}))
    run_through(log)
    assert reasons(log) == ["stale_command"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (b"junk", "unreadable"),
        (b'{"v":2,"kind":"PolicySet"}', "unknown_version"),
        (b'{"v":1,"kind":"Other"}', "bad_field"),
        (SET.encode().replace(b"chat", b"bad name"), "bad_field"),
        (LOAD.model_copy(update={"model": "unknown"}).encode(), "bad_field"),
        (Invalidate(who="me", before_ms=1, all=True).encode(), "not_supported"),
        (Judge(who="me", decision_id="d", correct=True).encode(), "not_supported"),
    ],
)
def test_a_command_that_cannot_be_carried_out_is_kept_with_the_reason(
    log: MemoryLog, command: bytes, reason: str
) -> None:
    give(log, SET, command)
    metrics = run_through(log)
    assert reasons(log) == [reason]
    assert log.records("dead-letters")[0].value == command
    assert len(log.records("journal")) == 32
    labels = {"processor": "govern", "reason": reason}
    assert metrics.registry.get_sample_value("refrain_refused_total", labels) == 1


def test_a_load_before_any_policy_is_refused(log: MemoryLog) -> None:
    give(log, LOAD)
    run_through(log)
    assert reasons(log) == ["bad_field"]


def test_a_policy_too_large_for_its_topic_is_refused() -> None:
    categories = {f"c{n}": CategoryPolicy(examples=("x" * 2_000,) * 10) for n in range(60)}
    large = SetPolicy(who="me", policy=Policy(categories=categories))
    out, policy = decide(Record("control", 0, 4, 5, None, large.encode()), None, 32)
    assert policy is None
    assert [(one.topic, dict(one.headers)[HEADER_REASON][:9]) for one in out] == [("dead-letters", b"too_large")]  # type: ignore[index]


def test_a_command_that_a_shard_does_not_get_reaches_none(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    give(log, SET)
    monkeypatch.setattr(log, "partitions", lambda topic: 33 if topic == "journal" else 1)
    with pytest.raises(SendFailed):
        govern(log, lambda: False)
    assert log.records("journal") == log.records("policies") == log.records("dead-letters") == []
    assert position(log) == 0
    monkeypatch.undo()
    run_through(log)
    assert len(log.records("journal")) == 32


def test_a_second_worker_takes_the_name_and_goes_on(log: MemoryLog) -> None:
    give(log, SET, LOAD)
    govern(log, lambda: position(log) >= 1)
    run_through(log)
    assert [r.offset for r in log.records("journal") if r.partition == 0] == [0, 1]


def test_a_control_topic_with_more_partitions_stops_the_start() -> None:
    log = MemoryLog(lambda: 0, {"control": 2, "policies": 1, "journal": 4})
    with pytest.raises(WrongSetup, match="one partition"):
        govern(log, lambda: True)
