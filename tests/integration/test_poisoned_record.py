"""A journal record at which the process of a lookup worker is killed ends two of them, and no third."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from refrain.schemas.decisions import Decision
from refrain.schemas.responses import Outcome, Response
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.settings import Settings
from tests.eventually import eventually
from tests.integration.topics import create_table
from tests.streams.shard.journal import Journal, vector

POISON = "the text that ends a worker"
LIVES_MAX = 5
PROGRAM = f"""
import os, signal, sys
from refrain.ops.run.worker import run_worker
from refrain.streams.lookup import folding
from refrain.streams.settings import Settings

kept = folding.fold

def deadly(shard, record):
    if {POISON.encode()!r} in (record.value or b"") and shard.skips.of(record.offset) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return kept(shard, record)

folding.fold = deadly
sys.exit(run_worker("lookup", Settings.model_validate_json(sys.argv[1])))
"""


@pytest.fixture
def cluster(settings: Settings, admin: AdminClient) -> Iterator[KafkaCluster]:
    create_table(admin, settings.prefix)
    with KafkaCluster(settings) as cluster:
        yield cluster


class Lives:
    """Starts the worker again whenever its process is killed, at most `LIVES_MAX` times."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self.killed = 0
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._stopping = True
        if self._process is not None:
            self._process.terminate()
        self._thread.join(30)

    def _live(self) -> None:
        while not self._stopping and self.killed < LIVES_MAX:
            command = [sys.executable, "-P", "-c", PROGRAM, self._settings.model_dump_json()]
            self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            self.killed += self._process.wait() == -signal.SIGKILL
            time.sleep(0.2)


def test_a_record_that_kills_its_worker_is_found_and_set_aside(cluster: KafkaCluster, settings: Settings) -> None:
    journal = Journal()
    journal.policy()
    asked, poisoned = [], ""
    for number in range(20):
        if number == 7:
            poisoned = json.loads(journal.ask(POISON, vector(*[0.0] * 7, 1.0)).value or b"")["id"]
        record = journal.ask(f"q{number % 5}", vector(*[0.0] * (number % 5), 1.0))
        asked.append(json.loads(record.value or b"")["id"])
        if number < 5:
            journal.answer(asked[-1])
    cluster.producer().send([Outgoing("journal", None, each.value, (), 0) for each in journal.records])
    lives = Lives(settings)
    outcomes: dict[str, list[Outcome]] = {}

    def all_decided() -> bool:
        outcomes.clear()
        for record in cluster.scan("decisions", 0):
            decision = Decision.decode(record.value or b"")
            outcomes.setdefault(decision.id, []).append(decision.outcome)
        return set(asked) <= set(outcomes)

    try:
        eventually(all_decided)
    finally:
        lives.end()
    assert lives.killed == 2
    assert set(outcomes) == {*asked, poisoned}
    assert outcomes[poisoned] == [Outcome.ERROR]
    told = [
        Response.decode(each.value or b"") for at in cluster.ends("responses") for each in cluster.scan("responses", at)
    ]
    assert {each.error.code for each in told if each.error is not None} == {"quarantined"}, "who asked it hears of it"
    assert [outcomes[id_] for id_ in asked] == [[Outcome.MISS]] * 5 + [[Outcome.HIT]] * 15
    (letter,) = cluster.scan("dead-letters", 0)
    assert letter.value is None
    assert (dict(letter.headers)["refrain.dead.reason"] or b"").startswith(b"quarantined: ")
