"""A recorded run on a broker: replayed into another prefix, audited there, and its entries kept by another Refrain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from refrain.ops.ask.client import Client
from refrain.ops.cli import main
from refrain.schemas.journal import Tick
from refrain.schemas.topics import TOPICS
from refrain.streams.classify.worker import run_classify
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.populate.worker import run_populate
from refrain.streams.settings import Settings, Upstream
from refrain.streams.upstream.worker import run_upstream
from tests.conftest import remove_groups, remove_topics
from tests.eventually import eventually
from tests.integration.processors import running_all
from tests.integration.test_operators import POLICY, ask
from tests.integration.topics import PARTITIONS_MAX, create_table

GAP = 8
"""Two policies, three aborted records, and the ends of three transactions."""
Out = pytest.CaptureFixture[str]
QUESTIONS = ("How do I reverse a list?", "What is a monad?", "How do I reverse a list?", "Why is the sky blue?")


@pytest.fixture
def copy(admin: AdminClient, prefix: str) -> Iterator[str]:
    """A prefix for a copy."""
    mine = f"copy-{prefix}"
    yield mine
    remove_topics(admin, mine)


@pytest.fixture
def other(admin: AdminClient, settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Settings of another Refrain, with topics of its own."""
    mine = f"other-{settings.prefix}"
    create_table(admin, mine)
    yield settings.model_copy(update={"prefix": mine, "state_dir": tmp_path / "other"})
    remove_topics(admin, mine)
    remove_groups(admin, mine)


def ends(settings: Settings) -> dict[str, dict[int, tuple[int, int]]]:
    with KafkaCluster(settings) as cluster:
        return {topic.name: cluster.ends(topic.name) for topic in TOPICS}


