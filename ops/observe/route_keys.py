"""Check of `refrain doctor`: whether every populate worker verifies what classify and lookup sign.

Workers of classify and populate tell the ids of their keys with each acknowledgement of a policy. What lookup signs
with is seen in the last records of `forwards`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from refrain.ops.observe.findings import Finding
from refrain.ops.terminal.output import counted
from refrain.schemas.acknowledgements import Acknowledgement
from refrain.streams import time_of_day
from refrain.streams.messaging.decoding import envelope_of
from refrain.streams.messaging.key_file import MADE
from refrain.streams.messaging.signing import key_id_of

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from refrain.streams.kafka.interface import Cluster, Record
    from refrain.streams.settings import Settings

CHECK = "routes"
SIGNERS, VERIFIERS = "classify", "populate"
PARTITIONS_MAX = 4
"""Partitions of `forwards` that are looked at."""
RECORDS_MAX = 20
"""Forwards of each."""
RECENT_MS = 600_000
ADMIN_S = 5.0
SHARE = "name one file of keys in routes.keys_file on every machine, and start the workers again"


class WorkerKeys(NamedTuple):
    """The ids of the keys of one worker, the signing one first."""

    processor: str
    keys: tuple[str, ...]


def routes(admin: AdminClient, settings: Settings, cluster: Cluster) -> list[Finding]:
    """Does every populate worker have the keys that routes are signed with?"""
    members = {name: _members(admin, settings, name) for name in (SIGNERS, VERIFIERS)}
    told = told_keys(cluster.scan("acknowledgements", 0), members)
    seen = Counter(key for record in _last(cluster) if (key := signing_key(record.value)) is not None)
    return [*here(settings), *compared(told, seen)]


def here(settings: Settings) -> list[Finding]:
    """Findings of the settings and the state folder of this machine."""
    found = []
    if settings.routes.unsigned == "accept":
        seen = "routes without a signature are accepted: whoever writes completions may answer any waiting question"
        found.append(Finding(CHECK, "warn", seen, "set routes.unsigned to refuse when the upgrade is done"))
    path = settings.state_dir / MADE
    if settings.routes.keys is None and path.exists() and path.stat().st_mode & 0o077:
        found.append(Finding(CHECK, "fail", f"others than its owner can read {path}", f"chmod 600 {path}"))
    return found


def told_keys(records: Iterable[Record], members: Mapping[str, frozenset[str]]) -> list[WorkerKeys]:
    """The keys that the present members of the groups have told last, in `acknowledgements`."""
    last: dict[tuple[str, str], WorkerKeys] = {}
    for record in records:
        try:
            said = Acknowledgement.decode(record.value or b"")
        except ValidationError:
            continue
        if said.worker in members.get(said.processor, ()):
            last[said.processor, said.worker] = WorkerKeys(said.processor, said.route_keys)
    return list(last.values())


def signing_key(value: bytes | None) -> str | None:
    """The id of the key that signed the route of a forward, empty for none; None for what is no forward."""
    envelope = envelope_of(value)
    if envelope is None:
        return None
    signature = envelope.route.partition(".")[2]
    return key_id_of(signature) if signature else ""


def compared(told: Sequence[WorkerKeys], seen: Mapping[str, int]) -> list[Finding]:
    """Findings of the keys that workers told and of those seen in forwards. Pure."""
    verifiers = [each for each in told if each.processor == VERIFIERS]
    signing = {each.keys[0] for each in told if each.processor == SIGNERS and each.keys} | {key for key in seen if key}
    if not verifiers or not signing:
        return [Finding(CHECK, "ok", "no key is told or seen yet: nothing to compare")]
    findings = [finding for key in sorted(signing) if (finding := _lacked(key, verifiers)) is not None]
    if seen.get(""):
        unsigned = f"{counted(seen[''], 'recent forward')} without a signature"
        findings.append(Finding(CHECK, "warn", unsigned, "upgrade classify and lookup; meanwhile see routes.unsigned"))
    by = f"signed with {', '.join(sorted(signing))}, verified by {counted(len(verifiers), 'populate worker')}"
    return findings or [Finding(CHECK, "ok", by)]


def _lacked(key: str, verifiers: Sequence[WorkerKeys]) -> Finding | None:
    lacking = sum(key not in each.keys for each in verifiers)
    if not lacking:
        return None
    seen = f"routes are signed with key {key}, which {lacking} of {counted(len(verifiers), 'populate worker')} lack"
    return Finding(CHECK, "fail", f"{seen}: answers to them are refused as forged", SHARE)


def _last(cluster: Cluster) -> Iterator[Record]:
    """The last records of the fullest partitions of `forwards`, not older than `RECENT_MS`."""
    since_ms = time_of_day.now_ms() - RECENT_MS
    ends = {number: span for number, span in cluster.ends("forwards").items() if span[1] > span[0]}
    for number in sorted(ends, key=lambda each: -ends[each][1])[:PARTITIONS_MAX]:
        first, end = ends[number]
        for record in cluster.scan("forwards", number, max(first, end - RECORDS_MAX)):
            if record.timestamp_ms >= since_ms:
                yield record


def _members(admin: AdminClient, settings: Settings, processor: str) -> frozenset[str]:
    from confluent_kafka import KafkaError, KafkaException

    from refrain.ops.cluster.connection import unreachable

    group_id = settings.prefix + processor
    try:
        found = admin.describe_consumer_groups([group_id], request_timeout=ADMIN_S)[group_id].result()
    except KafkaException as problem:
        if problem.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return frozenset()
        raise unreachable(settings, problem) from problem
    return frozenset(member.member_id for member in found.members)
