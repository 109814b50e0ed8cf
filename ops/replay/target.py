"""Where a replay writes: topics of another prefix, of which none can be a live one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from refrain.schemas.topics import BY_NAME
from refrain.streams.errors import WrongValue
from refrain.streams.kafka.interface import Producer, Record, TransactionalProducer
from refrain.streams.kafka.names import BROKERS_OWN, TENANT_TOPICS, is_legal, is_own

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster

NAME = "replay"
PREFIX_CHARS_MAX = 64
STAMPS, CREATE_TIME = "message.timestamp.type", "CreateTime"
CHANGED = {"journal": {STAMPS: CREATE_TIME}}
"""What is set otherwise than in the live topics: the copy's records keep the timestamps of the recorded ones."""


class JournalCopy(Protocol):
    """Writes journal records at the offsets and with the timestamps of others."""

    def append(self, records: Sequence[Record]) -> None:
        """Write the next records of a partition; the last of them may be held back."""

    def finish(self, partition: int) -> None:
        """Write what was held back of a partition."""


class Target(NamedTuple):
    """Producers of a replay. `effects` takes responses and all else that the fold sends."""

    journal: JournalCopy
    effects: Producer
    commits: TransactionalProducer


def check_form(into: str, live: str) -> None:
    """Raises WrongValue for what is no prefix, or the live one: what can be told before a broker is asked."""
    if not into:
        raise WrongValue("a replay needs a prefix of its own: give one", "--into")
    if len(into) > PREFIX_CHARS_MAX or not is_legal(into + NAME):
        raise WrongValue(
            f"{into!r} is no prefix: {PREFIX_CHARS_MAX} letters, digits, `.`, `_` and `-` at most", "--into"
        )
    if into == live:
        raise WrongValue(f"{into!r} is the live prefix, and a replay never writes there: give another", "--into")


def check_prefix(into: str, live: str, there: Sequence[str]) -> None:
    """Raises WrongValue for a prefix under which a topic of the table would be, or seem, one of those that are live.

    `live` is their prefix, and `there` are the names of all topics of the cluster.
    """
    check_form(into, live)
    own = [name for name in there if is_own(name, live) and not name.startswith(BROKERS_OWN)]
    for topic in BY_NAME:
        if is_own(into + topic, live) or into + topic in own:
            raise WrongValue(
                f"under {into!r} {topic} would be {into + topic}, which is of the live prefix {live!r}", "--into"
            )
    mixed = [name for name in own if is_own(name, into)]
    if mixed:
        raise WrongValue(f"under {into!r} the live topic {mixed[0]} would be one of the copy: give another", "--into")
    begun = [name for name in (*own, *(live + topic for topic in (*BY_NAME, TENANT_TOPICS))) if into.startswith(name)]
    if begun:
        raise WrongValue(f"{into!r} begins with the name of the live topic {begun[0]}: give another", "--into")


def check_stamps(settings_there: Mapping[str, str], into: str) -> None:
    """Raises WrongValue where the journal of the target, by its settings, would not keep the recorded timestamps."""
    stamps = settings_there.get(STAMPS, CREATE_TIME)
    if stamps != CREATE_TIME:
        raise WrongValue(
            f"{into}journal has {STAMPS}={stamps}: the recorded times would be lost; delete its topics, a replay makes"
            " them itself",
            "--into",
        )


def check_empty(cluster: Cluster, topics: Mapping[str, int], into: str) -> None:
    """Raises WrongValue where a topic of the target holds something, or has other partitions than `topics` says."""
    for topic, partitions in topics.items():
        ends = cluster.ends(topic)
        held = next((number for number, (_, end) in ends.items() if end), None)
        if held is not None:
            raise WrongValue(
                f"{into}{topic}[{held}] holds records up to offset {ends[held][1]}: a replay begins in empty topics and"
                " does not go on where another ended; delete the topics of that prefix, or give another to --into",
                "--into",
            )
        if len(ends) != partitions:
            raise WrongValue(
                f"{into}{topic} has {len(ends)} partitions, and should have {partitions}: delete it", "--into"
            )
