"""Checks of `refrain doctor` that ask the cluster: brokers, controller, replicas, topics, policy, lag.

None of them says that all is well while replicas are short, nor advises to ask for fewer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from refrain.ops.cluster.connection import AWAY, client, create_client, reach, unreachable
from refrain.ops.observe.findings import Finding
from refrain.ops.observe.replicas import partitions_of, summarise
from refrain.ops.terminal import output
from refrain.streams import time_of_day
from refrain.streams.errors import RefrainError, WrongSetup

if TYPE_CHECKING:
    from confluent_kafka.admin import BrokerMetadata, ClusterMetadata

    from refrain.ops.observe.deadline import Deadline
    from refrain.ops.observe.replicas import ReplicaState
    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings

BROKER_MS_WARN = 500.0
LETTERS_MS = 3_600_000
BROKER_S = 1.5
"""How long a broker may take to show that it is there."""
ASK_S = 3.0
"""How long one question may take."""
START_BROKERS = "start the brokers that are missing; until then a further loss stops every write"


@dataclass(frozen=True)
class Brokers:
    """The brokers that the cluster tells of, and those of them that answer by themselves."""

    metadata: ClusterMetadata
    answering: frozenset[int]
    took_ms: float
    """How long the first answer took."""

    @property
    def known(self) -> frozenset[int]:
        """Ids of all brokers that are known of."""
        return frozenset(self.metadata.brokers)

    @property
    def addresses(self) -> str:
        """Where those are that answer, as bootstrap servers."""
        there = (one for one in self.metadata.brokers.values() if one.id in self.answering)
        return ",".join(f"{one.host}:{one.port}" for one in there)


def checks(brokers: Brokers, settings: Settings) -> dict[str, Callable[[], list[Finding]]]:
    """The checks that ask the cluster, by name. They share its clients: each of their own connects to every broker.

    The clients know the brokers that answer: one that is frozen holds a question for all the time there is. Without a
    single topic of Refrain's there is nothing more to ask.
    """
    from refrain.ops.observe import doctor_snapshots
    from refrain.ops.observe.route_keys import routes
    from refrain.schemas.topics import GROUPS, TOPICS
    from refrain.streams.kafka.cluster import KafkaCluster

    given, settings = settings, settings.model_copy(update={"kafka": brokers.addresses or settings.kafka})
    admin, cluster = create_client(AdminClient, client(settings)), KafkaCluster(settings)
    looks: dict[str, Callable[[], list[Finding]]] = {
        "broker": partial(broker, brokers, given),
        "controller": partial(controller, admin, settings),
        "replicas": partial(replicas, brokers, settings),
        "topics": partial(topics, admin, brokers, settings),
    }
    if all(settings.prefix + topic.name not in brokers.metadata.topics for topic in TOPICS):
        return looks
    looks |= {
        "policy": partial(policy, cluster),
        "shards": partial(shards, cluster),
        doctor_snapshots.CHECK: partial(doctor_snapshots.snapshots, settings, cluster),
        "routes": partial(routes, admin, settings, cluster),
        "dead letters": partial(dead_letters, cluster),
        "model calls": partial(model_calls, cluster),
        "positions": partial(positions, admin, cluster, settings),
    }
    for group, named in GROUPS.items():
        read = _read_by(group, named, settings)
        for topic in read:
            name = f"lag of {group}" + ("" if len(read) == 1 else f", {topic}")
            looks[name] = partial(lag, admin, cluster, settings, group, topic)
    return looks


def _read_by(group: str, named: str, settings: Settings) -> tuple[str, ...]:
    """The topics that a group reads; `named` is that of the table, and classify's are chosen."""
    return settings.classify.request_topics if group == "classify" else (named,)


def ask_brokers(admin: AdminClient, settings: Settings, deadline: Deadline) -> Brokers:
    """Ask every broker whether it is there: without a controller the others go on telling of one that is not.

    Raises ClusterFailed.
    """
    started = time.perf_counter()
    found = _metadata(admin, settings)
    took_ms = (time.perf_counter() - started) * 1_000
    answers = {one.id: threading.Event() for one in found.brokers.values()}
    for one in found.brokers.values():
        threading.Thread(target=_ask_broker, args=(settings, one, answers[one.id]), daemon=True).start()
    own = deadline.within(BROKER_S + 0.5)
    return Brokers(found, frozenset(number for number, answer in answers.items() if own.sees(answer)), took_ms)


