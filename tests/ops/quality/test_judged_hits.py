"""Judgements of the running system as samples."""

from __future__ import annotations

from typing import Any

from refrain.ops.quality.calibration import Sample
from refrain.ops.quality.judged_hits import judged_hits
from refrain.schemas.base import Message
from refrain.schemas.control import Judge, Switch
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster


def decision(id_: str, **fields: Any) -> Decision:
    plain = {
        "partition": 0, "offset": 1, "time_ms": 1, "tenant": "acme", "category": "code", "model": "m",
        "outcome": Outcome.HIT, "reason": Reason.SIMILAR_TEXT, "similarity": 0.93, "threshold": 0.9,
    }  # fmt: skip
    return Decision(id=id_, **{**plain, **fields})


def judge(id_: str, correct: bool) -> Judge:
    return Judge(who="me", decision_id=id_, correct=correct)


def log_of(decisions: list[Decision], commands: list[Message | bytes]) -> MemoryCluster:
    cluster = MemoryCluster(lambda: 1)
    cluster.producer().send([Outgoing("decisions", each.id.encode(), each.encode()) for each in decisions])
    values = [each if isinstance(each, bytes) else each.encode() for each in commands]
    cluster.producer().send([Outgoing("control", None, value) for value in values])
    return cluster


def test_judged_hits_come_by_category_with_the_threshold_they_were_served_by() -> None:
    decisions = [decision("a"), decision("b", category="chat", similarity=0.8, threshold=0.75), decision("c")]
    found = judged_hits(log_of(decisions, [judge("a", True), judge("b", False), judge("nowhere", True)]))
    assert found.samples == {"chat": [Sample(0.8, False, 0.75)], "code": [Sample(0.93, True, 0.9)]}
    assert found.judgements == 3


def test_the_last_judgement_counts_and_other_commands_do_not() -> None:
    commands: list[Message | bytes] = [judge("a", True), Switch(who="me", on=True), b"{}", judge("a", False)]
    found = judged_hits(log_of([decision("a"), decision("a")], commands))
    assert found.samples == {"code": [Sample(0.93, False, 0.9)]}


def test_only_fresh_hits_by_meaning_say_how_near_is_near_enough() -> None:
    others = [
        decision("exact", reason=Reason.EXACT_TEXT, similarity=1.0),
        decision("stale", reason=Reason.STALE),
        decision("observed", outcome=Outcome.MISS, reason=Reason.OBSERVED),
        decision("miss", outcome=Outcome.MISS, reason=Reason.BELOW_THRESHOLD),
        decision("joined", outcome=Outcome.COALESCED, reason=Reason.IN_FLIGHT),
    ]
    found = judged_hits(log_of(others, [judge(each.id, False) for each in others]))
    assert (found.samples, found.judgements) == ({}, 5)


def test_where_nothing_was_judged_there_is_nothing() -> None:
    assert judged_hits(log_of([decision("a")], [])) == ({}, 0)
