"""govern: carries each command of `control` to the policy in force and to every shard, or refuses it.

One command is one transaction: `policies` (for a policy), the event in every partition of `journal`, a dead letter
if it was refused, and the position in `control`. So no shard misses a command and none gets it twice.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from schemas.control import POLICY_KEY, Invalidate, Judge, PolicyInForce, ReportLoad, SetPolicy, decode_command
from schemas.journal import LoadChanged, PolicySet
from streams.dead_letters import bury
from streams.errors import Rebalanced, Refusal, RefusalCode, WrongSetup
from streams.in_force import PolicyWatch
from streams.log import Log, Outgoing, Position, Reader, Record, TransactionalWriter
from streams.metrics import Metrics
from streams.reading import read
from streams.settings import Settings

logger = logging.getLogger(__name__)

NAME = "govern"
SOURCE = "control"
POLL_S = 0.2
BATCH_MAX = 100
POLICY_BYTES_MAX = 1_000_000
"""The largest policy record; the topic takes a little more."""

Command = SetPolicy | ReportLoad | Invalidate | Judge


def run_govern(
    settings: Settings,
    log: Log,
    metrics: Metrics,
    *,
    stop: Callable[[], bool],
    ready: Callable[[], None],
    now_ms: Callable[[], int],
) -> None:
    """Run until `stop`; idle while another worker of the group has `control`.

    Raises WrongSetup for missing or split topics, Fenced or LogFailed when the worker must be started again.
    """
    for topic in (SOURCE, "policies"):
        if log.partitions(topic) != 1:
            raise WrongSetup(f"topic {topic} must have one partition: delete it and run `refrain topics create`")
    shards = log.partitions("journal")
    seat = _Seat()
    reader = log.reader(SOURCE, NAME, seat)
    governor: Governor | None = None
    try:
        while not stop():
            batch = reader.poll(BATCH_MAX, POLL_S)
            if seat.joined:
                ready()
            if seat.changed:
                seat.changed = False
                if governor is not None:
                    governor.close()
                governor = Governor(log, reader, shards, metrics) if seat.taken else None
            if governor is not None:
                governor.take(batch)
                for partition, behind in reader.lag().items():
                    metrics.lag.labels(NAME, str(partition)).set(behind + governor.waiting)
    finally:
        reader.close()
        if governor is not None:
            governor.close()


class _Seat:
    """Whether this worker is the one that governs."""

    def __init__(self) -> None:
        self.joined = False
        self.taken = False
        self.changed = False

    def assigned(self, partitions: Sequence[int]) -> None:
        self.joined = True
        if partitions:
            self.taken = self.changed = True

    def revoked(self, partitions: Sequence[int]) -> None:
        if partitions:
            self.taken, self.changed = False, True

    def lost(self, partitions: Sequence[int]) -> None:
        self.revoked(partitions)


class Governor:
    """One term of office: from the moment `control` is ours until it is not.

    Its writer is new and takes the name at once: an earlier holder's open transaction ends before the policy in
    force is read.
    """

    def __init__(self, log: Log, reader: Reader, shards: int, metrics: Metrics) -> None:
        self._reader = reader
        self._shards = shards
        self._metrics = metrics
        self._commands: deque[Record] = deque()
        self._writer: TransactionalWriter = log.transactional(NAME)
        self._writer.transact([], None, {})
        self._policy = PolicyWatch(log).latest()
        self._show()

    @property
    def waiting(self) -> int:
        """Commands taken and not yet carried out."""
        return len(self._commands)

    def take(self, batch: Sequence[Record]) -> None:
        """Carry out what came; what meets a rebalance waits for the next call."""
        self._commands.extend(batch)
        while self._commands:
            record = self._commands[0]
            out, policy = decide(record, self._policy, self._shards)
            try:
                self._writer.transact(out, self._reader.membership(), {record.partition: Position(record.offset + 1)})
            except Rebalanced as rebalance:
                logger.info("command %d is tried again: %s", record.offset, rebalance)
                return
            self._commands.popleft()
            self._policy = policy
            self._count(record, out)

    def close(self) -> None:
        """Let go of the name; commands not carried out are the next one's."""
        self._writer.close()

    def _count(self, record: Record, out: Sequence[Outgoing]) -> None:
        self._metrics.taken.labels(NAME, record.topic).inc()
        self._metrics.count_sent(NAME, out)
        for message in out:
            if message.topic == "dead-letters":
                reason = dict(message.headers).get("refrain.dead.reason") or b""
                logger.warning("command %d refused: %s", record.offset, reason.decode())
                self._metrics.refused.labels(NAME, reason.decode().partition(":")[0]).inc()
        self._show()

    def _show(self) -> None:
        if self._policy is not None:
            self._metrics.policy_version.set(self._policy.version)


def decide(record: Record, policy: PolicyInForce | None, shards: int) -> tuple[list[Outgoing], PolicyInForce | None]:
    """The records of a command's transaction, without its position, and the policy in force after it."""
    try:
        command = read(record.value, decode_command)
        if isinstance(command, SetPolicy):
            after = put_in_force(record, command, policy)
            event: PolicySet | LoadChanged = PolicySet(version=record.offset, policy=command.policy)
            first = [Outgoing("policies", POLICY_KEY, after.encode(), partition=0)]
            return first + _to_every_shard(event, shards), after
        if isinstance(command, ReportLoad):
            return _to_every_shard(_load_changed(record, command, policy), shards), policy
        raise Refusal(RefusalCode.NOT_SUPPORTED, f"{command.kind} commands are not built in this version")
    except Refusal as refusal:
        return [bury(record, refusal, NAME)], policy


def put_in_force(record: Record, command: SetPolicy, policy: PolicyInForce | None) -> PolicyInForce:
    """The policy that a command puts in force where `policy` is. Raises Refusal."""
    version = None if policy is None else policy.version
    if command.expected_version is not None and command.expected_version != version:
        raise Refusal(
            RefusalCode.STALE_COMMAND,
            f"it replaces version {command.expected_version}, and {version} is in force: look again, and set anew",
        )
    after = PolicyInForce(
        version=record.offset,
        who=command.who,
        why=command.why,
        at_ms=record.timestamp_ms,
        policy=command.policy,
    )
    size = len(after.encode())
    if size > POLICY_BYTES_MAX:
        raise Refusal(RefusalCode.TOO_LARGE, f"the policy takes {size} bytes; at most {POLICY_BYTES_MAX} are kept")
    return after


def _load_changed(record: Record, command: ReportLoad, policy: PolicyInForce | None) -> LoadChanged:
    if policy is None or command.model not in policy.policy.models:
        raise Refusal(RefusalCode.BAD_FIELD, "model: the policy in force names no load targets for it")
    return LoadChanged(
        version=record.offset, model=command.model, load=command.load, valid_until_ms=command.valid_until_ms
    )


def _to_every_shard(event: PolicySet | LoadChanged, shards: int) -> list[Outgoing]:
    value = event.encode()
    return [Outgoing("journal", NAME.encode(), value, partition=shard) for shard in range(shards)]