def told(*arguments: str, capsys: Out, code: int = 0) -> list[Any]:
    """The lines of JSON that a command prints."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def record_a_run(settings: Settings, capsys: Out) -> None:
    """Questions under two policies; in each partition of the journal transactions end between them."""
    quick = settings.model_copy(update={"upstream": Upstream(connector="simulated", latency_median_ms=5.0)})
    with (
        running_all((run_govern, run_lookup, run_classify, run_populate, run_upstream), quick),
        Client(settings) as client,
    ):
        assert main(["policies", "apply", "p.yaml", "--yes", "--who", "ana"]) == 0
        for question in QUESTIONS:
            ask(client, question)
        Path("p.yaml").write_text(POLICY.replace("0.9", "0.8"))
        assert main(["policies", "apply", "p.yaml", "--yes", "--who", "ana"]) == 0
        for question in QUESTIONS:
            assert ask(client, question).outcome == "hit"
        eventually(lambda: told("invalidate", "--all", "--dry-run", capsys=capsys)[0]["entries"] == 3)


def leave_a_gap(settings: Settings) -> None:
    """Write three records that are aborted, and one that is not."""
    aborting = Producer({"bootstrap.servers": settings.kafka, "transactional.id": f"{settings.prefix}gap"})
    aborting.init_transactions(30)
    aborting.begin_transaction()
    for _ in range(3):
        aborting.produce(f"{settings.prefix}journal", b"never", partition=1)
    aborting.flush(30)
    aborting.abort_transaction(30)
    with KafkaCluster(settings) as cluster:
        eventually(lambda: cluster.ends("journal")[1][1] >= GAP)
        with closing(cluster.producer()) as producer:
            producer.send([Outgoing("journal", None, Tick().encode(), (), 1)])


def warm(other: Settings, file: str, capsys: Out) -> None:
    """Import the entries of the run into another Refrain, which then answers from them."""
    named = ("--prefix", other.prefix)
    with running_all((run_govern, run_lookup, run_classify), other), Client(other) as client:
        assert main([*named, "policies", "apply", "p.yaml", "--yes", "--who", "ana"]) == 0
        (dry,) = told(*named, "import", file, "--dry-run", capsys=capsys)
        assert (dry["sent"], dry["would_be_sent"]) == (0, 3)
        (done,) = told(*named, "import", file, "--yes", "--who", "ana", "--keep-age", capsys=capsys)
        assert (done["sent"], done["kept"], done["refused"]) == (3, 3, {})
        (again,) = told(*named, "import", file, "--yes", "--who", "ana", capsys=capsys)
        assert (again["sent"], again["kept_already"]) == (0, 3)
        hit = ask(client, QUESTIONS[0])
        assert hit.outcome == "hit"
        assert hit.decision is not None
        assert hit.decision.entry_id is not None
        (life,) = told(*named, "explain", hit.decision.entry_id, capsys=capsys)
        assert life["life"][0]["what"] == "imported"
        assert life["question"] == QUESTIONS[0]
        history = told(*named, "history", "--kind", "import", capsys=capsys)
        assert [(each["who"], each["refused"]) for each in history] == [("ana", None)] * 3
        eventually(lambda: told(*named, "audit", "--processes", "1", capsys=capsys)[0]["decisions"] == 1)
        (audited,) = told(*named, "audit", "--processes", "1", capsys=capsys)
        assert audited["ok"]


def test_a_recorded_run_is_copied_audited_and_warms_another(
    settings: Settings,
    admin: AdminClient,
    copy: str,
    other: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: Out,
) -> None:
    create_table(admin, settings.prefix)
    monkeypatch.setenv("REFRAIN_KAFKA", settings.kafka)
    monkeypatch.setenv("REFRAIN_PREFIX", settings.prefix)
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(POLICY)
    record_a_run(settings, capsys)
    leave_a_gap(settings)
    before = ends(settings)

    replayed = told("replay", "--into", copy, capsys=capsys)
    assert [each["partition"] for each in replayed] == list(range(PARTITIONS_MAX))
    assert sum(each["counts"].get("responses", 0) for each in replayed) == 8
    copied = settings.model_copy(update={"prefix": copy})
    with KafkaCluster(settings) as live, KafkaCluster(copied) as there:
        for partition in range(PARTITIONS_MAX):
            assert list(there.scan("journal", partition)) == list(live.scan("journal", partition))
            theirs = [record.value for record in live.scan("decisions", partition)]
            assert [record.value for record in there.scan("decisions", partition)] == theirs

    (mine,) = told("audit", "--processes", "1", capsys=capsys)
    (audited,) = told("--prefix", copy, "audit", "--processes", "1", capsys=capsys)
    assert (audited["ok"], audited["decisions"], audited["responses"]) == (True, 8, 8)
    assert [each["copy_of"] is None for each in mine["partitions"]] == [True] * PARTITIONS_MAX
    assert [each["copy_of"] is None for each in audited["partitions"]] == [False] * PARTITIONS_MAX
    states = told("state", capsys=capsys)
    # The live shards have not folded the last record yet.
    assert mine["ok"]
    for shown in (audited["partitions"], replayed):
        assert [each["state"] for each in shown] == [each["digest"] for each in states]

    assert main(["replay", "--into", copy]) == 2
    assert "a replay begins in empty topics" in capsys.readouterr().err
    assert main(["replay", "--into", settings.prefix]) == 2
    assert "is the live prefix" in capsys.readouterr().err
    assert ends(settings) == before

    assert main(["export", "journal", "whole.zst"]) == 0
    of_file = told("replay", "--from-file", "whole.zst", "--into", f"{copy}file.", capsys=capsys)
    assert [each["state"] for each in of_file] == [each["state"] for each in replayed]
    (audited,) = told("--prefix", f"{copy}file.", "audit", "--processes", "1", capsys=capsys)
    assert (audited["ok"], audited["decisions"], audited["responses"]) == (True, 8, 8)

    assert main(["export", "entries", "e.jsonl.zst", "--tenant", "acme"]) == 0
    assert main(["export", "journal", "j.gz", "--partition", "1", "--redact"]) == 0
    assert main(["export", "entries", "e.jsonl.zst"]) == 2
    assert "e.jsonl.zst exists" in capsys.readouterr().err
    warm(other, "e.jsonl.zst", capsys)
    assert ends(settings) == before
