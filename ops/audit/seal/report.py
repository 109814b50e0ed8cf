"""Report of a comparison with a seal: JSON for programs, tables and sentences for people."""

from __future__ import annotations

from typing import Any

from refrain.ops.audit.seal.against import LogProof, Proof
from refrain.ops.audit.seal.alignment import Change, Difference
from refrain.ops.terminal import output
from refrain.ops.terminal.moments import utc

SHOWN_MAX = 20
"""Differences of one log that people are shown."""
NAMED_MAX = 1_000
"""Differences of one log that programs are shown; more are counted."""


def to_json(proof: Proof) -> dict[str, Any]:
    """The whole report as one object."""
    return {
        "ok": proof.is_ok,
        "made_ms": proof.seal.made_ms,
        "fold": proof.seal.fold,
        "findings": proof.seal.findings,
        "public_key": proof.seal.public_key,
        "topics": [each._asdict() for each in proof.topics],
        "logs": [_log(each) for each in proof.logs],
    }


def show(proof: Proof, *, key_given: bool) -> None:
    """Print the report for people. `key_given` says that the signature is that of a key that the caller named."""
    seal = proof.seal
    output.say(f"sealed {utc(seal.made_ms)}, {seal.fold}")
    output.say(_signed(seal.public_key, key_given=key_given))
    if seal.findings:
        output.say(f"when it was sealed an audit found {output.counted(seal.findings, 'record')} different")
    output.table(
        ("topic", "partition", "sealed", "proven", "gone", "other from"),
        [
            (each.topic, each.partition, each.sealed, each.proven, each.gone, each.other_from)
            for each in proof.logs
            if each.sealed or each.differences
        ],
    )
    for topic in proof.topics:
        output.say(f"{topic.topic} was {topic.what}: {topic.sealed} when it was sealed, {topic.found} as it is")
    for log in proof.logs:
        _show(log)
    if proof.is_ok:
        output.say("every log is the sealed one, as far as it is there")


def _signed(public_key: str | None, *, key_given: bool) -> str:
    if public_key is None:
        return "it is not signed: whoever can write the file can make another"
    if key_given:
        return f"signed by {public_key}"
    return f"signed by {public_key}; whose key that is, only --public-key makes sure"


def _show(log: LogProof) -> None:
    name = f"{log.topic}[{log.partition}]"
    if log.gone:
        output.say(
            f"{name}: begins at {log.begins}, {output.counted(log.gone, 'sealed record')} before it cannot be proven"
        )
    if log.differences:
        output.say(f"{name}: is another one from offset {log.other_from} on")
    for each in log.differences[:SHOWN_MAX]:
        output.say(f"  {_said(each)}")
    if len(log.differences) > SHOWN_MAX:
        output.say(f"  and {len(log.differences) - SHOWN_MAX} more: --json has them")
    if log.sealed and not log.proven and not log.differences:
        output.say(f"{name}: nothing of it is proven")


def _said(each: Difference) -> str:
    where = f"offset {each.first}" if each.first == each.last else f"offsets {each.first}-{each.last}"
    if not each.exact:
        return f"{each.change.value}: {where}, at least one of {each.records}"
    if each.to is None:
        return f"{each.change.value}: {where}, {output.counted(each.records, 'record')}"
    verb = "stand from" if each.change is Change.RENUMBERED or each.records > 1 else "stands at"
    return f"{each.change.value}: {where}, {output.counted(each.records, 'record')}, {verb} {each.to}"


def _log(log: LogProof) -> dict[str, Any]:
    return {
        "topic": log.topic,
        "partition": log.partition,
        "sealed": log.sealed,
        "proven": log.proven,
        "gone": log.gone,
        "begins": log.begins,
        "other_from": log.other_from,
        "differences": [
            {
                "change": each.change.value,
                "first": each.first,
                "last": each.last,
                "records": each.records,
                "to": each.to,
                "exact": each.exact,
            }
            for each in log.differences[:NAMED_MAX]
        ],
        "differences_more": max(0, len(log.differences) - NAMED_MAX),
    }
