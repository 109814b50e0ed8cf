"""Decides what a command becomes: an event for every shard, or a dead letter. Pure: the worker does the I/O."""

from __future__ import annotations

import json

from refrain.schemas.control import (
    POLICY_KEY,
    Given,
    ImportEntry,
    Invalidate,
    JournalKept,
    Judge,
    PolicyInForce,
    RecoverShard,
    ReportLoad,
    SetPolicy,
    Switch,
    decode_command,
)
from refrain.schemas.decisions import Decision
from refrain.schemas.journal import (
    CacheSwitched,
    EntriesInvalidated,
    EntryImported,
    HitJudged,
    LoadChanged,
    PolicySet,
    RecoveryOrdered,
)
from refrain.schemas.policy import POLICY_BYTES_MAX, Cacheable
from refrain.schemas.responses import Outcome
from refrain.streams.errors import RecordsRefused, Refusal, RefusalCode
from refrain.streams.govern.decision_search import SoughtDecision
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.partitioner import partition_of
from refrain.streams.linear_pattern import pattern_flaws
from refrain.streams.messaging.dead_letters import dead_letter
from refrain.streams.messaging.decoding import check_size, read
from refrain.streams.messaging.responses import whole
from refrain.streams.messaging.shards import shard_key, space_of
from refrain.streams.models.artifact_file import version_of
from refrain.streams.runtime.barrier import passes, unforeseen
from refrain.streams.vectors import decode, squared_norm

NAME = "govern"
LOAD_VALID_MS_MAX = 3_600_000
"""How long a load may hold unless it is reported again: whoever reports may stop."""
JUDGED = frozenset({Outcome.HIT, Outcome.MISS, Outcome.COALESCED})
"""Outcomes that gave an answer which is kept, or was to be."""

ShardEvent = PolicySet | LoadChanged | EntriesInvalidated | HitJudged | CacheSwitched | RecoveryOrdered


def command_of(record: Record) -> Given | Refusal:
    """The command in a record, or why it holds none."""
    try:
        check_size(record)
        return read(record.value, decode_command)
    except Refusal as refusal:
        return refusal
    except Exception as error:
        if passes(error):
            raise
        return unforeseen(error)


def judged_by(command: Given | Refusal) -> SoughtDecision | None:
    """The decision that a command judges; None for any other."""
    if not isinstance(command, Judge):
        return None
    return SoughtDecision(command.decision_id, command.partition, command.offset)


def decide(
    record: Record,
    policy: PolicyInForce | None,
    shards: int,
    judged: Decision | None = None,
    *,
    command: Given | Refusal | None = None,
    journal: JournalKept | None = None,
) -> tuple[list[Outgoing], PolicyInForce | None]:
    """Decide a command: the records of its transaction, without its offset, and the policy in force after it.

    `judged` is the decision of `judged_by`, None when it is not recorded. `command` is what `command_of` gives, where
    the record was read before. `journal` is the one that has so many `shards`.
    """
    if command is None:
        command = command_of(record)
    try:
        return _decided(record, command, policy, shards, judged, journal)
    except Exception as error:
        if passes(error):
            raise
        refusal = error if isinstance(error, Refusal) else unforeseen(error)
        # Whose text an entry is, and whether it may be kept, is not known when it is refused.
        with_text = not isinstance(command, ImportEntry)
        return [dead_letter(record, refusal, NAME, with_text=with_text)], policy


def _decided(
    record: Record,
    command: Given | Refusal,
    policy: PolicyInForce | None,
    shards: int,
    judged: Decision | None,
    journal: JournalKept | None,
) -> tuple[list[Outgoing], PolicyInForce | None]:
    if isinstance(command, Refusal):
        raise command
    if isinstance(command, SetPolicy):
        after = put_in_force(record, command, policy, journal)
        return given_to_every_shard(after, shards), after
    if isinstance(command, RecoverShard):
        return [_recovery_ordered(record, command, shards)], policy
    if isinstance(command, ImportEntry):
        return [_imported(record, command, policy, shards)], policy
    return _to_every_shard(_event(record, command, policy, judged), shards), policy