def _ask_broker(settings: Settings, broker: BrokerMetadata, answer: threading.Event) -> None:
    try:
        reach(settings.model_copy(update={"kafka": f"{broker.host}:{broker.port}"}), BROKER_S)
    except RefrainError:
        return
    answer.set()


def broker(brokers: Brokers, settings: Settings) -> list[Finding]:
    """Are the brokers there, and how fast does one answer?"""
    away = sorted((brokers.known | set(replicas_of(brokers, settings).missing)) - brokers.answering)
    count = output.counted(len(brokers.answering), "broker")
    seen = f"{settings.kafka}: {count}, answers in {brokers.took_ms:.1f} ms"
    if away:
        names = ", ".join(f"broker {number}" for number in away)
        few = len(brokers.answering) < settings.min_insync
        return [Finding("broker", "fail" if few else "warn", f"{seen}; away: {names}", START_BROKERS)]
    if len(brokers.answering) < settings.replication:
        wanted = f"`replication` keeps each record on {settings.replication}: start or add as many brokers"
        return [Finding("broker", "fail", seen, wanted)]
    if brokers.took_ms > BROKER_MS_WARN:
        return [Finding("broker", "warn", seen, "every hop takes at least this long: move the workers nearer to it")]
    return [Finding("broker", "ok", seen)]


def controller(admin: AdminClient, settings: Settings) -> list[Finding]:
    """Does an active controller answer? It is asked whether a topic could be made: whatever it says will do."""
    asked = NewTopic(settings.prefix + "journal", num_partitions=1, replication_factor=1)
    try:
        [answer] = admin.create_topics([asked], validate_only=True, request_timeout=ASK_S).values()
        answer.result()
    except KafkaException as problem:
        if problem.args[0].code() in AWAY:
            return [Finding("controller", "fail", f"none is active ({problem.args[0].str()})",
                         "start the controllers that are missing: without most of them no leader moves")]  # fmt: skip
    return [Finding("controller", "ok", "one is active")]


def replicas(brokers: Brokers, settings: Settings) -> list[Finding]:
    """Has every partition all its replicas?"""
    state = replicas_of(brokers, settings)
    if not state.partitions:
        return []
    if state.leaderless or state.below_minimum:
        return [Finding("replicas", "fail", str(state), "start the brokers that are missing")]
    if state.is_short:
        return [Finding("replicas", "warn", str(state), START_BROKERS)]
    return [Finding("replicas", "ok", f"all {state.partitions} partitions have theirs in sync")]


def topics(admin: AdminClient, brokers: Brokers, settings: Settings) -> list[Finding]:
    """Are the topics as the table wants them?"""
    from refrain.ops.topics.admin import compare, describe
    from refrain.streams.kafka.aim import aim

    if brokers.known - brokers.answering:
        # Else it may be asked of one that is away, until all the time is over.
        aim(admin)
    found = describe(admin, settings)
    findings = compare(found, settings)
    if all(not row.partitions for row in found.values()):
        return [Finding("topics", "fail", f"none exists under the prefix {settings.prefix!r}",
                     "run `refrain topics create`, or set REFRAIN_PREFIX; then look again")]  # fmt: skip
    rows = [Finding("topics", "fail" if f.serious else "warn", f"{f.topic}: {f.problem}", f.remedy) for f in findings]
    if rows:
        return rows
    seen = f"{len(found)} topics, {found['journal'].partitions} shards"
    if replicas_of(brokers, settings).is_short:
        return [Finding("topics", "warn", f"{seen}, short of replicas", START_BROKERS)]
    return [Finding("topics", "ok", seen)]


