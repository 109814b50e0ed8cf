"""The tail of the real cluster: reads what is appended to partitions from an offset on, in no group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import Consumer as ConfluentConsumer

from refrain.streams.kafka.convert import record_of
from refrain.streams.kafka.following import Following
from refrain.streams.kafka.interface import Record
from refrain.streams.kafka.raw_fetch import Fetch


class KafkaTail:
    """Reads partitions from the offsets of `starts` on, by topic and partition, as `Following` does.

    In place of a batch that nobody can read it gives a record with a `flaw`.
    """

    def __init__(
        self,
        base: Mapping[str, Any],
        prefix: str,
        starts: Mapping[tuple[str, int], int],
        name: str,
        fetch: Fetch,
        *,
        of_all: Collection[str] = (),
        describe: Callable[[str], Future[Any]] | None = None,
        partitions: Callable[[str], int] | None = None,
    ) -> None:
        """`of_all`, `describe` and `partitions` are as those of `Following`."""
        config = {
            **base,
            # Named because a consumer must name one; it joins none.
            "group.id": prefix + name,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "latest",
            "fetch.wait.max.ms": 50,
            "fetch.error.backoff.ms": 20,
        }
        self._following = Following(
            lambda: ConfluentConsumer(config),
            prefix,
            starts,
            fetch,
            of_all=of_all,
            describe=describe,
            partitions=partitions,
        )

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        heard = self._following.poll(max_records, timeout_s)
        records = [record_of(self._following.topic_of(message.topic()), message) for message in heard.messages]
        return [*records, *heard.flawed]

    def lag(self) -> dict[tuple[str, int], int]:
        return self._following.lag()

    def close(self) -> None:
        self._following.close()
