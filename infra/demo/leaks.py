"""Leak search: finds given texts in topics and files, to show that uncacheable text is stored nowhere."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from refrain.streams.kafka.config import connection
from refrain.streams.kafka.convert import record_of
from refrain.streams.kafka.passing import assigned
from refrain.streams.kafka.raw_fetch import raw_fetch
from refrain.streams.settings import Settings

READ_S = 10.0
"""Longest wait for anything at all."""
WAIT_S = 0.2


def topics_with(settings: Settings, texts: Iterable[str]) -> dict[str, set[str]]:
    """The texts found in each topic under the prefix, in values, keys and headers of records, aborted ones too.

    Topics without any are absent; names are without the prefix.
    """
    needles = _needles(texts)
    found: dict[str, set[str]] = {}
    for message in _all_records(settings):
        data = b"\n".join(_parts(message))
        for text, forms in needles.items():
            if any(form in data for form in forms):
                found.setdefault((message.topic() or "").removeprefix(settings.prefix), set()).add(text)
    return found


def files_with(folders: Iterable[Path], texts: Iterable[str]) -> dict[Path, set[str]]:
    """The texts found in each file below the folders."""
    needles = _needles(texts)
    found: dict[Path, set[str]] = {}
    for path in (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()):
        data = path.read_bytes()
        hits = {text for text, forms in needles.items() if any(form in data for form in forms)}
        if hits:
            found[path] = hits
    return found


def _needles(texts: Iterable[str]) -> dict[str, set[bytes]]:
    """Each text as it may stand in bytes: plain, and as JSON within JSON."""
    return {
        text: {text.encode(), json.dumps(text)[1:-1].encode(), json.dumps(json.dumps(text)[1:-1])[1:-1].encode()}
        for text in texts
    }


def _parts(message: Message) -> Iterator[bytes]:
    for part in (message.value(), message.key()):
        if isinstance(part, bytes):
            yield part
    for name, value in record_of("", message).headers:
        yield name.encode()
        if value is not None:
            yield value


def _all_records(settings: Settings) -> Iterator[Message]:
    consumer = Consumer(
        {
            **connection(settings),
            "group.id": f"{settings.prefix}traces",
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
        }
    )
    try:
        topics = consumer.list_topics(timeout=READ_S).topics
        places = [
            TopicPartition(name, number, consumer.get_watermark_offsets(TopicPartition(name, number), READ_S)[0])
            for name, topic in topics.items()
            if name.startswith(settings.prefix)
            for number in topic.partitions
        ]
        names = {place.topic: place.topic.removeprefix(settings.prefix) for place in places}
        passing = assigned(consumer, names, raw_fetch(settings), places)
        at_end: set[tuple[str | None, int | None]] = set()
        until = time.monotonic() + READ_S
        while len(at_end) < len(places):
            # A batch that does not fill waits for as long as it may.
            batch = consumer.consume(1_000, WAIT_S)
            heard = passing.hear(batch)
            until = time.monotonic() + READ_S if batch or heard.flawed else until
            if time.monotonic() > until:
                raise KafkaException(f"the topics under {settings.prefix} could not be read to their ends")
            for message in heard.messages:
                if message.error() is None:
                    yield message
                else:
                    at_end.add((message.topic(), message.partition()))
    finally:
        consumer.close()
