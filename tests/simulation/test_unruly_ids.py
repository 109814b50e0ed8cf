"""What reads a run's topics afterwards reads them whatever id the broker drew for the journal."""

from __future__ import annotations

import pytest

from refrain.schemas.decisions import Decision
from refrain.schemas.journal import HitJudged
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.ids import wire_id
from refrain.streams.shard.fold import fold
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.store.memory import MemoryStore
from tests.simulation.replay import replay
from tests.simulation.withdrawn import served_after_withdrawal
from tests.streams.shard.journal import Journal, forward_id, near, vector
from tests.unruly_ids import UNRULY_IDS

HNSW_FROM = 16


class Shown:
    """A shard that folds, and the journal of what it folded."""

    def __init__(self, journal_id: str) -> None:
        self.journal = Journal()
        self.shard = Shard(0, 1, journal_id, MemoryStore())
        self.journal_id = journal_id
        self.live: dict[str, Decision] = {}

    def fold(self) -> FoldResult:
        """Fold the newest record."""
        folded = fold(self.shard, self.journal.records[-1])
        self.live |= {decision.id: decision for decision in folded.decisions}
        return folded

    def remember(self, text: str, of: str) -> int:
        """Ask and answer; the number of the entry."""
        self.journal.ask(text, of)
        self.journal.answer(forward_id(self.fold()))
        self.fold()
        return self.journal.records[-1].offset

    def ask(self, text: str, of: str) -> Decision:
        """Ask; the decision."""
        self.journal.ask(text, of)
        (decision,) = self.fold().decisions
        return decision

    def written(self) -> MemoryCluster:
        """A log with all records."""
        records = self.journal.records
        stamps = iter(record.timestamp_ms for record in records)
        log = MemoryCluster(lambda: next(stamps), {"journal": 1}, {"journal": self.journal_id})
        log.append([Outgoing("journal", None, record.value, partition=0) for record in records])
        return log


def shown(journal_id: str) -> Shown:
    """With a policy that wants an HNSW soon, and one entry."""
    one = Shown(journal_id)
    one.journal.policy(limits={"hnsw_from": HNSW_FROM})
    one.fold()
    one.remember("how?", vector(1))
    return one


def judged(entry_id: str) -> HitJudged:
    return HitJudged(version=1, decision_id="d", correct=False, who="me", category="code", entry_id=entry_id, offset=0)


@pytest.mark.parametrize("journal_id", UNRULY_IDS)
def test_a_withdrawn_entry_that_is_served_is_found_out(journal_id: str) -> None:
    one = shown(journal_id)
    entry_id = wire_id(0, 2, journal_id)
    one.journal.add(judged(entry_id))
    # The shard does not fold the judgement, and goes on serving.
    decision = one.ask("how then?", near(0.97))
    assert (decision.outcome, decision.entry_id) == (Outcome.HIT, entry_id)
    (wrong,) = served_after_withdrawal(one.written(), one.live)
    assert "served 2, judged wrong by command 1" in wrong


@pytest.mark.parametrize("journal_id", UNRULY_IDS)
def test_nothing_is_wrong_where_the_judgement_was_about_another_shard(journal_id: str) -> None:
    one = shown(journal_id)
    one.journal.add(judged(wire_id(7, 2, journal_id)))
    assert one.ask("how then?", near(0.97)).outcome is Outcome.HIT
    assert served_after_withdrawal(one.written(), one.live) == []


@pytest.mark.parametrize("journal_id", UNRULY_IDS[::5])
def test_what_an_hnsw_found_is_confirmed(journal_id: str) -> None:
    one = shown(journal_id)
    for axis in range(1, HNSW_FROM):
        one.remember(f"other {axis}", vector(*[0] * axis, 1))
    found = one.ask("how then?", near(0.97))
    assert (found.search, found.outcome, found.entry_id) == ("ann", Outcome.HIT, wire_id(0, 2, journal_id))
    (replayed,) = replay(one.written(), one.live, {})
    assert replayed.wrong == []
    assert replayed.counts["ann"] == sum(each.search == "ann" for each in one.live.values())
    assert replayed.decisions == {id_: decision.encode() for id_, decision in one.live.items()}


@pytest.mark.parametrize("claimed", ["no id", "0-4-", "0--2-x"])
def test_a_candidate_that_is_no_entry_is_wrong(claimed: str) -> None:
    one = shown(UNRULY_IDS[0])
    for axis in range(1, HNSW_FROM):
        one.remember(f"other {axis}", vector(*[0] * axis, 1))
    found = one.ask("how then?", near(0.97))
    candidates = (found.candidates[0].model_copy(update={"entry_id": claimed}),)
    (replayed,) = replay(one.written(), one.live | {found.id: found.model_copy(update={"candidates": candidates})}, {})
    assert replayed.wrong == [f"{found.id}: {claimed} is the id of no entry"]
