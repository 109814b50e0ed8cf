"""Which requests got the same answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from refrain.ops.cluster.decisions import find_decision
from refrain.ops.control.same_answer import ServedAnswer, answer_of, requests_served
from refrain.schemas.base import Sealed
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.journal import Answered, PolicySet, Tick
from refrain.schemas.policy import Policy
from refrain.schemas.responses import Outcome
from refrain.streams.govern.decision_search import SoughtDecision
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.ids import wire_id


def decision(id_: str, outcome: Outcome, **fields: Any) -> Decision:
    plain = {"partition": 1, "offset": 0, "time_ms": 0, "tenant": "acme", "category": "code", "model": "m"}
    return Decision(id=id_, outcome=outcome, reason=Reason.EXACT_TEXT, **{**plain, **fields})


@pytest.fixture
def cluster() -> MemoryCluster:
    """Shard 1: question 0-1 was forwarded, 0-2 joined it, its answer became entry 2, which served 0-3 and 0-5."""
    cluster = MemoryCluster(lambda: 7, {"requests": 1, "journal": 2, "decisions": 2})
    answer = Sealed(data="{}")
    journal = [
        PolicySet(version=0, policy=Policy(categories={})),
        Tick(),
        Answered(forward_id="0-1-x", body=answer),
        Answered(forward_id="0-1-x", body=answer),
        Answered(forward_id="0-4-x", body=answer),
    ]
    cluster.append([Outgoing("journal", None, event.encode(), partition=1) for event in journal])
    entry = wire_id(1, 2, cluster.topic_id("journal"))
    made = [
        decision("0-5-x", Outcome.HIT, entry_id=entry, time_ms=50),
        decision("0-1-x", Outcome.MISS, forward_id="0-1-x", time_ms=10),
        decision("0-2-x", Outcome.COALESCED, forward_id="0-1-x", time_ms=20),
        decision("0-3-x", Outcome.HIT, entry_id=entry, forward_id="0-4-x", time_ms=30),
        decision("0-4-x", Outcome.MISS, entry_id=entry, forward_id="0-4-x", time_ms=40),
        decision("0-6-x", Outcome.BYPASS, forward_id="0-6-x"),
        decision("0-7-x", Outcome.MISS, forward_id="0-7-x", offset=4),
    ]
    cluster.append([Outgoing("decisions", each.id.encode(), each.encode()) for each in made])
    return cluster


def seconds() -> Callable[[], int]:
    """A clock on which every look takes half a second."""
    return itertools.count(0, 500).__next__


def ids(cluster: MemoryCluster, of: str) -> list[str]:
    found = find_decision(cluster, SoughtDecision(of), seconds())
    assert found is not None
    return [each.id for each in requests_served(cluster, answer_of(cluster, found))]


def test_a_decision_is_found_by_its_id(cluster: MemoryCluster) -> None:
    assert find_decision(cluster, SoughtDecision("0-9-x"), seconds()) is None
    found = find_decision(cluster, SoughtDecision("0-4-x"), seconds())
    assert found is not None
    assert found.time_ms == 40


@pytest.mark.parametrize("judged", ["0-1-x", "0-2-x", "0-3-x", "0-5-x"])
def test_hits_and_those_who_waited_for_its_forward_got_the_same_answer(cluster: MemoryCluster, judged: str) -> None:
    assert ids(cluster, judged) == ["0-1-x", "0-2-x", "0-3-x", "0-5-x"]


def test_what_would_have_been_served_was_not_and_a_refresh_is_another_answer(cluster: MemoryCluster) -> None:
    assert ids(cluster, "0-4-x") == ["0-4-x"]


def test_an_answer_that_never_came_was_waited_for_all_the_same(cluster: MemoryCluster) -> None:
    found = find_decision(cluster, SoughtDecision("0-7-x"), seconds())
    assert found is not None
    assert answer_of(cluster, found) == ServedAnswer(None, "0-7-x")
    assert ids(cluster, "0-7-x") == ["0-7-x"]


def test_what_went_past_the_cache_has_no_answer_to_judge(cluster: MemoryCluster) -> None:
    found = find_decision(cluster, SoughtDecision("0-6-x"), seconds())
    assert found is not None
    assert answer_of(cluster, found) == ServedAnswer(None, None)
    assert requests_served(cluster, ServedAnswer(None, None)) == []


@pytest.mark.parametrize("entry", ["1-2-another1", "7-2-journal-", "1-1-journal-", "1-99-journal-", "nonsense"])
def test_the_forward_of_an_entry_that_the_journal_does_not_hold_is_not_known(
    cluster: MemoryCluster, entry: str
) -> None:
    assert answer_of(cluster, decision("d", Outcome.HIT, entry_id=entry)) == ServedAnswer(entry, None)
