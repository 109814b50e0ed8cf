"""Topics of a bench: under a prefix of their own, and removed afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from refrain.ops.cluster.connection import reach
from refrain.ops.topics.admin import create_missing
from refrain.streams import time_of_day
from refrain.streams.settings import Settings


@contextmanager
def own_topics(settings: Settings, name: str, partitions: int) -> Iterator[Settings]:
    """Topics with so many shards, removed afterwards, and the settings for them. Raises Unreachable."""
    admin = reach(settings)
    prefix = f"{name}-{time_of_day.now_ms():x}."
    folder = settings.state_dir.absolute() / prefix.strip(".")
    folder.mkdir(parents=True, exist_ok=True)
    mine = settings.model_copy(update={"prefix": prefix, "state_dir": folder})
    create_missing(admin, mine, partitions)
    try:
        yield mine
    finally:
        names = [name for name in admin.list_topics(timeout=15).topics if name.startswith(prefix)]
        for future in admin.delete_topics(names, operation_timeout=15).values():
            future.result()
