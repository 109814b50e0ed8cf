"""Many tenants, and one that floods: what a worker tells of itself stays as large as it was."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import pytest

from refrain.schemas.decisions import Decision
from refrain.schemas.responses import Outcome
from refrain.schemas.stats import ShardStats
from refrain.streams.lookup.worker import LookupWorker
from tests.streams.lookup.stage import Stage
from tests.streams.shard.journal import Journal, vector


def work(tenants: list[str]) -> tuple[Stage, LookupWorker]:
    """Each asks the same, and is answered, in turn."""
    stage, journal = Stage(), Journal(0)
    journal.policy()
    for number, tenant in enumerate(tenants):
        record = journal.ask("q", vector(1), tenant=tenant, space=tenant)
        journal.answer(json.loads(record.value or b"")["id"], f"answer {number}")
    stage.journal(journal)
    worker = stage.worker()
    stage.run(worker)
    return stage, worker


def series(worker: LookupWorker) -> int:
    return sum(len(metric.samples) for metric in worker.metrics.shared.registry.collect())


def stats_bytes(stage: Stage) -> int:
    """How large the last report of the shard is, its numbers aside."""
    last = ShardStats.decode(stage.cluster.records("stats")[-1].value or b"")
    return len(
        json.dumps(json.loads(last.encode()), default=str).translate({ord(digit): None for digit in "0123456789"})
    )


@pytest.mark.parametrize("many", [100, 300])
def test_however_many_tenants_ask_there_are_no_more_series_and_no_larger_reports(many: int) -> None:
    (few_stage, few), (stage, worker) = work(["t0", "t1"]), work([f"t{number}" for number in range(many)])
    assert series(worker) == series(few)
    assert stats_bytes(stage) == stats_bytes(few_stage)
    assert len(worker.shards[0].entries) == many, "nobody has the answer of another"


def test_one_that_floods_has_the_answers_of_nobody_else_and_the_others_have_theirs() -> None:
    asking = list(itertools.chain.from_iterable(("flooder", "flooder", f"t{number}") for number in range(50)))
    stage, _ = work(asking)
    found = [Decision.decode(record.value or b"") for record in stage.cluster.records("decisions")]
    outcomes = Counter((each.tenant == "flooder", each.outcome) for each in found)
    assert outcomes == {(True, Outcome.MISS): 1, (True, Outcome.HIT): 99, (False, Outcome.MISS): 50}
