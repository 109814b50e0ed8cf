"""The doctor answers in time whatever is away, and never advises to ask for less safety."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from refrain.ops.observe import doctor_cluster
from refrain.ops.observe.doctor import EXAMINE_S, examine
from refrain.ops.observe.doctor_checks import together
from refrain.ops.observe.doctor_cluster import Brokers
from refrain.ops.observe.findings import Finding
from refrain.ops.topics.admin import TopicState, compare
from refrain.schemas.topics import TOPICS
from refrain.streams.settings import Embedding, Settings
from tests.streams.kafka.fake_client import error

SETTINGS = Settings(replication=3, min_insync=2, embedding=Embedding(backend="free"))


class Admin:
    """An admin client that tells of these brokers, and of one partition of each topic on brokers 1, 2 and 3."""

    def __init__(self, *alive: int, leader: int = 1, answering: tuple[int, ...] | None = None) -> None:
        self.answering = alive if answering is None else answering
        in_sync = [number for number in (1, 2, 3) if number in alive]
        partition = SimpleNamespace(replicas=[1, 2, 3], isrs=in_sync, leader=leader)
        topics = {
            SETTINGS.prefix + topic.name: SimpleNamespace(error=None, partitions={0: partition}) for topic in TOPICS
        }
        self.found: Any = SimpleNamespace(brokers=dict.fromkeys(alive), topics=topics)
        self.refusal: Exception | None = None

    def list_topics(self, timeout: float) -> Any:
        return self.found

    def create_topics(self, topics: Any, *, validate_only: bool, request_timeout: float) -> Any:
        assert validate_only
        return {"journal": SimpleNamespace(result=self._result)}

    def _result(self) -> None:
        if self.refusal is not None:
            raise self.refusal


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def look(check: Any, admin: Admin) -> Finding:
    client: Any = admin
    if check is doctor_cluster.controller:
        return only(check(client, SETTINGS))
    if check is doctor_cluster.topics:
        return only(check(client, brokers_of(admin), SETTINGS))
    return only(check(brokers_of(admin), SETTINGS))


def brokers_of(admin: Admin) -> Brokers:
    """All brokers that the client tells of answer, unless others do."""
    return Brokers(admin.found, frozenset(admin.answering), 1.0)


def test_a_whole_cluster_is_ok() -> None:
    admin = Admin(1, 2, 3)
    assert look(doctor_cluster.broker, admin).state == "ok"
    assert look(doctor_cluster.replicas, admin).state == "ok"


def test_a_broker_that_is_away_is_named_and_nothing_is_ok_meanwhile() -> None:
    admin = Admin(1, 2)
    for check in (doctor_cluster.broker, doctor_cluster.replicas):
        found = look(check, admin)
        assert found.state == "warn"
        assert "broker 3" in found.seen
        assert "start" in found.do
    assert f"{len(TOPICS)} of {len(TOPICS)} partitions" in look(doctor_cluster.replicas, admin).seen


def test_a_broker_that_the_others_still_tell_of_and_that_does_not_answer_is_away() -> None:
    admin = Admin(1, 2, 3, answering=(2,))
    for check in (doctor_cluster.broker, doctor_cluster.replicas):
        found = look(check, admin)
        assert found.state == "fail"
        assert "broker 1, broker 3" in found.seen


@pytest.mark.parametrize("admin", [Admin(1), Admin(2, 3, leader=-1)], ids=["below min_insync", "without a leader"])
def test_partitions_that_cannot_be_used_fail(admin: Admin) -> None:
    assert look(doctor_cluster.replicas, admin).state == "fail"


def test_topics_are_not_ok_while_replicas_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {topic.name: TopicState(SETTINGS.prefix + topic.name, topic.partitions, 3) for topic in TOPICS}
    monkeypatch.setattr("refrain.ops.topics.admin.describe", lambda admin, settings: states)
    assert look(doctor_cluster.topics, Admin(1, 2, 3)).state == "ok"
    assert look(doctor_cluster.topics, Admin(1, 2)).state == "warn"


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (KafkaError.TOPIC_ALREADY_EXISTS, "ok"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "ok"),
        (KafkaError._TIMED_OUT, "fail"),
    ],
)
def test_a_controller_is_there_when_it_says_anything(code: int, state: str) -> None:
    admin = Admin(1, 2, 3)
    admin.refusal = error(code)
    assert look(doctor_cluster.controller, admin).state == state


def test_nobody_is_told_to_keep_fewer_replicas() -> None:
    few = {topic.name: TopicState(SETTINGS.prefix + topic.name, topic.partitions, 1) for topic in TOPICS}
    told = [row.remedy for row in compare(few, SETTINGS)]
    told += [look(check, admin).do for check in (doctor_cluster.broker, doctor_cluster.replicas)
             for admin in (Admin(1), Admin(1, 2), Admin(1, 2, 3, leader=-1))]  # fmt: skip
    assert told
    assert not [each for each in told if "lower" in each or "min.insync" in each]


def test_a_check_that_takes_too_long_is_a_finding_and_the_others_stay_in_order() -> None:
    never = threading.Event()

    def late(name: str) -> Finding:
        return Finding(name, "fail", "late")

    def found(name: str) -> Any:
        return lambda: [Finding(name, "ok", "seen")]

    def waits() -> list[Finding]:
        never.wait(60)
        return []

    try:
        rows = together({"a": found("a"), "b": waits, "c": found("c")}, 0.1, late)
    finally:
        never.set()
    assert [(row.check, row.seen) for row in rows] == [("a", "seen"), ("b", "late"), ("c", "seen")]


def test_a_broker_that_is_frozen_takes_no_longer_than_one_that_is_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as frozen:
        # It accepts connections, as the kernel does for a process that stands still, and says nothing on them.
        settings = SETTINGS.model_copy(update={"kafka": f"127.0.0.1:{frozen.getsockname()[1]}", "state_dir": tmp_path})
        started_s = time.monotonic()
        findings = examine(settings)
        assert time.monotonic() - started_s < EXAMINE_S + 20, "a bound, not a speed"
    assert (findings[0].check, findings[0].state) == ("broker", "fail")
    assert {each.check for each in findings} == {
        "broker",
        "model",
        "categories",
        "verifier",
        "disk",
        "files",
        "workers",
        "edge",
        "upstream",
    }
