"""Reads the history of commands from `control`: who gave each, when, why, what it changed, and why it was refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from pydantic import ValidationError

from refrain.ops.explain.lines import ago, digits
from refrain.ops.policies.diff import brief, changes
from refrain.ops.terminal.moments import Between
from refrain.schemas.control import (
    Given,
    ImportEntry,
    Invalidate,
    Judge,
    RecoverShard,
    ReportLoad,
    SetPolicy,
    Switch,
    decode_command,
)
from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_REASON, HEADER_TOPIC
from refrain.schemas.policy import Policy
from refrain.streams.kafka.interface import Record

CONTROL, LETTERS = "control", "dead-letters"


class CommandKind(StrEnum):
    """The kinds of commands."""

    POLICY = "policy"
    WITHDRAWAL = "withdrawal"
    JUDGEMENT = "judgement"
    SWITCH = "switch"
    LOAD = "load"
    RECOVERY = "recovery"
    IMPORT = "import"
    UNREADABLE = "unreadable"


KINDS: Mapping[type[Given], CommandKind] = {
    SetPolicy: CommandKind.POLICY,
    Invalidate: CommandKind.WITHDRAWAL,
    Judge: CommandKind.JUDGEMENT,
    Switch: CommandKind.SWITCH,
    ReportLoad: CommandKind.LOAD,
    RecoverShard: CommandKind.RECOVERY,
    ImportEntry: CommandKind.IMPORT,
}


class GivenCommand(NamedTuple):
    """A command that was given. Its version is its offset in `control`."""

    version: int
    time_ms: int
    kind: CommandKind
    who: str
    why: str
    what: str
    """What it changed, or would have."""
    refused: str | None
    """Why it was refused; None for one that was carried out."""


def refusals(letters: Iterable[Record]) -> dict[int, str]:
    """Why commands were refused, by version, from the headers of dead letters."""
    out = {}
    for letter in letters:
        said = {name: (value or b"").decode("utf-8", "replace") for name, value in letter.headers}
        offset = said.get(HEADER_OFFSET, "")
        if said.get(HEADER_TOPIC) == CONTROL and offset.isascii() and offset.isdigit():
            out[int(offset)] = said.get(HEADER_REASON) or "for no reason that is told"
    return out


def given(
    records: Iterable[Record], refused: Mapping[int, str], kinds: frozenset[CommandKind], when: Between
) -> Iterable[GivenCommand]:
    """The commands of those kinds at those times, in their order. Policies are told by what they changed."""
    policy: Policy | None = None
    for record in records:
        why_not = refused.get(record.offset)
        try:
            command = decode_command(record.value or b"")
        except ValidationError:
            if CommandKind.UNREADABLE in kinds and when.holds(record.timestamp_ms):
                why_not = why_not or "it cannot be read"
                yield GivenCommand(record.offset, record.timestamp_ms, CommandKind.UNREADABLE, "", "", "", why_not)
            continue
        kind = KINDS[type(command)]
        if kind in kinds and when.holds(record.timestamp_ms):
            what = described(command, policy)
            yield GivenCommand(record.offset, record.timestamp_ms, kind, command.who, command.why, what, why_not)
        if isinstance(command, SetPolicy) and why_not is None:
            policy = command.policy


def described(command: Given, before: Policy | None) -> str:
    """What a command changes; of a policy against the one `before` it."""
    match command:
        case SetPolicy():
            return brief(changes(before, command.policy))
        case Invalidate():
            return "withdraw " + ("every entry" if command.all else ", ".join(_selected(command)))
        case Judge():
            return f"decision {command.decision_id} is {'right' if command.correct else 'wrong'}"
        case Switch():
            of = "" if command.category is None else f" for {command.category}"
            return f"switch the cache {'on' if command.on else 'off'}{of}"
        case ReportLoad():
            return f"load of {command.model}: {command.load:g}"
        case RecoverShard():
            return f"shard {command.partition} goes on, stopped at {command.position} ({command.how.value})"
        case ImportEntry():
            return f"keep entry {command.origin or 'of another cache'} of {command.tenant} in {command.category}"


def _selected(command: Invalidate) -> list[str]:
    out = [
        f"{name} {value}"
        for name, value in command.selection().items()
        if value is not None and name not in ("near", "before_ms")
    ]
    if command.before_ms is not None:
        out.append(f"admitted before {command.before_ms} ms")
    if command.older_than_ms is not None:
        out.append(f"older than {ago(command.older_than_ms)}")
    if command.near is not None:
        out.append(f"near a question by {digits(command.near.similarity)}")
    return out