def policy(cluster: Cluster) -> list[Finding]:
    """Is a policy in force, has the journal as many partitions as its shards had, and are commands taken?"""
    from refrain.ops.cluster.resume import CONTROL, last_version, why_ignored
    from refrain.streams.messaging.shards import check_kept
    from refrain.streams.runtime.policy_follower import PolicyWatch

    found = PolicyWatch(cluster).latest()
    if found is None:
        return [
            Finding("policy", "warn", "none is in force, so nothing is cached", "run `refrain policies apply FILE`")
        ]
    try:
        check_kept(found, cluster.topic_id("journal"), cluster.partitions("journal"))
    except WrongSetup as problem:
        what, _, remedy = str(problem).partition("; ")
        return [Finding("policy", "fail", what, remedy)]
    ignored = why_ignored(cluster.end(CONTROL, 0), last_version(cluster, found, all_shards=False))
    if ignored is not None:
        do = "run `refrain policies resume`, then give again what was refused or not acknowledged"
        return [Finding("policy", "fail", ignored, do)]
    return [Finding("policy", "ok", f"version {found.version} with {len(found.policy.categories)} categories")]


def lag(admin: AdminClient, cluster: Cluster, settings: Settings, group: str, topic: str) -> list[Finding]:
    """Does a group keep up with its topic?"""
    from refrain.ops.cluster.lag import behind
    from refrain.ops.observe.lag_findings import lag_findings

    found = behind(admin, settings, group, topic, cluster.ends)
    return lag_findings(settings, group, topic, found, time_of_day.now_ms())


def positions(admin: AdminClient, cluster: Cluster, settings: Settings) -> list[Finding]:
    """Were the positions of the groups committed by workers, and of the topics that are there?"""
    from refrain.ops.cluster.lag import notes_of
    from refrain.ops.observe.position_findings import position_findings
    from refrain.schemas.topics import GROUPS

    read = [
        (group, topic, cluster.partitions(topic))
        for group, named in GROUPS.items()
        for topic in _read_by(group, named, settings)
    ]
    notes = notes_of(admin, settings, read)
    return position_findings(notes, cluster.topic_id("journal"), cluster.topic_id("documents"), time_of_day.now_ms())


def shards(cluster: Cluster) -> list[Finding]:
    """Is a shard stopped, or does all that they keep belong to another journal?"""
    from refrain.ops.cluster.last_commit import recorded_journal_id
    from refrain.ops.observe.stats import StatsReports
    from refrain.streams.lookup.remedies import remedy

    if recorded_journal_id(cluster) != cluster.topic_id("journal"):
        seen = "`documents` is of another journal than the one that is there: no shard starts, and nothing is answered"
        return [Finding("shards", "fail", seen, "make `documents` anew too: delete it, then `refrain topics create`")]
    reports = StatsReports(cluster).reports()
    rows = [
        Finding("shards", "fail",
                f"shard {partition} is stopped at offset {told.position}: {told.reason.value} (offset {told.offset})",
                remedy(partition, told.reason))
        for partition, told in sorted((p, each.stopped) for p, each in reports.items() if each.stopped is not None)
    ]  # fmt: skip
    return rows or [Finding("shards", "ok", "none is stopped")]


def model_calls(cluster: Cluster) -> list[Finding]:
    """Do calls of the models fail?"""
    from refrain.ops.observe.model_calls import findings_of, read_calls

    return findings_of(read_calls(cluster, time_of_day.now_ms()))


def dead_letters(cluster: Cluster) -> list[Finding]:
    """What could not be taken in the last hour?"""
    from refrain.ops.letters.letter import count_codes
    from refrain.ops.letters.topic import read_since

    counts = count_codes(read_since(cluster, time_of_day.now_ms() - LETTERS_MS))
    if not counts:
        return [Finding("dead letters", "ok", f"none in the last {output.span(LETTERS_MS)}")]
    told = ", ".join(f"{count} {code} by {by}" for (by, code), count in counts.items())
    seen = f"{sum(counts.values())} in the last {output.span(LETTERS_MS)}: {told}"
    return [Finding("dead letters", "warn", seen, "see `refrain dead-letters list`")]


def _metadata(admin: AdminClient, settings: Settings) -> ClusterMetadata:
    try:
        return admin.list_topics(timeout=ASK_S)
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem


def replicas_of(brokers: Brokers, settings: Settings) -> ReplicaState:
    """The replicas of all partitions, by the brokers that answer."""
    return summarise(partitions_of(brokers.metadata, settings), brokers.answering, settings.min_insync)
