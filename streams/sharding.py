"""How many shards there are: the partitions of `journal`, and as many of `documents`."""

from __future__ import annotations

from streams.errors import WrongSetup
from streams.log import Log


def shards_of(log: Log) -> int:
    """The number of shards. Raises WrongSetup when a topic is missing or their partitions differ."""
    journal, documents = log.partitions("journal"), log.partitions("documents")
    if journal != documents:
        raise WrongSetup(
            f"journal has {journal} partitions and documents {documents}: a shard is one of each, so they must be the"
            " same. Delete the one that is wrong and run `refrain topics create`"
        )
    return journal
