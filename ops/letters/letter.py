"""Dead letters as their headers tell of them, and the records that they came from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from refrain.schemas.dead_letters import (
    HEADER_ID,
    HEADER_LEFT_OUT,
    HEADER_OFFSET,
    HEADER_PARTITION,
    HEADER_PROCESSOR,
    HEADER_REASON,
    HEADER_TARGET,
    HEADER_TOPIC,
    HEADERS,
)
from refrain.streams.errors import BadInput
from refrain.streams.kafka.interface import Outgoing, Record

AGAIN = ("requests", "forwards", "completions", "load", "control", "doubts", "observations")
"""Topics whose records may be sent again; what other topics hold is written by shards and `govern` alone."""
_OWN_HEADERS = frozenset((*HEADERS, HEADER_LEFT_OUT, HEADER_TARGET))


class LetterPlace(NamedTuple):
    """The place of a letter in `dead-letters`: its id, written PARTITION-OFFSET."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}-{self.offset}"


def read_place(text: str) -> LetterPlace:
    """The place that an id names. Raises ValueError."""
    partition, dash, offset = text.strip().partition("-")
    if not (dash and partition.isdecimal() and offset.isdecimal()):
        raise ValueError(
            f"{text!r} is no id of a dead letter: write PARTITION-OFFSET as `refrain dead-letters list` does"
        )
    return LetterPlace(int(partition), int(offset))


@dataclass(frozen=True)
class Letter:
    """A dead letter: where it lies, what it was, and why it was set aside."""

    record: Record

    @property
    def place(self) -> LetterPlace:
        """Its own place in `dead-letters`."""
        return LetterPlace(self.record.partition, self.record.offset)

    @property
    def letter_id(self) -> str:
        """The same for a letter that was written twice; empty for what could not be sent, and for older letters."""
        return self._header(HEADER_ID)

    @property
    def code(self) -> str:
        """The code of the reason, without its words."""
        return self._header(HEADER_REASON).partition(":")[0] or "-"

    @property
    def processor(self) -> str:
        """The processor that set it aside."""
        return self._header(HEADER_PROCESSOR) or "-"

    @property
    def topic(self) -> str:
        """The topic that it came from, or that did not take it."""
        return self._header(HEADER_TOPIC) or self._header(HEADER_TARGET) or "-"

    @property
    def source(self) -> str:
        """The topic, partition and offset that it came from; of what could not be sent the topic alone."""
        if not self._header(HEADER_TOPIC):
            return f"for {self.topic}"
        return f"{self.topic}[{self._header(HEADER_PARTITION)}]@{self._header(HEADER_OFFSET)}"

    def about(self) -> dict[str, Any]:
        """What may be shown to anybody: no word of what was sent."""
        value = self.record.value
        return {
            "id": str(self.place),
            "at_ms": self.record.timestamp_ms,
            "processor": self.processor,
            "code": self.code,
            "source": self.source,
            "value_bytes": None if value is None else len(value),
            "key_bytes": None if self.record.key is None else len(self.record.key),
            "headers": len(self._original_headers()),
            "left_out": self._header(HEADER_LEFT_OUT) or None,
        }

    def text(self) -> dict[str, Any]:
        """What was sent, and the reason in its words, which may quote it."""
        return {
            "reason": self._header(HEADER_REASON),
            "key": _shown(self.record.key),
            "value": _shown(self.record.value),
            "headers": {name: _shown(value) for name, value in self._original_headers()},
        }

    def original(self) -> Outgoing:
        """The record to send again, as it came. Raises BadInput for one that is not kept whole or not for that."""
        topic = self._header(HEADER_TOPIC)
        if not topic:
            raise BadInput(f"{self.place} holds digests of what could not be sent: it cannot be sent again")
        if topic not in AGAIN and not topic.startswith("requests."):
            raise BadInput(f"{self.place} is of {topic}, which only Refrain itself writes: it is not sent again")
        left_out = self._header(HEADER_LEFT_OUT)
        if self.record.value is None or left_out:
            raise BadInput(
                f"{self.place} does not hold the whole record ({left_out or 'no text was kept'}): ask its sender"
            )
        return Outgoing(topic, self.record.key, self.record.value, self._original_headers())

    def _original_headers(self) -> tuple[tuple[str, bytes | None], ...]:
        return tuple(pair for pair in self.record.headers if pair[0] not in _OWN_HEADERS)

    def _header(self, name: str) -> str:
        # The last one: an original may have had headers of these names.
        values = [value for header, value in self.record.headers if header == name]
        return (values[-1] or b"").decode("utf-8", "replace") if values else ""


@dataclass(frozen=True)
class LetterFilter:
    """Filter of letters; None takes all."""

    code: str | None = None
    topic: str | None = None
    processor: str | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        pairs = ((self.code, letter.code), (self.topic, letter.topic), (self.processor, letter.processor))
        return all(want in (None, have) for want, have in pairs)


def each_once(letters: Iterable[Letter]) -> Iterator[Letter]:
    """Leave out what was written twice: the first one stands for it."""
    seen: set[str] = set()
    for letter in letters:
        if letter.letter_id not in seen:
            yield letter
        if letter.letter_id:
            seen.add(letter.letter_id)


def count_codes(letters: Iterable[Letter]) -> Mapping[tuple[str, str], int]:
    """How many letters each processor set aside for each code, in order."""
    counts: dict[tuple[str, str], int] = {}
    for letter in letters:
        key = (letter.processor, letter.code)
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items()))


def _shown(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")
