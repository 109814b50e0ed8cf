"""An audit of a shard that was stopped for a while, or set a record aside, finds nothing wrong."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from refrain.streams.errors import StoreUnusable
from refrain.streams.store.memory import MemoryStore
from tests.ops.audit.audited import audited, kinds
from tests.streams.lookup.stage import Stage
from tests.streams.lookup.test_quarantine import POISON, ended, live
from tests.streams.lookup.test_stopped import PASS_AFTER_MS, Asking, Faulty, direct_forwards, run, worker_of

__all__ = ["ended"]


def test_questions_that_were_passed_are_as_a_fold_gives_them(tmp_path: Path) -> None:
    failing = False
    stage = Stage()
    fails = (StoreUnusable("No space left") if failing else None for _ in itertools.count())
    stage.open_store = lambda partition: stage.stores.setdefault(
        partition, Faulty(fails, True) if partition == 0 else MemoryStore()
    )
    asking = Asking(stage, 0)
    Asking(stage, 1)
    asking.remember(3)
    worker = worker_of(stage)
    run(worker)
    failing = True
    asking.ask("q1", 1)
    run(worker)
    stage.clock.now_ms += PASS_AFTER_MS
    passed = [asking.ask(f"q{number}", number) for number in range(3)]
    run(worker)
    assert set(passed) <= set(direct_forwards(stage))
    failing = False
    stage.clock.now_ms += 60_000
    run(worker)
    asking.ask("q2", 2)
    run(worker)
    assert worker.ready
    found = audited(stage.cluster, tmp_path)
    assert kinds(found) == []
    assert found.findings.counts["decisions"] >= 8


@pytest.mark.usefixtures("ended")
def test_a_record_that_was_set_aside_is_set_aside_again(tmp_path: Path) -> None:
    stage = Stage()
    asking = Asking(stage, 0)
    Asking(stage, 1)
    asking.remember(2)
    asking.ask(POISON, 3)
    asking.remember(2)
    live(stage, tmp_path / "p", 3)
    assert kinds(audited(stage.cluster, tmp_path)) == []
