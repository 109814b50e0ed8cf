"""`refrain topics` on a real broker."""

from __future__ import annotations

import json

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from refrain.ops.cli import main
from refrain.schemas.topics import SHARDED, TOPICS
from refrain.streams.settings import Settings


@pytest.fixture
def environ(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRAIN_KAFKA", settings.kafka)
    monkeypatch.setenv("REFRAIN_PREFIX", settings.prefix)


@pytest.mark.usefixtures("environ")
def test_topics_are_created_once_and_then_found_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "check"]) == 1
    assert "run `refrain topics create`" in capsys.readouterr().out
    assert main(["topics", "create", "--partitions-journal", "3", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["state"] for row in rows} == {"created"}
    counts = {row["topic"].rpartition(".")[2]: row["partitions"] for row in rows}
    assert counts == {t.name: 3 if t.name in SHARDED else t.partitions for t in TOPICS}
    assert main(["topics", "create"]) == 0
    assert f"0 created, {len(TOPICS)} existed already" in capsys.readouterr().err
    assert main(["topics", "check"]) == 0


def grow(admin: AdminClient, topic: str) -> None:
    for future in admin.create_partitions([NewPartitions(topic, 4)]).values():
        future.result()


@pytest.mark.usefixtures("environ")
def test_the_number_of_shards_is_fixed_at_creation(
    admin: AdminClient, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["topics", "create", "--partitions-journal", "2"]) == 0
    assert main(["topics", "create", "--partitions-journal", "3"]) == 0
    assert "2 partitions, not 3: fixed at creation" in capsys.readouterr().out
    grow(admin, f"{prefix}journal")
    assert main(["topics", "check"]) == 1
    said = capsys.readouterr().out
    assert f"4 partitions, but {prefix}documents has 2" in said
    assert f"{prefix}decisions" not in said, "how many it needs is known once those two are made again"
    grow(admin, f"{prefix}documents")
    assert main(["topics", "check"]) == 1
    said = capsys.readouterr().out
    assert f"kafka-topics.sh --alter --topic {prefix}decisions --partitions 4" in said


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("lost", [["journal"], ["documents"], ["decisions"], ["documents", "decisions"]])
def test_what_a_shard_has_lost_comes_back_with_the_number_of_the_others(
    admin: AdminClient, prefix: str, lost: list[str]
) -> None:
    assert main(["topics", "create", "--partitions-journal", "2"]) == 0
    for future in admin.delete_topics([prefix + topic for topic in lost]).values():
        future.result()
    assert main(["topics", "create"]) == 0
    assert main(["topics", "check"]) == 0
