"""A category that may not be kept any more: nothing of it is stored or served once `refrain policies apply` says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from refrain.ops.ask.client import AskReply, Client
from refrain.schemas.decisions import Decision
from refrain.schemas.requests import Request
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Record
from refrain.streams.settings import Settings, Upstream
from tests.eventually import eventually
from tests.integration.topics import create_table
from tests.simulation.bench import environment_of
from tests.simulation.cluster import Cluster

WORKERS = ("classify", "classify", "lookup", "lookup", "populate", "populate", "upstream", "govern")
TEXT_TOPICS = ("journal", "documents", "decisions", "observations", "dead-letters", "stats", "comparisons")
MARK = "quokka"
BATCH = 20
TIMEOUT_S = 60.0
POLICY = "categories:\n  notes: {{cache: {cache}, threshold: 0.9}}\n  other: {{threshold: 0.9}}\n"

Ends = dict[tuple[str, int], int]


@pytest.fixture
def workers(settings: Settings, admin: AdminClient, tmp_path: Path) -> Iterator[Cluster]:
    """Two of each processor that may hold text, each a process."""
    create_table(admin, settings.prefix)
    environment = environment_of(settings, "") | {
        "REFRAIN_UPSTREAM__CONNECTOR": "simulated",
        "REFRAIN_UPSTREAM__LATENCY_MEDIAN_MS": "300",
    }
    del environment["REFRAIN_UPSTREAM__BASE_URL"]
    with Cluster(environment, settings.state_dir, tmp_path / "logs") as cluster:
        cluster.start(*WORKERS)
        cluster.wait_ready(*set(WORKERS))
        yield cluster


@pytest.fixture
def settings(kafka: str, prefix: str, tmp_path: Path) -> Settings:
    return Settings(
        kafka=kafka, prefix=prefix, state_dir=tmp_path / "state", session_timeout_ms=6_000, upstream=Upstream()
    )


def apply(settings: Settings, cache: str, folder: Path) -> None:
    """`refrain policies apply`, as an operator does it."""
    path = folder / "policy.yaml"
    path.write_text(POLICY.format(cache=cache))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "refrain.ops.cli", "policies", "apply", str(path), "--yes"],
        env={**os.environ, **environment_of(settings, "http://127.0.0.1:9/v1")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


class Traffic:
    """Questions of the category without end: new ones and repeats, each with the mark in it."""

    def __init__(self, settings: Settings) -> None:
        self._client = Client(settings)
        self._numbers = count()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")
        self.replies: list[AskReply] = []

    @contextmanager
    def going(self) -> Iterator[Traffic]:
        self._thread.start()
        try:
            yield self
        finally:
            self._done.set()
            self._thread.join()
            self._client.close()

    def _run(self) -> None:
        while not self._done.is_set():
            numbers = [next(self._numbers) // 3 for _ in range(BATCH)]
            self.replies += self._client.ask([question(f"{MARK} number {n}") for n in numbers], timeout_s=TIMEOUT_S)

    def more(self) -> None:
        """Wait until two more batches, asked from now on, are answered."""
        before = len(self.replies)
        eventually(lambda: len(self.replies) >= before + 3 * BATCH)


def question(text: str) -> Request:
    """One request of the category."""
    return Request(category="notes", body={"model": "m", "messages": [{"role": "user", "content": text}]})


def ends(cluster: KafkaCluster) -> Ends:
    """Where each topic that may hold text ends."""
    return {(topic, p): end for topic in TEXT_TOPICS for p, (_, end) in cluster.ends(topic).items()}


def written_since(cluster: KafkaCluster, start: Ends) -> Iterator[Record]:
    """All committed records since then."""
    for (topic, partition), offset in start.items():
        yield from cluster.scan(topic, partition, offset)


def kept(cluster: KafkaCluster) -> list[bytes]:
    """Keys of `documents` whose last value holds the mark."""
    rows: dict[bytes, bytes | None] = {}
    for partition in range(cluster.partitions("documents")):
        for record in cluster.scan("documents", partition):
            rows[record.key or b""] = record.value
    return [key for key, value in rows.items() if value is not None and MARK.encode() in value]


def test_from_never_to_allow_to_never_under_traffic(workers: Cluster, settings: Settings, tmp_path: Path) -> None:
    cluster = KafkaCluster(settings)
    apply(settings, "never", tmp_path)
    with Traffic(settings).going() as traffic:
        traffic.more()
        assert kept(cluster) == []
        apply(settings, "allow", tmp_path)
        traffic.more()
        assert kept(cluster) != []
        apply(settings, "never", tmp_path)
        since = ends(cluster)
        traffic.more()
        eventually(lambda: kept(cluster) == [])
    _nothing_is_wrong(traffic.replies)
    for record in written_since(cluster, since):
        assert MARK.encode() not in (record.value or b""), (record.topic, record.partition, record.offset)
        if record.topic == "decisions":
            decision = Decision.decode(record.value or b"")
            assert decision.offset < since["journal", decision.partition] or decision.outcome is Outcome.BYPASS
    apply(settings, "allow", tmp_path)
    with Client(settings) as client:
        again = [client.ask([question(f"{MARK} number 0")])[0] for _ in range(2)]
    assert [reply.response and reply.response.outcome for reply in again] == [Outcome.MISS, Outcome.HIT]
    assert workers.bad_ends() == []


def _nothing_is_wrong(replies: list[AskReply]) -> None:
    assert [reply.failure for reply in replies if reply.response is None] == []
    outcomes = {reply.response.outcome for reply in replies if reply.response is not None}
    assert {Outcome.BYPASS, Outcome.HIT, Outcome.MISS} <= outcomes
    told = [reply.response for reply in replies if reply.response and reply.response.outcome is Outcome.ERROR]
    # Whoever waited for another one's answer when the category was closed is told to ask again.
    assert {response.error.code for response in told if response.error} <= {"answer_withheld"}
    right = [reply for reply in replies if reply.response is not None and reply.response.body is not None]
    for reply in right:
        asked = reply.request.body["messages"][-1]["content"]
        assert json.dumps(asked)[1:-1] in json.dumps(reply.response.body if reply.response else None)