def given_to_every_shard(policy: PolicyInForce, shards: int) -> list[Outgoing]:
    """The records by which a policy is in force."""
    first = Outgoing("policies", POLICY_KEY, policy.encode(), partition=0)
    return [first, *_to_every_shard(PolicySet(version=policy.version, policy=policy.policy), shards)]


def refused_by_topic(record: Record, refused: RecordsRefused) -> list[Outgoing]:
    """The dead letter of a command whose records are too large for their topics. Raises `refused` for other reasons."""
    too_large = [why for why in refused.refused.values() if why.too_large]
    if not too_large:
        raise refused
    return [dead_letter(record, Refusal(RefusalCode.TOO_LARGE, too_large[0].text), NAME)]


def _event(record: Record, command: Given, policy: PolicyInForce | None, judged: Decision | None) -> ShardEvent:
    match command:
        case ReportLoad():
            return _load_changed(record, command, policy)
        case Invalidate():
            return _invalidated(record, command)
        case Judge():
            return _judged(record, command, judged)
        case Switch():
            return _switched(record, command, policy)
        case SetPolicy() | RecoverShard() | ImportEntry():
            raise TypeError("this command is more, or less, than an event for every shard")


def put_in_force(
    record: Record, command: SetPolicy, policy: PolicyInForce | None, journal: JournalKept | None = None
) -> PolicyInForce:
    """Put a policy in force, where `policy` was before, in the shards of this journal.

    Raises Refusal: STALE_COMMAND when it replaces another version, or is not newer than the one in force, BAD_FIELD for
    a trained head that is not the one of its version or an expression that cannot be matched in linear time, TOO_LARGE.
    """
    version = None if policy is None else policy.version
    if version is not None and record.offset <= version:
        raise Refusal(
            RefusalCode.STALE_COMMAND,
            f"it is command {record.offset}, and {version} is in force: it was read again, or `control` was made anew"
            " (then run `refrain policies resume`)",
        )
    if command.expected_version is not None and command.expected_version != version:
        raise Refusal(
            RefusalCode.STALE_COMMAND,
            f"it replaces version {command.expected_version}, and {version} is in force: look again, and set anew",
        )
    for head in command.policy.hit_heads:
        if version_of(head) != head.version:
            raise Refusal(RefusalCode.BAD_FIELD, f"hit_heads: the content of {head.version} is not of that version")
    for flaw in pattern_flaws(command.policy):
        raise Refusal(RefusalCode.BAD_FIELD, f"{'.'.join(map(str, flaw.place))}: {flaw.why}")
    after = PolicyInForce(
        version=record.offset,
        who=command.who,
        why=command.why,
        at_ms=record.timestamp_ms,
        journal=journal,
        policy=command.policy,
    )
    size = len(after.encode())
    if size > POLICY_BYTES_MAX:
        raise Refusal(RefusalCode.TOO_LARGE, f"the policy takes {size} bytes; at most {POLICY_BYTES_MAX} are kept")
    return after


def _load_changed(record: Record, command: ReportLoad, policy: PolicyInForce | None) -> LoadChanged:
    if policy is None or command.model not in policy.policy.models:
        raise Refusal(RefusalCode.BAD_FIELD, "model: the policy in force names no load targets for it")
    if command.valid_until_ms > record.timestamp_ms + LOAD_VALID_MS_MAX:
        raise Refusal(
            RefusalCode.BAD_FIELD,
            f"valid_until_ms: more than {LOAD_VALID_MS_MAX} ms ahead; report the load again instead",
        )
    return LoadChanged(
        version=record.offset, model=command.model, load=command.load, valid_until_ms=command.valid_until_ms
    )


