"""What the lag of a group says to the doctor: nobody works, records wait too long, or positions are gone. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refrain.ops.observe.findings import Finding
from refrain.ops.terminal import output

if TYPE_CHECKING:
    from refrain.ops.cluster.held import Held
    from refrain.ops.cluster.lag import Behind, LostPosition, Stranger
    from refrain.streams.settings import Settings

CHECK = "lag"
LAG_WARN = 1_000
WAIT_MS_MAX = 60_000
"""How long a record may wait to be read."""
CONNECTOR = "upstream"
HELPERS = frozenset({"adapt", "compare", "verify"})
"""Groups without which questions are answered as well as ever, while nothing is there for them."""


def lag_findings(settings: Settings, group: str, topic: str, found: Behind, now_ms: int) -> list[Finding]:
    """What the lag of a group on its topic says."""
    rows = [_lost(group, topic, each) for each in found.lost]
    if group != CONNECTOR:
        rows += [_stranger(group, topic, each) for each in found.strangers]
    rows += [_held(group, topic, each, now_ms) for each in found.held if _is_long(each, now_ms)]
    seen = f"{group}: {output.counted(found.records, 'record')} behind, {output.counted(found.members, 'member')}"
    waited_ms = 0 if found.oldest_ms is None or not found.records else max(0, now_ms - found.oldest_ms)
    if waited_ms:
        seen += f", the oldest waits {output.span(waited_ms)}"
    if not found.members:
        return [*rows, _nobody(settings, group, topic, found, seen)]
    if waited_ms > _patience_ms(settings, group):
        return [*rows, Finding(CHECK, "fail", seen, f"look at the log of `{group}`, then start more workers of it")]
    if found.records > LAG_WARN:
        return [*rows, Finding(CHECK, "warn", seen, f"start more workers: `refrain run {group} {group}`")]
    return rows or [Finding(CHECK, "ok", seen)]


def _nobody(settings: Settings, group: str, topic: str, found: Behind, seen: str) -> Finding:
    """A group without a member: nobody does what only its processor does."""
    if group == CONNECTOR and settings.upstream.connector == "http" and settings.upstream.base_url is None:
        return Finding(CHECK, "ok", f"{group}: no member; a connector of your own works on {topic}")
    needed = group not in HELPERS or found.records > 0
    return Finding(CHECK, "fail" if needed else "warn", seen, f"nobody works on {topic}: start `refrain run {group}`")


def _lost(group: str, topic: str, lost: LostPosition) -> Finding:
    where = f"{group} goes on at {lost.position} in partition {lost.partition} of {topic}"
    if lost.position > lost.end:
        do = f"start the workers of `{group}` again; the handbook tells more where it is the journal"
        return Finding(
            CHECK, "fail", f"{where}, which ends at {lost.end}: the topic was made again, or it was set so by hand", do
        )
    gone = output.counted(lost.first - lost.position, "offset")
    do = "see `refrain shards list`" if topic == "journal" else "they are lost: give the topic a longer retention"
    return Finding(CHECK, "fail", f"{where}, which begins at {lost.first}: {gone} that nobody read are gone", do)


def _stranger(group: str, topic: str, stranger: Stranger) -> Finding:
    """A member that is no worker: what it is given waits, or is worked by somebody else."""
    seen = f"{group}: {stranger.who} is a member and no worker of Refrain's, or one of an older version"
    if stranger.partitions:
        seen += f"; it has {output.counted(len(stranger.partitions), 'partition')} of {topic}"
    do = "end it, and let nobody else read with this group: `refrain topics acls`"
    return Finding(CHECK, "fail" if stranger.partitions else "warn", seen, do)


def _is_long(held: Held, now_ms: int) -> bool:
    """Whether a transaction is open for longer than those of workers; its writer may have set the time ahead."""
    return held.since_ms is None or not 0 <= now_ms - held.since_ms <= WAIT_MS_MAX


def _held(group: str, topic: str, held: Held, now_ms: int) -> Finding:
    """What a transaction that is left open keeps from a group: the broker ends it by the time its writer asked for."""
    open_for = "" if held.since_ms is None or held.since_ms > now_ms else f" for {output.span(now_ms - held.since_ms)}"
    seen = (
        f"{group}: a transaction that has been open{open_for} holds up partition {held.partition} of {topic} at"
        f" {held.offset}: {output.counted(held.records, 'offset')} wait, and the broker may hold them for"
        " `transaction.max.timeout.ms`"
    )
    do = (
        f"`kafka-transactions.sh find-hanging --topic NAME --partition {held.partition}` names it, `abort` ends it; let"
        " nobody but Refrain have transactional ids: `refrain topics acls`"
    )
    return Finding(CHECK, "fail", seen, do)


def _patience_ms(settings: Settings, group: str) -> int:
    """How long a record may wait for its group; a call of a model may take its time."""
    return WAIT_MS_MAX + (settings.upstream.timeout_ms if group == CONNECTOR else 0)
