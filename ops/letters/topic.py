"""`dead-letters` on the cluster: read from a moment on, found by place, sent again, dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from refrain.ops.letters.letter import Letter, LetterPlace, each_once
from refrain.streams.errors import BadInput
from refrain.streams.kafka.interface import Outgoing

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings

TOPIC = "dead-letters"
ADMIN_S = 15.0


def read_since(cluster: Cluster, since_ms: int) -> Iterator[Letter]:
    """The letters written since then, each once, partition by partition, oldest first.

    Raises WrongSetup or ClusterFailed.
    """
    return each_once(_written_since(cluster, since_ms))


def _written_since(cluster: Cluster, since_ms: int) -> Iterator[Letter]:
    for partition, start in sorted(cluster.offsets_at(TOPIC, max(0, since_ms)).items()):
        for record in cluster.scan(TOPIC, partition, start):
            yield Letter(record)


def find(cluster: Cluster, places: Iterable[LetterPlace]) -> list[Letter]:
    """The letters at these places, in their order. Raises BadInput for a place that holds none."""
    ends = cluster.ends(TOPIC)
    letters = []
    with closing(cluster.reader(TOPIC)) as reader:
        for place in places:
            first, end = ends.get(place.partition, (0, 0))
            found = reader.read(place.partition, place.offset, 1) if first <= place.offset < end else []
            if not found or found[0].offset != place.offset:
                raise BadInput(f"no dead letter lies at {place}: see `refrain dead-letters list`")
            letters.append(Letter(found[0]))
    return letters


def send_again(cluster: Cluster, records: Sequence[Outgoing]) -> None:
    """Send records to the topics that they came from. Raises SendFailed, RecordsRefused or Forbidden."""
    producer = cluster.producer()
    try:
        producer.send(records)
    finally:
        producer.close()


def drop_through(admin: AdminClient, settings: Settings, places: Sequence[LetterPlace]) -> None:
    """Delete each of these letters and all that lie before it. Raises ClusterFailed or Forbidden."""
    from confluent_kafka import KafkaException, TopicPartition

    from refrain.ops.cluster.connection import unreachable

    name = settings.prefix + TOPIC
    asked = [TopicPartition(name, place.partition, place.offset + 1) for place in places]
    try:
        for future in admin.delete_records(asked, request_timeout=ADMIN_S).values():
            future.result()
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem
