"""A shard on a real broker is restored from a snapshot that its worker had made, from an earlier one, or from none."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from refrain.ops.snapshots.making import make_all
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.settings import Lookup, Settings, Snapshots
from refrain.streams.snapshots.shelf import url_of
from tests.eventually import eventually
from tests.integration.processors import running
from tests.integration.test_stopped_shards import ask, outcome, remember
from tests.integration.topics import create_table


@pytest.fixture
def cluster(settings: Settings, admin: AdminClient) -> Iterator[KafkaCluster]:
    create_table(admin, settings.prefix)
    with KafkaCluster(settings) as cluster:
        yield cluster


def finished(settings: Settings) -> list[Path]:
    """The manifests of shard 0, the newest first."""
    return sorted((settings.state_dir / "snapshots/shard-0000").glob("*/manifest.json"), reverse=True)


def test_a_lost_store_is_restored_from_what_verifies(
    cluster: KafkaCluster, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    often = Lookup(commit_interval_ms=50, snapshot_every_ms=300)
    scheduled = settings.model_copy(update={"lookup": often, "snapshots": Snapshots(keep=100)})
    journal = remember(cluster, 0)
    asked = 1

    def serves(of: Settings) -> bool:
        """Whether a worker serves what is kept."""
        nonlocal asked
        asked += 1
        with running(run_lookup, of):
            id_ = ask(cluster, journal, asked)
            eventually(lambda: outcome(cluster, id_) is not None)
        return outcome(cluster, id_) is Outcome.HIT

    with running(run_lookup, scheduled):
        eventually(lambda: len(finished(settings)) >= 1)
        id_ = ask(cluster, journal, asked)
        eventually(lambda: outcome(cluster, id_) is Outcome.HIT)
        known = len(finished(settings))
        eventually(lambda: len(finished(settings)) > known)
    newest, before, *_ = (each.parent for each in finished(settings))

    for spoiled, told in (
        (None, f"begins from snapshot shard-0000/{newest.name}"),
        (newest, f"begins from snapshot shard-0000/{before.name}"),
        (before, "no snapshot is used: documents is read from its start"),
    ):
        if spoiled is not None:
            with (spoiled / "rows.zst").open("r+b") as rows:
                rows.truncate(30)
        if spoiled == before:
            for other in finished(settings)[2:]:
                other.unlink()
        for folder in settings.state_dir.glob("lookup-*"):
            shutil.rmtree(folder)
        caplog.clear()
        with caplog.at_level(logging.INFO):
            assert serves(settings)
        said = [each.getMessage() for each in caplog.records if "shard 0" in each.getMessage()]
        assert any(told in line for line in said), said
        for name in [] if spoiled is None else {newest.name, spoiled.name}:
            assert any(f"shard-0000/{name} is not used: rows.zst" in line for line in said), said


def test_snapshots_are_made_of_several_shards_at_once(cluster: KafkaCluster, settings: Settings) -> None:
    journal = remember(cluster, 0)
    with running(run_lookup, settings):
        id_ = ask(cluster, journal, 1)
        eventually(lambda: outcome(cluster, id_) is Outcome.HIT)
    steps: list[int] = []
    made = {each.partition: each for each in make_all(settings, cluster, [0, 1], url_of(settings), 2, steps.append)}
    first, second = made[0].record, made[1].record
    assert first is not None
    assert (first["made"], first["entries"]) == (True, 1)
    assert second is not None
    assert second["entries"] == 0
    assert steps[-1] == 2
    assert len(finished(settings)) == 1
