"""Topics of a test's own making."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from refrain.ops.topics.admin import await_served

ADMIN_S = 15.0


def make_topic(admin: AdminClient, name: str, partitions: int, **config: str) -> None:
    """Create a topic and wait until the broker serves it: it acknowledges a little before that."""
    settings = {key.replace("_", "."): value for key, value in config.items()}
    admin.create_topics([NewTopic(name, partitions, config=settings)])[name].result(ADMIN_S)
    await_served(admin, [name])
