"""The commands that move a policy, on a real broker: who is waited for, what is told, what is sent."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from refrain.ops.cli import main
from refrain.ops.control.client import ControlClient
from refrain.ops.terminal import exit_codes
from refrain.schemas.base import Sealed
from refrain.schemas.control import Command, Invalidate, Judge, PolicyInForce, SetPolicy, Switch, decode_command
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.documents import Entry, Tally
from refrain.schemas.journal import Answered
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.responses import DecisionSummary, Outcome, Response
from refrain.schemas.stats import CategoryNow, ShardStats
from refrain.streams.errors import ClusterFailed, CommandRefused, Refusal, RefusalCode
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.dead_letters import dead_letter
from refrain.streams.messaging.ids import wire_id
from refrain.streams.models.loading import load_embedder
from refrain.streams.settings import Settings
from refrain.streams.shard.columns import ENTRIES, entry_id
from refrain.streams.vectors import encode, quantise
from tests.eventually import eventually
from tests.integration.fake_workers import acknowledge, acknowledging, member
from tests.integration.topics import PARTITIONS_MAX, create_table

ALL = range(PARTITIONS_MAX)
SWITCH = Switch(who="ana", on=False)
SET = SetPolicy(who="ana", policy=Policy(categories={"code": CategoryPolicy()}))
Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def cluster(
    settings: Settings, admin: AdminClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[KafkaCluster]:
    create_table(admin, settings.prefix)
    monkeypatch.setenv("REFRAIN_KAFKA", settings.kafka)
    monkeypatch.setenv("REFRAIN_PREFIX", settings.prefix)
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    with KafkaCluster(settings) as cluster:
        yield cluster


def write(cluster: KafkaCluster, *records: Outgoing) -> None:
    producer = cluster.producer()
    producer.send(records)
    producer.close()


def commands(cluster: KafkaCluster) -> list[Command]:
    return [decode_command(record.value or b"") for record in cluster.scan("control", 0)]


class Waiting:
    """A wait in a thread of its own."""

    def __init__(self, client: ControlClient) -> None:
        self.result: int | Exception | None = None
        self._thread = threading.Thread(target=self._wait, args=(client,), daemon=True)
        self._thread.start()

    def _wait(self, client: ControlClient) -> None:
        try:
            self.result = client.wait(60)
        except Exception as problem:  # noqa: BLE001 - looked at by the test
            self.result = problem

    def end(self) -> int | Exception | None:
        self._thread.join(60)
        return self.result


# -- who is waited for ------------------------------------------------------------------------------------


def test_a_command_is_done_when_every_shard_has_acknowledged_it(
    cluster: KafkaCluster, settings: Settings, admin: AdminClient
) -> None:
    client = ControlClient(settings)
    acknowledge(cluster, "lookup", [str(shard) for shard in ALL], 99)  # before it was placed: of another journal
    version = client.send(SWITCH)
    take(admin, settings, version)
    waiting = Waiting(client)
    acknowledge(cluster, "lookup", ["0", "1", "2"], version + 3)
    acknowledge(cluster, "lookup", ["3"], version - 1)
    with pytest.raises(ClusterFailed, match=r"shard 3 has not acknowledged after 3 s: are they running\? The command"):
        client.wait(3)
    assert waiting.result is None
    acknowledge(cluster, "lookup", ["3"], version)
    assert waiting.end() == version


def take(admin: AdminClient, settings: Settings, version: int) -> None:
    """Be a govern that has carried out the command: its group stands behind it."""
    place = TopicPartition(settings.prefix + "control", 0, version + 1)
    wanted = ConsumerGroupTopicPartitions(settings.prefix + "govern", [place])

    def taken() -> bool:
        # Until a fresh broker has a coordinator of the group, the answer holds an error in place of an offset.
        (group,) = (future.result() for future in admin.alter_consumer_group_offsets([wanted]).values())
        return all(each.error is None for each in group.topic_partitions)

    eventually(taken)


def test_a_policy_waits_for_every_member_of_classify_and_populate(
    cluster: KafkaCluster, settings: Settings, admin: AdminClient
) -> None:
    client = ControlClient(settings)
    with acknowledging(settings, ALL), member(settings, "classify", "requests") as first:
        version = client.send(SET)
        take(admin, settings, version)
        waiting = Waiting(client)
        with pytest.raises(ClusterFailed, match="1 of 1 classify worker"):
            client.wait(1)
        assert waiting.result is None
        acknowledge(cluster, "classify", [first], version)
        assert waiting.end() == version


def test_a_member_that_leaves_is_not_waited_for(cluster: KafkaCluster, settings: Settings) -> None:
    client = ControlClient(settings)
    with acknowledging(settings, ALL):
        with member(settings, "populate", "completions"):
            version = client.send(SET)
            waiting = Waiting(client)
            eventually(lambda: any(cluster.scan("acknowledgements", 0)))
            assert waiting.result is None
        assert waiting.end() == version


def test_other_commands_wait_for_the_shards_alone(settings: Settings) -> None:
    client = ControlClient(settings)
    with acknowledging(settings, ALL), member(settings, "classify", "requests"):
        assert client.send(SWITCH) == client.wait(30)


def test_a_refusal_is_told_with_its_reason(cluster: KafkaCluster, settings: Settings) -> None:
    client = ControlClient(settings)
    version = client.send(Judge(who="ana", decision_id="1-2-x", correct=False))
    record = Record("control", 0, version, 0, None, b"{}")
    refusal = Refusal(RefusalCode.BAD_FIELD, "decision_id: no such decision")
    write(
        cluster,
        dead_letter(record._replace(offset=version + 1), refusal, "govern"),
        dead_letter(record, refusal, "govern"),
    )
    with pytest.raises(CommandRefused, match="bad_field: decision_id: no such decision"):
        client.wait(30)


def test_without_govern_it_says_so_and_the_command_stands(capsys: Out, cluster: KafkaCluster) -> None:
    assert main(["off", "--timeout", "0.3"]) == exit_codes.TRY_AGAIN
    said = capsys.readouterr().err
    assert "is `refrain run govern` running?" in said
    assert "stands at offset 0" in said
    assert len(commands(cluster)) == 1


# -- the switch -------------------------------------------------------------------------------------------


def test_off_and_on_are_sent_and_tell_their_version(cluster: KafkaCluster, settings: Settings, capsys: Out) -> None:
    in_force(cluster, "code")
    write(cluster, Outgoing("control", None, SetPolicy(who="ana", policy=Policy(categories={})).encode()))
    with acknowledging(settings, ALL):
        assert main(["off", "--who", "ana", "--why", "wrong answers"]) == 0
        assert main(["on", "--category", "code", "--who", "ben"]) == 0
    said = capsys.readouterr()
    assert said.out.split() == ["1", "2"]
    assert "the category code is switched on in every shard, since version 2" in said.err
    assert commands(cluster)[1:] == [
        Switch(who="ana", why="wrong answers", on=False),
        Switch(who="ben", on=True, category="code"),
    ]


def test_a_category_that_the_policy_does_not_have_is_not_switched(cluster: KafkaCluster, capsys: Out) -> None:
    in_force(cluster, "code")
    assert main(["off", "--category", "cod"]) == exit_codes.USAGE
    assert "'code'?" in capsys.readouterr().err
    assert commands(cluster) == []


def in_force(cluster: KafkaCluster, *categories: str) -> None:
    policy = Policy(categories={name: CategoryPolicy() for name in categories})
    write(
        cluster, Outgoing("policies", b"policy", PolicyInForce(version=0, who="ana", at_ms=0, policy=policy).encode())
    )


# -- withdrawing ------------------------------------------------------------------------------------------


def entry(number: int, question: str, **fields: Any) -> Entry:
    plain = {
        "tenant": "acme", "space": "acme", "category": "code", "model": "m", "context": "00", "text_digest": "00",
        "question": Sealed(data=question), "answer": Sealed(data="{}"), "admitted_at_ms": 1_000,
    }  # fmt: skip
    return Entry(id=number, **{**plain, **_vector(question), **fields})


def _vector(question: str) -> dict[str, str]:
    embedder = load_embedder(Settings().embedding.model_copy(update={"backend": "free"}), Path())
    return {"embedder": embedder.identity, "vector": encode(quantise(embedder.embed([question])[0]))}


@pytest.fixture
def kept(cluster: KafkaCluster) -> list[str]:
    """Three entries in two shards and one that has left; their ids."""
    rows = [
        (0, entry(1, "How do I reverse a list?", tags=("python",))),
        (0, entry(2, "What does the moon weigh?", tenant="other", category="chat")),
        (1, entry(7, "How do I reverse a list?", admitted_at_ms=4_000_000_000_000)),
        (1, entry(8, "gone")),
    ]
    write(cluster, *(Outgoing("documents", _key(e), e.encode(), (), p) for p, e in rows))
    write(cluster, Outgoing("documents", _key(rows[3][1]), None, (), 1))
    journal = cluster.topic_id("journal")
    return [wire_id(p, e.id, journal) for p, e in rows[:3]]


def _key(kept: Entry) -> bytes:
    return ENTRIES.key(entry_id(kept.id))


def test_a_dry_run_tells_what_would_go_and_sends_nothing(cluster: KafkaCluster, kept: list[str], capsys: Out) -> None:
    assert main(["invalidate", "--all", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "version": None,
        "entries": 3,
        "by": [
            {"tenant": "acme", "category": "code", "entries": 2},
            {"tenant": "other", "category": "chat", "entries": 1},
        ],
        "ids": kept,
    }
    assert main(["invalidate", "--tag", "python", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "1 entry would go" in said.err
    assert kept[0] in said.err
    assert "acme\tcode\t1" in said.out
    assert commands(cluster) == []


@pytest.mark.parametrize(
    ("arguments", "which"),
    [
        (["--tenant", "other"], [1]),
        (["--older-than", "1d"], [0, 1]),
        (["--all", "--before", "2026-01-01T00:00Z"], [0, 1]),
        (["--near", "How do I reverse a list?"], [0, 2]),
        (["--near", "How do I reverse a list?", "--similarity", "0.01", "--category", "code", "--tag", "python"], [0]),
        (["--category", "finance"], []),
    ],
)
def test_a_dry_run_finds_what_is_named(arguments: list[str], which: list[int], kept: list[str], capsys: Out) -> None:
    assert main(["invalidate", *arguments, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ids"] == [kept[number] for number in which]


def test_an_invalidation_is_sent_as_it_was_named(
    cluster: KafkaCluster, settings: Settings, kept: list[str], capsys: Out
) -> None:
    named = ["--source", "doc", "--keep", "3", "--older-than", "2h", "--who", "ana", "--why", "new edition"]
    with acknowledging(settings, ALL):
        assert main(["invalidate", *named, "--yes"]) == 0
        assert main(["invalidate", "--entry", kept[0], "--who", "ana", "--yes", "--json"]) == 0
        assert main(["invalidate", "--near", "the moon", "--similarity", "0.8", "--who", "ana", "--yes"]) == 0
    said = capsys.readouterr()
    assert "answers that are on their way to a matching question are withdrawn as well" in said.err
    first, second, third = commands(cluster)
    assert first == Invalidate(who="ana", why="new edition", source_id="doc", keep_version="3", older_than_ms=7_200_000)
    assert second == Invalidate(who="ana", entry_id=kept[0])
    assert isinstance(third, Invalidate)
    assert third.near is not None
    assert (third.near.similarity, third.near.vector) == (0.8, _vector("the moon")["vector"])


def test_a_no_withdraws_nothing(cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["invalidate", "--all"]) == exit_codes.FAILED
    assert commands(cluster) == []


# -- judging ----------------------------------------------------------------------------------------------


def decision(id_: str, outcome: Outcome, time_ms: int, **fields: Any) -> Outgoing:
    made = Decision(id=id_, partition=0, offset=0, time_ms=time_ms, tenant="acme", category="code", model="m",
                    outcome=outcome, reason=Reason.EXACT_TEXT, **fields)  # fmt: skip
    return Outgoing("decisions", id_.encode(), made.encode())


def test_a_judgement_lists_every_request_that_got_the_answer(
    cluster: KafkaCluster, settings: Settings, capsys: Out
) -> None:
    kept = wire_id(0, 1, cluster.topic_id("journal"))
    answers = [Answered(forward_id=id_, body=Sealed(data="{}")) for id_ in ("0-9-x", "0-1-x")]
    write(cluster, *(Outgoing("journal", None, each.encode(), (), 0) for each in answers))
    write(
        cluster,
        decision("0-1-x", Outcome.MISS, 1, forward_id="0-1-x", request_id="r1"),
        decision("0-2-x", Outcome.COALESCED, 2, forward_id="0-1-x", similarity=0.95),
        decision("0-3-x", Outcome.HIT, 3, entry_id=kept, similarity=0.93),
        decision("0-4-x", Outcome.HIT, 4, entry_id="0-0-other"),
        decision("0-5-x", Outcome.BYPASS, 5, forward_id="0-5-x"),
    )
    with acknowledging(settings, ALL):
        assert main(["judge", "0-3-x", "--wrong", "--why", "removed", "--who", "ana", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert main(["judge", "0-1-x", "--right", "--who", "ana"]) == 0
    shown = capsys.readouterr()
    assert [each["id"] for each in told["served"]] == ["0-1-x", "0-2-x", "0-3-x"]
    assert (told["entry_id"], told["forward_id"], told["version"], told["correct"]) == (kept, "0-1-x", 0, False)
    assert [line.split("\t")[3] for line in shown.out.splitlines()[1:]] == ["0-1-x", "0-2-x", "0-3-x"]
    assert "counted as right, since version 1; 3 requests got this answer:" in shown.err
    assert commands(cluster) == [
        Judge(who="ana", why="removed", decision_id="0-3-x", partition=0, offset=0, correct=False),
        Judge(who="ana", decision_id="0-1-x", partition=0, offset=0, correct=True),
    ]


def test_a_judgement_takes_a_response_from_standard_input(
    cluster: KafkaCluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = cluster.topic_id("journal")
    made = [decision(f"0-{n}-x", Outcome.MISS, n, forward_id=f"0-{n}-x", journal=journal) for n in range(3)]
    write(cluster, *(each._replace(partition=0) for each in made))
    summary = DecisionSummary(id="0-1-x", partition=0, offset=0, reason="exact_text")
    response = Response(outcome=Outcome.MISS, body={}, decision=summary)
    monkeypatch.setattr("sys.stdin", io.StringIO(response.encode().decode()))
    with acknowledging(settings, ALL):
        assert main(["judge", "-", "--right", "--who", "ana"]) == 0
    assert commands(cluster) == [Judge(who="ana", decision_id="0-1-x", partition=0, offset=0, correct=True)]


def test_an_unknown_decision_and_one_past_the_cache_are_not_judged(cluster: KafkaCluster, capsys: Out) -> None:
    write(cluster, decision("0-5-x", Outcome.BYPASS, 5, forward_id="0-5-x"))
    assert main(["judge", "0-9-x", "--right"]) == exit_codes.FAILED
    assert "no decision 0-9-x is in `decisions`" in capsys.readouterr().err
    assert main(["judge", "0-5-x", "--right"]) == exit_codes.FAILED
    assert "was answered past the cache (bypass, exact_text)" in capsys.readouterr().err
    assert commands(cluster) == []


# -- stats ------------------------------------------------------------------------------------------------


def test_stats_add_up_the_last_report_of_each_shard(cluster: KafkaCluster, capsys: Out) -> None:
    assert main(["stats"]) == exit_codes.FAILED
    assert "no shard has reported" in capsys.readouterr().err
    for asked in (5, 10):
        write(cluster, *(_report(shard, asked) for shard in (0, 2)))
    assert main(["stats", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["missing"], told["categories"]["code"]["asked"], told["categories"]["code"]["hits"]) == ([1, 3], 20, 8)
    assert main(["stats"]) == 0
    said = capsys.readouterr()
    assert "code\t20\t8\t40.0%" in said.out
    assert "code\t4\t20.0%\t6 cap\t0.880 (base 0.900)\t20 s (base 10 s)\tfully\toff in 1 of 2 shards" in said.out
    assert "load of m: 0.50" in said.err
    assert "without a report: 1, 3" in said.err


def _report(shard: int, asked: int) -> Outgoing:
    code = CategoryNow(
        tally=Tally(asked=asked, hits=4, left={"cap": 3}), entries=2, room=10, threshold=0.88, base_threshold=0.9,
        ttl_ms=20_000, base_ttl_ms=10_000, off=shard == 0,
    )  # fmt: skip
    report = ShardStats(partition=shard, time_ms=1, policy_version=3, control=3, entries=2, waiting=0, withdrawing=0,
                        loads={"m": 0.5}, categories={"code": code})  # fmt: skip
    return Outgoing("stats", str(shard).encode(), report.encode(), (), 0)
