"""Each command reaches every shard once, or is refused; there is nothing in between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.control.refused import refusal_in
from refrain.schemas.base import Message
from refrain.schemas.control import Invalidate, JournalKept, Judge, PolicyInForce, ReportLoad, SetPolicy, Switch
from refrain.schemas.dead_letters import HEADER_REASON
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.journal import CacheSwitched, EntriesInvalidated, HitJudged, LoadChanged, PolicySet, decode_event
from refrain.schemas.policy import CategoryPolicy, ModelPolicy, Policy
from refrain.schemas.responses import Outcome
from refrain.streams.errors import ClusterFailed, SendFailed, WrongSetup
from refrain.streams.govern.commands import command_of
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.progress import progress_of
from refrain.streams.settings import Settings

POLICY = Policy(categories={"chat": CategoryPolicy()}, models={"m": ModelPolicy()})
SET = SetPolicy(who="me", policy=POLICY)
LOAD = ReportLoad(who="adapt", model="m", load=0.5, valid_until_ms=9)
JUDGE = Judge(who="me", why="I looked", decision_id="0-1-tag", correct=False)
DECISION = Decision(
    id="0-1-tag",
    partition=1,
    offset=2,
    time_ms=3,
    tenant="acme",
    category="chat",
    model="m",
    outcome=Outcome.HIT,
    reason=Reason.SIMILAR_TEXT,
    namespace="ab",
    entry_id="1-7",
    answer="cd",
    load=0.25,
)


def give(cluster: MemoryCluster, *commands: Message | bytes) -> None:
    cluster.append([Outgoing("control", None, c if isinstance(c, bytes) else c.encode()) for c in commands])


def govern(cluster: MemoryCluster, until: Callable[[], bool]) -> Metrics:
    metrics = Metrics()
    ticks = itertools.count(0, 100)
    run_govern(WorkerContext(Settings(), cluster, metrics, stop=until, ready=lambda: None, now_ms=lambda: next(ticks)))
    return metrics


def committed_offset(cluster: MemoryCluster) -> int:
    kept = cluster.group("control", "govern").offsets
    return kept[0].next_offset if kept else 0


def run_through(cluster: MemoryCluster) -> Metrics:
    end = len(cluster.records("control"))
    return govern(cluster, lambda: committed_offset(cluster) == end)


def test_a_command_that_ends_its_worker_twice_is_left_out_and_whoever_gave_it_is_told(
    cluster: MemoryCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(record: Record) -> Any:
        if b"poison" in (record.value or b""):
            raise MemoryError
        return command_of(record)

    monkeypatch.setattr("refrain.streams.govern.worker.command_of", deadly)
    give(cluster, SET, SET.model_copy(update={"why": "poison"}), LOAD, b"{}")
    ended = 0
    while committed_offset(cluster) < 4:
        context = WorkerContext(
            Settings(), cluster, Metrics(), stop=lambda: committed_offset(cluster) == 4, ready=lambda: None,
            now_ms=lambda: 0, progress=lambda group, topic: progress_of(tmp_path, group, cluster.topic_id(topic), 1),
        )  # fmt: skip
        try:
            run_govern(context)
        except MemoryError:
            ended += 1
            assert ended <= 2
    assert ended == 2
    letters = cluster.records("dead-letters")
    told = refusal_in(letters, 1)
    assert told is not None
    assert told.startswith("govern ended twice at this command")
    assert "quarantined" in told
    assert [refusal_in(letters, offset) for offset in (0, 2)] == [None, None], "the others are carried out"
    assert (refusal_in(letters, 3) or "").startswith("govern refused it: "), "as any other refusal is told"


def reasons(cluster: MemoryCluster) -> list[str]:
    letters = cluster.records("dead-letters")
    return [(dict(letter.headers)[HEADER_REASON] or b"").decode().partition(":")[0] for letter in letters]


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(lambda: 77)


def test_a_load_that_would_hold_for_ever_is_refused(cluster: MemoryCluster) -> None:
    give(cluster, SET, LOAD.model_copy(update={"valid_until_ms": 10**13}), LOAD)
    run_through(cluster)
    assert reasons(cluster) == ["bad_field"]
    loads = [r for r in cluster.records("journal") if b"LoadChanged" in (r.value or b"")]
    assert len(loads) == cluster.partitions("journal")


def test_a_policy_reaches_every_shard_and_is_in_force(cluster: MemoryCluster) -> None:
    give(cluster, SET)
    metrics = run_through(cluster)
    events = [(r.partition, decode_event(r.value or b"")) for r in cluster.records("journal")]
    assert events == [(shard, PolicySet(version=0, policy=POLICY)) for shard in range(32)]
    (kept,) = cluster.records("policies")
    journal = JournalKept(topic_id=cluster.topic_id("journal"), partitions=32)
    expected = PolicyInForce(version=0, who="me", at_ms=77, journal=journal, policy=POLICY)
    assert PolicyInForce.decode(kept.value or b"") == expected
    assert metrics.registry.get_sample_value("refrain_policy_version") == 0


def test_a_load_reaches_every_shard_under_its_own_version(cluster: MemoryCluster) -> None:
    give(cluster, SET, LOAD)
    run_through(cluster)
    events = [decode_event(r.value or b"") for r in cluster.records("journal") if r.offset == 1]
    assert events == [LoadChanged(version=1, model="m", load=0.5, valid_until_ms=9)] * 32
    assert len(cluster.records("policies")) == 1


def test_a_policy_that_replaces_another_than_the_one_in_force_is_refused(cluster: MemoryCluster) -> None:
    again = SET.model_copy(update={"expected_version": 0})
    give(cluster, again, SET, again.model_copy(update={"expected_version": 1}), again)
    run_through(cluster)
    assert reasons(cluster) == ["stale_command", "stale_command"]
    assert [PolicyInForce.decode(r.value or b"").version for r in cluster.records("policies")] == [1, 2]


def test_the_version_in_force_is_known_after_a_restart(cluster: MemoryCluster) -> None:
    give(cluster, SET)
    run_through(cluster)
    give(cluster, SET.model_copy(update={"expected_version": 0}), SET.model_copy(update={"expected_version": 0}))
    run_through(cluster)
    assert reasons(cluster) == ["stale_command"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (b"junk", "unreadable"),
        (b'{"v":2,"kind":"PolicySet"}', "unknown_version"),
        (b'{"v":1,"kind":"Other"}', "bad_field"),
        (SET.encode().replace(b"chat", b"bad name"), "bad_field"),
        (LOAD.model_copy(update={"model": "unknown"}).encode(), "bad_field"),
        (b'{"v":1,"kind":"Invalidate","who":"me"}', "bad_field"),
        (b'{"v":1,"kind":"Invalidate","who":"me","keep_version":"2","tag":"t"}', "bad_field"),
        (JUDGE.encode(), "unknown_decision"),
        (Switch(who="me", on=False, category="unknown").encode(), "bad_field"),
    ],
)
def test_a_command_that_cannot_be_carried_out_is_kept_with_the_reason(
    cluster: MemoryCluster, command: bytes, reason: str
) -> None:
    give(cluster, SET, command)
    metrics = run_through(cluster)
    assert reasons(cluster) == [reason]
    assert cluster.records("dead-letters")[0].value == command
    assert len(cluster.records("journal")) == 32
    labels = {"processor": "govern", "reason": reason}
    assert metrics.registry.get_sample_value("refrain_refused_total", labels) == 1


def test_a_load_before_any_policy_is_refused(cluster: MemoryCluster) -> None:
    give(cluster, LOAD)
    run_through(cluster)
    assert reasons(cluster) == ["bad_field"]


def record_decision(cluster: MemoryCluster, **changed: Any) -> Decision:
    decision = DECISION.model_copy(update=changed)
    cluster.append([Outgoing("decisions", decision.id.encode(), decision.encode())])
    return decision


def test_each_kind_of_command_reaches_every_shard_in_order(cluster: MemoryCluster) -> None:
    record_decision(cluster)
    give(cluster, SET, Invalidate(who="me", tag="t"), JUDGE, Switch(who="me", on=False), LOAD)
    run_through(cluster)
    for shard in range(32):
        events = [decode_event(r.value or b"") for r in cluster.records("journal") if r.partition == shard]
        assert [type(event) for event in events] == [
            PolicySet,
            EntriesInvalidated,
            HitJudged,
            CacheSwitched,
            LoadChanged,
        ]
        assert [getattr(event, "version", None) for event in events] == list(range(5))
    assert cluster.records("dead-letters") == []


def test_a_judgement_says_what_the_decision_served(cluster: MemoryCluster) -> None:
    record_decision(cluster, id="another")
    record_decision(cluster)
    give(cluster, JUDGE)
    run_through(cluster)
    assert decode_event(cluster.records("journal")[0].value or b"") == HitJudged(
        version=0, decision_id="0-1-tag", correct=False, who="me", why="I looked", partition=1, category="chat",
        namespace="ab", entry_id="1-7", answer="cd", load=0.25,
    )  # fmt: skip


def test_a_judgement_of_a_decision_that_is_recorded_a_little_later_is_carried_out(cluster: MemoryCluster) -> None:
    give(cluster, JUDGE, LOAD)
    rounds = itertools.count()

    def until() -> bool:
        if next(rounds) == 3:
            record_decision(cluster)
        return committed_offset(cluster) == 2

    govern(cluster, until)
    assert len([r for r in cluster.records("journal") if isinstance(decode_event(r.value or b""), HitJudged)]) == 32
    assert reasons(cluster) == ["bad_field"], "there is no policy that names the model of the load"


class Scanned(MemoryCluster):
    """Counts how often `decisions` is scanned."""

    scans = 0

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        self.scans += topic == "decisions"
        return super().scan(topic, partition, start, stop=stop)


@pytest.mark.parametrize("count", [1, 150])
def test_judgements_of_what_is_not_there_hold_nobody_up_one_after_another(count: int) -> None:
    cluster = Scanned(lambda: 77)
    record_decision(cluster, id="another")
    give(cluster, *[JUDGE.model_copy(update={"decision_id": f"0-{number}-none"}) for number in range(count)])
    give(cluster, JUDGE.model_copy(update={"decision_id": "another"}), SET)
    run_through(cluster)
    assert reasons(cluster) == ["unknown_decision"] * count
    kinds = [type(decode_event(r.value or b"")) for r in cluster.records("journal") if r.partition == 0]
    assert kinds == [HitJudged, PolicySet], "those behind them are carried out, in their order"
    assert cluster.scans <= 4, "two batches of commands are looked for in as many scans, however many they are"


def test_a_judgement_that_names_the_place_of_its_decision_needs_no_scan() -> None:
    cluster = Failing(lambda: 77)
    cluster.decisions_are_away = True
    journal = cluster.topic_id("journal")
    for offset in range(400):
        made = DECISION.model_copy(update={"id": f"0-{offset}-tag", "journal": journal, "offset": offset})
        cluster.append([Outgoing("decisions", made.id.encode(), made.encode(), (), made.partition)])
    give(cluster, JUDGE.model_copy(update={"decision_id": "0-123-tag", "partition": 1, "offset": 123}))
    run_through(cluster)
    judged = decode_event(cluster.records("journal")[0].value or b"")
    assert isinstance(judged, HitJudged)
    assert judged.decision_id == "0-123-tag"


class Failing(MemoryCluster):
    """Fails as brokers do, as long as a test wants it to."""

    decisions_are_away = False
    journal_has_lost_a_shard = False

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        if self.decisions_are_away and topic == "decisions":
            raise ClusterFailed("no broker")
        return super().scan(topic, partition, start, stop=stop)

    def partitions(self, topic: str) -> int:
        return super().partitions(topic) + (self.journal_has_lost_a_shard and topic == "journal")


def test_a_judgement_that_cannot_be_looked_up_is_not_lost() -> None:
    cluster = Failing(lambda: 77)
    record_decision(cluster)
    give(cluster, JUDGE)
    cluster.decisions_are_away = True
    with pytest.raises(ClusterFailed):
        govern(cluster, lambda: False)
    assert committed_offset(cluster) == 0
    cluster.decisions_are_away = False
    run_through(cluster)
    assert len(cluster.records("journal")) == 32


def test_a_command_that_a_shard_does_not_get_reaches_none() -> None:
    cluster = Failing(lambda: 77)
    give(cluster, SET)
    cluster.journal_has_lost_a_shard = True
    with pytest.raises(SendFailed):
        govern(cluster, lambda: False)
    assert cluster.records("journal") == cluster.records("policies") == cluster.records("dead-letters") == []
    assert committed_offset(cluster) == 0
    cluster.journal_has_lost_a_shard = False
    run_through(cluster)
    assert len(cluster.records("journal")) == 32


def test_a_second_worker_takes_the_name_and_goes_on(cluster: MemoryCluster) -> None:
    give(cluster, SET, LOAD)
    govern(cluster, lambda: committed_offset(cluster) >= 1)
    run_through(cluster)
    assert [r.offset for r in cluster.records("journal") if r.partition == 0] == [0, 1]


def test_a_control_topic_with_more_partitions_stops_the_start() -> None:
    cluster = MemoryCluster(lambda: 0, {"control": 2, "policies": 1, "journal": 4, "decisions": 4, "dead-letters": 1})
    with pytest.raises(WrongSetup, match="one partition"):
        govern(cluster, lambda: True)


@pytest.mark.parametrize("topic", ["policies", "journal"])
def test_a_command_that_a_topic_does_not_take_is_refused_and_the_next_one_carried_out(
    cluster: MemoryCluster, topic: str
) -> None:
    large = SET.model_copy(
        update={"policy": POLICY.model_copy(update={"models": {f"m{n}": ModelPolicy() for n in range(99)}})}
    )
    give(cluster, SET, large, LOAD)
    cluster.configure(topic, max_bytes=8_000)
    metrics = run_through(cluster)
    assert reasons(cluster) == ["too_large"]
    assert len([r for r in cluster.records("journal") if b"LoadChanged" in (r.value or b"")]) == 32
    assert metrics.registry.get_sample_value("refrain_policy_version") == 0


def test_without_a_topic_no_command_is_refused_and_the_worker_ends(cluster: MemoryCluster) -> None:
    give(cluster, SET)

    def until() -> bool:
        if committed_offset(cluster) == 1 and not gone:
            gone.append(True)
            cluster.delete("journal")
            give(cluster, LOAD)
        return False

    gone: list[bool] = []
    with pytest.raises(SendFailed, match="journal"):
        govern(cluster, until)
    assert reasons(cluster) == []


def test_commands_that_are_read_again_put_no_earlier_policy_in_force(cluster: MemoryCluster) -> None:
    later = SET.model_copy(update={"policy": Policy(categories={"chat": CategoryPolicy(cache="never")})})
    give(cluster, SET, later)
    run_through(cluster)
    before = len(cluster.records("policies"))
    cluster.group("control", "govern").offsets.clear()
    give(cluster, LOAD)
    run_through(cluster)
    assert len(cluster.records("policies")) == before == 2
    assert reasons(cluster)[:2] == ["stale_command", "stale_command"]