def _invalidated(record: Record, command: Invalidate) -> EntriesInvalidated:
    if command.near is not None and not _is_vector(command.near.vector):
        raise Refusal(
            RefusalCode.BAD_FIELD, "near.vector: not a vector of record (base64 of little-endian int16, not all zero)"
        )
    # Entries that come later than the command stay in any case: a cut-off after it says nothing.
    before_ms = command.before_ms
    cut_off = None if before_ms is None or before_ms > record.timestamp_ms else before_ms
    chosen = command.selection() | {"before_ms": cut_off, "older_than_ms": command.older_than_ms}
    return EntriesInvalidated(version=record.offset, **chosen)


def _is_vector(text: str) -> bool:
    try:
        return squared_norm(decode(text)) > 0
    except ValueError:
        return False


def _judged(record: Record, command: Judge, judged: Decision | None) -> HitJudged:
    if judged is None:
        raise Refusal(
            RefusalCode.UNKNOWN_DECISION,
            f"no decision {command.decision_id} is recorded: take the id from the response or from `decisions`",
        )
    if judged.outcome not in JUDGED:
        raise Refusal(
            RefusalCode.NOTHING_TO_JUDGE,
            f"decision {command.decision_id} gave no answer that is kept"
            f" ({judged.outcome.value}: {judged.reason.value})",
        )
    hit = judged.outcome is Outcome.HIT
    return HitJudged(
        version=record.offset,
        decision_id=command.decision_id,
        correct=command.correct,
        who=command.who,
        why=command.why,
        partition=judged.partition,
        category=judged.category,
        namespace=judged.namespace,
        entry_id=judged.entry_id if hit else None,
        answer=judged.answer if hit else None,
        forward_id=None if hit else judged.forward_id,
        load=judged.load,
    )


def _switched(record: Record, command: Switch, policy: PolicyInForce | None) -> CacheSwitched:
    if command.category is not None and (policy is None or policy.policy.of(command.category) is None):
        raise Refusal(RefusalCode.BAD_FIELD, "category: the policy in force does not define it")
    return CacheSwitched(version=record.offset, on=command.on, category=command.category)


def _imported(record: Record, command: ImportEntry, policy: PolicyInForce | None, shards: int) -> Outgoing:
    category = None if policy is None else policy.policy.of(command.category)
    if category is None or category.cache is Cacheable.NEVER:
        raise Refusal(RefusalCode.BAD_FIELD, "category: the policy in force does not define it, or keeps nothing of it")
    if command.vector is not None and not _is_vector(command.vector):
        raise Refusal(RefusalCode.BAD_FIELD, "vector: not a vector of record (base64 of little-endian int16, not zero)")
    if not _is_answer(command.answer.data):
        raise Refusal(RefusalCode.BAD_FIELD, "answer: not the projection of an answer")
    space = space_of(command, category)
    event = EntryImported(
        **command.question_key() | {"space": space},
        version=record.offset,
        answer=command.answer,
        admitted_at_ms=command.admitted_at_ms,
        latency_ms=command.latency_ms,
        tokens=command.tokens,
        origin=command.origin,
    )
    key = shard_key(space, command.category, command.context, category.slices)
    return Outgoing("journal", key, event.encode(), partition=partition_of(key, shards))


def _is_answer(text: str) -> bool:
    try:
        return bool(whole(json.loads(text)))
    except (ValueError, RecursionError):
        return False


def _recovery_ordered(record: Record, command: RecoverShard, shards: int) -> Outgoing:
    if command.partition >= shards:
        raise Refusal(RefusalCode.BAD_FIELD, f"partition: the journal has {shards}")
    event = RecoveryOrdered(version=record.offset, how=command.how, position=command.position)
    return Outgoing("journal", NAME.encode(), event.encode(), partition=command.partition)


def _to_every_shard(event: ShardEvent, shards: int) -> list[Outgoing]:
    value = event.encode()
    return [Outgoing("journal", NAME.encode(), value, partition=shard) for shard in range(shards)]
