"""Topic administration: creates, describes and compares the topics of the table on a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from refrain.ops.cluster.connection import unreachable
from refrain.ops.topics.table import topics_of
from refrain.schemas.topics import SHARDED, Topic
from refrain.streams.errors import ClusterFailed, Forbidden, WrongSetup

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

ADMIN_S = 15.0
SEEN_S = 60.0
"""How long topics that were just made may take to be known everywhere: a busy broker makes a few a second."""
LOOK_S_MIN, LOOK_S_MAX = 0.05, 1.0
"""Between two looks whether they are, the pause that grows."""
COMPARED = ("cleanup.policy", "retention.ms", "max.message.bytes", "message.timestamp.type", "delete.retention.ms")

COPIED = (*COMPARED, "min.insync.replicas")


@dataclass(frozen=True)
class TopicState:
    """State of a topic on the cluster; `partitions` of 0 says that it is missing."""

    name: str
    partitions: int = 0
    replication: int = 0
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mismatch:
    """Mismatch of a topic with the table, and the way to mend it. Not `serious`: a worker still starts."""

    topic: str
    problem: str
    remedy: str
    serious: bool = True


def planned(settings: Settings, partitions_journal: int | None = None) -> list[NewTopic]:
    """The topics of the table as they are created."""
    return [
        NewTopic(
            settings.prefix + topic.name,
            num_partitions=count_of(topic, partitions_journal),
            replication_factor=settings.replication,
            config={**topic.config(), "min.insync.replicas": str(settings.min_insync)},
        )
        for topic in topics_of(settings)
    ]


def count_of(topic: Topic, partitions_journal: int | None) -> int:
    """Partition count of a new topic; those of a shard always the same number."""
    return partitions_journal if partitions_journal and topic.name in SHARDED else topic.partitions


def create_missing(admin: AdminClient, settings: Settings, partitions_journal: int | None = None) -> dict[str, bool]:
    """Create missing topics; returns of each whether it was created now. Raises WrongSetup or ClusterFailed.

    Those of a shard get as many partitions as the first of them that exists (`SHARDED`).
    """
    there = describe(admin, settings)
    fixed = next((there[name].partitions for name in SHARDED if there[name].partitions), partitions_journal)
    wanted = planned(settings, fixed)
    made: dict[str, bool] = {}
    for name, future in admin.create_topics(wanted, operation_timeout=ADMIN_S, request_timeout=ADMIN_S).items():
        try:
            future.result()
            made[name] = True
        except KafkaException as problem:
            error: KafkaError = problem.args[0]
            if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _refused(name, settings, problem) from problem
            made[name] = False
    await_served(admin, list(made))
    return made


def create_like(admin: AdminClient, settings: Settings, prefix: str, changed: Mapping[str, Mapping[str, str]]) -> None:
    """Create the topics of the table under another prefix, as they are under the prefix of the settings.

    Those that are there already are left as they are. `changed` has by topic the settings that are to be others. Raises
    ClusterFailed, Forbidden or WrongSetup.
    """
    wanted = [
        NewTopic(
            prefix + name,
            num_partitions=row.partitions,
            replication_factor=row.replication,
            config={key: row.config[key] for key in COPIED if key in row.config} | dict(changed.get(name, {})),
        )
        for name, row in describe(admin, settings).items()
        if row.partitions
    ]
    _create(admin, settings, wanted)


def create_planned(
    admin: AdminClient, settings: Settings, partitions_journal: int, changed: Mapping[str, Mapping[str, str]]
) -> None:
    """Create the topics of the table under the prefix of the settings, with so many shards.

    Those that are there already are left as they are. `changed` has by topic the settings that are to be others. Raises
    ClusterFailed, Forbidden or WrongSetup.
    """
    wanted = planned(settings, partitions_journal)
    for topic in wanted:
        topic.config = {**(topic.config or {}), **changed.get(topic.topic.removeprefix(settings.prefix), {})}
    _create(admin, settings, wanted)


def _create(admin: AdminClient, settings: Settings, wanted: list[NewTopic]) -> None:
    for name, future in admin.create_topics(wanted, operation_timeout=ADMIN_S, request_timeout=ADMIN_S).items():
        try:
            future.result()
        except KafkaException as problem:
            if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _refused(name, settings, problem) from problem
    await_served(admin, [topic.topic for topic in wanted])


def describe(admin: AdminClient, settings: Settings) -> dict[str, TopicState]:
    """Describe every topic of the table, by its name in the table. Raises ClusterFailed."""
    names = {settings.prefix + topic.name: topic.name for topic in topics_of(settings)}
    found: dict[str, TopicState] = {}
    try:
        for name, future in admin.describe_topics(TopicCollection(list(names)), request_timeout=ADMIN_S).items():
            try:
                described = future.result()
            except KafkaException as problem:
                if problem.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
                found[names[name]] = TopicState(name)
                continue
            replicas = min((len(p.replicas) for p in described.partitions), default=0)
            found[names[name]] = TopicState(name, len(described.partitions), replicas)
        there = [row for row in found.values() if row.partitions]
        configs = _configs(admin, [row.name for row in there])
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem
    return {key: TopicState(row.name, row.partitions, row.replication, configs.get(row.name, {})) for key, row in
            found.items()}  # fmt: skip


def compare(found: Mapping[str, TopicState], settings: Settings) -> list[Mismatch]:
    """Compare topics with the table: mismatches in the order of the table. Pure."""
    findings: list[Mismatch] = []
    for topic in topics_of(settings):
        row = found.get(topic.name, TopicState(settings.prefix + topic.name))
        if not row.partitions:
            findings.append(Mismatch(row.name, "missing", "run `refrain topics create`"))
            continue
        findings += _compare_one(topic, row, settings)
    return [*findings, *_compare_shards(found)]


def _compare_one(topic: Topic, row: TopicState, settings: Settings) -> Iterable[Mismatch]:
    wanted = {"min.insync.replicas": str(settings.min_insync), **topic.config()}
    for key, value in wanted.items():
        actual = row.config.get(key)
        if actual is not None and actual != value:
            yield Mismatch(
                row.name,
                f"{key} is {actual}, not {value}",
                f"kafka-configs.sh --alter --entity-type topics --entity-name {row.name} --add-config {key}={value}",
                serious=key in COMPARED,
            )
    if row.replication < settings.replication:
        yield Mismatch(
            row.name,
            f"{row.replication} replicas, not {settings.replication}",
            "give its partitions more replicas (kafka-reassign-partitions.sh)",
            serious=False,
        )
    if topic.partitions == 1 and row.partitions != 1:
        yield Mismatch(row.name, f"{row.partitions} partitions, not 1",
                      "its order is lost: delete it and run `refrain topics create`")  # fmt: skip


def _compare_shards(found: Mapping[str, TopicState]) -> Iterator[Mismatch]:
    """Compare the counts of partitions of the topics of a shard, as far as there are any."""
    there = {name: found[name] for name in SHARDED if name in found and found[name].partitions}
    journal, documents, decisions = (there.get(name) for name in SHARDED)
    if journal and documents and journal.partitions != documents.partitions:
        yield Mismatch(
            journal.name,
            f"{journal.partitions} partitions, but {documents.name} has {documents.partitions}",
            "both must have the same number: delete both (the cache starts empty) and run"
            " `refrain topics create --partitions-journal N`",
        )
        # How many `decisions` needs is known when that is done.
        return
    if journal and decisions and journal.partitions != decisions.partitions:
        yield Mismatch(
            decisions.name,
            f"{decisions.partitions} partitions, but {journal.name} has {journal.partitions}",
            _as_many(decisions, journal.partitions),
        )


def _as_many(decisions: TopicState, shards: int) -> str:
    """How `decisions` gets a partition a shard: some are added; they cannot be taken away."""
    if decisions.partitions < shards:
        return f"add some, nothing is lost: kafka-topics.sh --alter --topic {decisions.name} --partitions {shards}"
    return (
        "partitions cannot be taken away: save what it holds"
        " (`refrain watch decisions --from-start --json`), delete it and run `refrain topics create`"
    )


def _configs(admin: AdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    futures = admin.describe_configs(asked, request_timeout=ADMIN_S)
    return {
        resource.name: {key: str(entry.value) for key, entry in future.result().items()}
        for resource, future in futures.items()
    }


def await_served(admin: AdminClient, names: Sequence[str]) -> None:
    """Wait until the brokers serve every partition of new topics: workers start right after. Raises ClusterFailed."""
    deadline = time.monotonic() + SEEN_S
    pause_s = LOOK_S_MIN
    while not _is_served(admin, names):
        if time.monotonic() > deadline:
            raise ClusterFailed("the topics were made but are not served yet: wait a moment and run it again")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LOOK_S_MAX)


def _is_served(admin: AdminClient, names: Sequence[str]) -> bool:
    known = admin.list_topics(timeout=ADMIN_S).topics
    if not all(name in known and known[name].error is None for name in names):
        return False
    places = [TopicPartition(name, number) for name in names for number in known[name].partitions]
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    try:
        for future in admin.list_offsets(dict.fromkeys(places, latest), request_timeout=ADMIN_S).values():
            if future.result().offset < 0:
                return False
    except KafkaException:
        return False
    return True


def _refused(name: str, settings: Settings, problem: KafkaException) -> Exception:
    error: KafkaError = problem.args[0]
    if error.code() in (KafkaError.INVALID_REPLICATION_FACTOR, KafkaError.POLICY_VIOLATION):
        return WrongSetup(
            f"{name} cannot be created: {error.str()}: start or add brokers, as many as `replication` says"
        )
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return Forbidden(
            f"{name} cannot be created: this user may not: grant what `refrain topics acls --role operators` prints,"
            " or have it created by one who may"
        )
    return unreachable(settings, problem)
