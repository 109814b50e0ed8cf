"""What is said of topics that are not as they should be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from refrain.ops.topics.admin import Mismatch, TopicState, compare, planned
from refrain.schemas.topics import SHARDED, TOPICS
from refrain.streams.settings import Settings

SETTINGS = Settings(prefix="p.")


@pytest.fixture
def found() -> dict[str, TopicState]:
    return {
        topic.name: TopicState("p." + topic.name, topic.partitions, 1, {**topic.config(), "min.insync.replicas": "1"})
        for topic in TOPICS
    }


def test_topics_as_planned_have_no_findings(found: dict[str, TopicState]) -> None:
    assert compare(found, SETTINGS) == []


def test_a_missing_topic_is_to_be_created(found: dict[str, TopicState]) -> None:
    del found["load"]
    assert compare(found, SETTINGS) == [Mismatch("p.load", "missing", "run `refrain topics create`")]


def test_journal_and_documents_must_have_the_same_number_of_partitions(found: dict[str, TopicState]) -> None:
    found["documents"] = replace(found["documents"], partitions=16)
    (finding,) = compare(found, SETTINGS)
    assert finding.problem == "32 partitions, but p.documents has 16"
    assert finding.serious


@pytest.mark.parametrize(
    ("partitions", "remedy"),
    [
        (8, "add some, nothing is lost: kafka-topics.sh --alter --topic p.decisions --partitions 32"),
        (64, "partitions cannot be taken away: save what it holds"),
    ],
)
def test_decisions_must_have_a_partition_a_shard(found: dict[str, TopicState], partitions: int, remedy: str) -> None:
    found["decisions"] = replace(found["decisions"], partitions=partitions)
    (finding,) = compare(found, SETTINGS)
    assert (finding.topic, finding.serious) == ("p.decisions", True)
    assert finding.problem == f"{partitions} partitions, but p.journal has 32"
    assert finding.remedy.startswith(remedy)


def test_a_topic_of_the_shards_that_is_missing_is_told_once(found: dict[str, TopicState]) -> None:
    for name in SHARDED:
        lacking = {topic: row for topic, row in found.items() if topic != name}
        assert [each.problem for each in compare(lacking, SETTINGS)] == ["missing"]


def test_a_topic_whose_order_counts_must_have_one_partition(found: dict[str, TopicState]) -> None:
    found["control"] = replace(found["control"], partitions=2)
    assert compare(found, SETTINGS)[0].problem == "2 partitions, not 1"


@pytest.mark.parametrize(
    ("topic", "key", "value"),
    [
        ("documents", "cleanup.policy", "delete"),
        ("journal", "retention.ms", "1000"),
        ("journal", "message.timestamp.type", "CreateTime"),
        ("journal", "max.message.bytes", "1048576"),
    ],
)
def test_a_setting_that_differs_is_told_with_the_command_that_mends_it(
    found: dict[str, TopicState], topic: str, key: str, value: str
) -> None:
    row = found[topic]
    found[topic] = replace(row, config={**row.config, key: value})
    (finding,) = compare(found, SETTINGS)
    assert finding.problem.startswith(f"{key} is {value}, not ")
    assert f"--entity-name p.{topic} --add-config {key}=" in finding.remedy
    assert finding.serious


def test_fewer_replicas_than_wanted_are_a_warning(found: dict[str, TopicState]) -> None:
    findings = compare(found, Settings(prefix="p.", replication=3))
    assert {finding.serious for finding in findings} == {False}
    assert len(findings) == len(TOPICS)


def test_the_journal_gets_the_asked_number_of_partitions_and_so_do_documents_and_decisions() -> None:
    counts = {topic.topic: topic.num_partitions for topic in planned(SETTINGS, 4)}
    assert [counts["p." + name] for name in ("journal", "documents", "decisions", "requests")] == [4, 4, 4, 8]
