"""The doctor answers in time whatever is away, and never advises to ask for less safety."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from refrain.ops.observe import doctor_cluster
from refrain.ops.observe.deadline import Deadline
from refrain.ops.observe.doctor import ANSWER_S, LOOK_S, deadline_of, examine
from refrain.ops.observe.doctor_checks import together
from refrain.ops.observe.doctor_cluster import Brokers
from refrain.ops.observe.findings import Finding
from refrain.ops.topics.admin import TopicState, compare
from refrain.schemas.topics import GROUPS, TOPICS
from refrain.streams.errors import ClusterFailed
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


class Hung:
    """Time that passes only when `parties` have come to rest: checks that answered or hang, threads that wait for them.

    The call `hang` never returns.
    """

    def __init__(self) -> None:
        self.now_s = 100.0
        self.never = threading.Event()
        self._parties = 0
        self._rested = threading.Condition()
        self._waiting: dict[int, float] = {}
        self._waited: set[int] = set()

    def deadline(self, seconds: float, parties: int) -> Deadline:
        self._parties = parties
        return Deadline(self.now_s + seconds, lambda: self.now_s, self._wait)

    def rest(self) -> None:
        with self._rested:
            self._parties -= 1
            self._rested.notify_all()

    def hang(self, *_: Any, **__: Any) -> Any:
        self.rest()
        self.never.wait(60)
        raise ClusterFailed("late")

    def _wait(self, event: threading.Event, seconds: float) -> bool:
        me = threading.get_ident()
        self._waiting[me] = self.now_s + seconds
        if me not in self._waited:
            self._waited.add(me)
            self.rest()
        with self._rested:
            assert self._rested.wait_for(lambda: self._parties <= 0, 60)
        # Whoever has less time to wait is the first to give up.
        while not event.wait(0.01):
            if self._waiting[me] == min(self._waiting.values()):
                self.now_s = max(self.now_s, self._waiting[me])
                break
        return event.is_set()


@pytest.fixture
def hung() -> Iterator[Hung]:
    made = Hung()
    yield made
    made.never.set()


def test_checks_that_do_not_answer_are_rows_at_the_deadline_and_the_others_stay_in_order(hung: Hung) -> None:
    def found(name: str) -> list[Finding]:
        hung.rest()
        return [Finding(name, "ok", "seen")]

    def late(name: str) -> Finding:
        return Finding(name, "fail", f"late at {hung.now_s:g}")

    looks: dict[str, Any] = {
        "a": partial(found, "a"), "b": hung.hang, "c": partial(found, "c"), "d": hung.hang
    }  # fmt: skip
    rows = together(looks, hung.deadline(8.0, parties=5), late)
    assert [(row.check, row.seen) for row in rows] == [
        ("a", "seen"), ("b", "late at 108"), ("c", "seen"), ("d", "late at 108")
    ]  # fmt: skip


def test_a_cluster_whose_calls_hang_is_told_row_by_row_within_the_deadline(
    hung: Hung, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cluster:
        def __init__(self, settings: Settings) -> None:
            self.asked = settings.kafka

        def __getattr__(self, name: str) -> Any:
            return hung.hang

    class Client(Admin):
        def __getattr__(self, name: str) -> Any:
            return hung.hang

    def tells(*_: Any, **__: Any) -> list[Finding]:
        hung.rest()
        return [Finding("disk", "ok", "seen")]

    admin = Client(1, 2, 3)
    admin.create_topics = hung.hang  # type: ignore[method-assign]
    admin.found.brokers = {n: SimpleNamespace(id=n, host="broker", port=9000 + n) for n in (1, 2, 3)}
    monkeypatch.setattr("refrain.ops.cluster.connection.reach", lambda *_: admin)
    monkeypatch.setattr("refrain.ops.observe.doctor_cluster.ask_brokers", lambda *_: brokers_of(admin))
    monkeypatch.setattr("refrain.ops.observe.doctor_cluster.create_client", lambda *_: admin)
    monkeypatch.setattr("refrain.streams.kafka.cluster.KafkaCluster", Cluster)
    monkeypatch.setattr("refrain.ops.topics.admin.describe", hung.hang)
    for name in ("disk", "files"):
        monkeypatch.setattr(f"refrain.ops.observe.doctor_checks.{name}", tells)

    asked = (
        "controller", "topics", "policy", "shards", "snapshots", "routes", "dead letters", "model calls", "positions",
        *GROUPS,
    )  # fmt: skip
    # Beside them the two checks that answer, and the two threads that wait: for all, and for those of the cluster.
    deadline = hung.deadline(8.0, parties=len(asked) + 2 + 2)
    rows = examine(SETTINGS.model_copy(update={"state_dir": tmp_path}), deadline)

    assert hung.now_s <= 108.0
    silent = [row for row in rows if "did not answer within" in row.seen]
    assert {row.seen.split(":")[0] if row.check == "lag" else row.check for row in silent} == set(asked)
    assert all(row.state == "fail" and row.do for row in silent)
    assert {"broker", "replicas", "disk", "workers"} <= {row.check for row in rows if row not in silent}


def test_a_check_with_a_fault_of_its_own_costs_no_other() -> None:
    def fails() -> list[Finding]:
        raise KeyError("a secret")

    looks: dict[str, Any] = {"a": fails, "b": lambda: [Finding("b", "ok", "seen")]}
    first, second = together(looks, Deadline(time.monotonic() + 60), lambda name: Finding(name, "fail", "late"))
    assert (first.state, second.state) == ("fail", "ok")
    assert "KeyError" in first.seen
    assert "a secret" not in first.seen


def test_the_doctor_loads_no_more_than_it_needs() -> None:
    script = (
        "import sys; from refrain.ops.cli import main; code = main(['doctor', '--json', '--no-call']);"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    environment = {**os.environ, "REFRAIN_KAFKA": "127.0.0.1:1", "REFRAIN_CONNECT_TIMEOUT_MS": "100",
                   "REFRAIN_EMBEDDING__BACKEND": "free"}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "refrain.ops.observe.doctor_workers" in loaded
    assert not loaded & {
        "httpx",
        "rich.table",
        "torch",
        "numpy",
        "refrain.ops.explain.command",
        "refrain.streams.shard",
    }


def test_checks_have_some_time_however_long_the_command_took_to_start() -> None:
    assert deadline_of(100.0, 100.5).until_s == 100.0 + ANSWER_S
    assert deadline_of(100.0, 107.7).until_s == 107.7 + LOOK_S


def test_a_broker_that_is_frozen_takes_no_longer_than_one_that_is_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as frozen:
        # It accepts connections, as the kernel does for a process that stands still, and says nothing on them.
        settings = SETTINGS.model_copy(update={"kafka": f"127.0.0.1:{frozen.getsockname()[1]}", "state_dir": tmp_path})
        started_s = time.monotonic()
        findings = examine(settings, Deadline(started_s + ANSWER_S))
        assert time.monotonic() - started_s < ANSWER_S + 20, "a bound, not a speed"
    assert (findings[0].check, findings[0].state) == ("broker", "fail")
    assert {each.check for each in findings} == {
        "broker",
        "model",
        "categories",
        "verifier",
        "machine",
        "disk",
        "files",
        "workers",
        "edge",
        "upstream",
    }
