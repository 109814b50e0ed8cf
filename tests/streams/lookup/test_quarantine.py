"""A journal record that ends its worker is set aside by a row that every fold of the journal obeys."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from refrain.schemas.decisions import Decision
from refrain.schemas.journal import Event
from refrain.schemas.responses import Outcome, Response
from refrain.streams.kafka.interface import Record
from refrain.streams.lookup import folding
from refrain.streams.lookup.restore import read_skips
from refrain.streams.lookup.worker import LookupWorker
from refrain.streams.runtime.progress import Progress
from refrain.streams.settings import Lookup
from refrain.streams.shard.fold import fold
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint, digest
from refrain.streams.store.memory import MemoryStore
from tests.streams.lookup.stage import Stage
from tests.streams.lookup.test_stopped import Asking, decisions, run
from tests.streams.shard.journal import JOURNAL_ID

POISON = "the text that ends a worker"


class Killed(BaseException):
    """The process ends here."""


def worker_of(stage: Stage, progress: Progress, batch_max: int) -> LookupWorker:
    lookup = Lookup(commit_interval_ms=1, batch_max=batch_max)
    return stage.worker_by(dataclasses.replace(stage.context(lookup), progress=lambda group, topic: progress))


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Folding a poisoned record ends the process; the offsets at which that came to pass."""
    offsets: list[int] = []

    def deadly(shard: Shard, record: Record) -> FoldResult:
        if POISON.encode() in (record.value or b"") and shard.skips.of(record.offset) is None:
            offsets.append(record.offset)
            raise Killed
        return fold(shard, record)

    monkeypatch.setattr(folding, "fold", deadly)
    return offsets


def live(stage: Stage, place: Path, batch_max: int) -> LookupWorker:
    """Workers one after another until one lives on."""
    for _ in range(20):
        progress = Progress(place, 2)
        worker = worker_of(stage, progress, batch_max)
        try:
            run(worker)
        except Killed:
            progress.close()
            continue
        return worker
    raise AssertionError("no worker lives on")


@pytest.mark.parametrize("batch_max", [1, 3, 50])
@pytest.mark.parametrize("places", [(2,), (0,), (9,), (2, 3), (1, 5, 8)])
def test_a_poisoned_record_ends_two_workers_and_everything_else_is_decided_once(
    tmp_path: Path, ended: list[int], batch_max: int, places: tuple[int, ...]
) -> None:
    stage = Stage()
    both = Asking(stage, 0), Asking(stage, 1)
    asked, poisoned = [], set()
    for number in range(10):
        if number in places:
            poisoned.add(both[0].ask(POISON, number))
        for each in both:
            id_ = each.ask(f"q{number}", number)
            each.answer(id_, f"a{number}")
            asked.append(id_)
    worker = live(stage, tmp_path / "p", batch_max)
    assert worker.ready
    assert all(ended.count(offset) <= 2 for offset in ended)
    found = decisions(stage)
    assert set(found) == set(asked) | poisoned
    assert {id_ for id_, (each, *_) in found.items() if each.outcome is Outcome.ERROR} == poisoned
    told: dict[str, set[bytes]] = {}
    for record in stage.cluster.records("responses"):
        response = Response.decode(record.value or b"")
        assert response.decision is not None
        told.setdefault(response.decision.id, set()).add(record.value or b"")
    assert set(told) == set(asked) | poisoned, "whoever asked is told"
    for id_ in poisoned:
        (response,) = map(Response.decode, told[id_])
        assert response.error is not None
        assert response.error.code == "quarantined"
    assert all(len(each) == 1 for each in found.values())
    letters = stage.cluster.records("dead-letters")
    assert len({dict(each.headers)["refrain.dead.offset"] for each in letters}) == len(places)
    for letter in letters:
        assert POISON.encode() not in b"".join([letter.value or b"", *((value or b"") for _, value in letter.headers)])
        assert (dict(letter.headers)["refrain.dead.reason"] or b"").startswith(b"quarantined: ")


def test_every_fold_of_the_journal_skips_what_was_set_aside(tmp_path: Path, ended: list[int]) -> None:
    stage = Stage()
    asking = Asking(stage, 0)
    Asking(stage, 1)
    for number in range(4):
        asking.remember(2)
        asking.ask(POISON, number)
        asking.ask("q1", 1)
    live(stage, tmp_path / "p", 3)
    again = Shard(0, 2, JOURNAL_ID, MemoryStore())
    again.skips = read_skips(stage.cluster, 0)
    folded = [fold(again, record) for record in stage.cluster.scan("journal", 0)]
    decided = [decision for each in folded for decision in each.decisions]
    published = [Decision.decode(record.value or b"") for record in stage.cluster.records("decisions")]
    assert [each.encode() for each in decided] == [each.encode() for each in published if each.partition == 0]
    again.begin_commit()
    again.finish_commit(Checkpoint(1, 1))
    rows = ((key, value) for key, value in stage.stores[0].scan() if not key.startswith(b"skips/"))
    assert digest(again.store.scan()) == digest(rows)


def test_a_record_that_ends_its_worker_when_it_is_read_as_well_is_read_by_nobody(
    tmp_path: Path, ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    both = Asking(stage, 0), Asking(stage, 1)
    good = [each.ask("q", 1) for each in both]
    both[0].ask(POISON, 2)
    read: list[int] = []

    def deadly(record: Record) -> Event | None:
        read.append(record.offset)
        raise Killed

    monkeypatch.setattr("refrain.streams.lookup.skipping.readable", deadly)
    live(stage, tmp_path / "p", 3)
    assert len(read) == 1
    assert set(decisions(stage)) == set(good)
    assert not read_skips(stage.cluster, 0).rows()[0][1].tells


def test_those_who_wait_for_an_answer_that_is_set_aside_are_told(tmp_path: Path, ended: list[int]) -> None:
    stage = Stage()
    both = Asking(stage, 0), Asking(stage, 1)
    first = both[0].ask("q", 1)
    both[0].answer(first, POISON)
    both[1].ask("q", 1)
    live(stage, tmp_path / "p", 3)
    responses = [Response.decode(record.value or b"") for record in stage.cluster.records("responses")]
    assert [each.error.code for each in responses if each.error is not None] == ["quarantined"]
