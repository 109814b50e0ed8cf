"""Report of an audit: JSON for programs, tables and sentences for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from refrain.ops.audit.findings import Finding, Kind
from refrain.ops.audit.partition import Audited
from refrain.ops.audit.sampling import CONFIDENCE, Sample
from refrain.ops.audit.whole import Audit
from refrain.ops.terminal import output
from refrain.streams.shard.behaviour import BEHAVIOUR

SHOWN_MAX = 20
COMPARED = ("records", "decisions", "responses", "forwards", "documents")
GONE = ("decisions_gone", "responses_gone", "forwards_gone")


def to_json(audit: Audit) -> dict[str, Any]:
    """The whole report as one object."""
    audited = audit.partitions
    counts = _counts(audited)
    return {
        "ok": is_ok(audit),
        **{name: counts[name] for name in (*COMPARED, *GONE)},
        "index": {
            "searched": sum(each.index_searched for each in audited),
            "missed": sum(each.index_missed for each in audited),
            "lesser": sum(each.index_lesser for each in audited),
        },
        "sample": None if audit.sample is None else _sample(audit.sample),
        "partitions": [
            {
                "partition": each.findings.partition,
                "first": each.first,
                "begun_at": each.begun_at,
                "snapshot": each.snapshot or None,
                "end": each.end,
                "state": each.state,
                "records": each.findings.counts["records"],
                "other_version": each.other_version or None,
                "copy_of": each.copy_of or None,
                "other_version_from": each.other_version_from if each.other_version else None,
            }
            for each in audited
        ],
        "findings": [_finding(one) for one in _found(audit)],
    }


def is_ok(audit: Audit) -> bool:
    """Whether all was audited, and nothing differs."""
    return not _found(audit) and not any(each.is_cut or each.other_version for each in audit.partitions)


def show(audit: Audit) -> None:
    """Print the report for people."""
    audited = audit.partitions
    output.table(
        ("partition", "offsets", "records", "decisions", "responses", "forwards", "documents", "state"),
        [_row(each) for each in audited if each.end or each.first],
    )
    for each in audited:
        _tell_beginning(each)
    counts = _counts(audited)
    for name in GONE:
        if counts[name]:
            output.tell(f"{counts[name]} {name.removesuffix('_gone')} were gone by retention, and are not compared")
    _tell_origins(audited)
    _tell_index(audited)
    found = _found(audit)
    for one in found[:SHOWN_MAX]:
        _say(one)
    if len(found) > SHOWN_MAX:
        output.tell(f"and {len(found) - SHOWN_MAX} more: --json has them")
    _tell_verdict(audit, counts["decisions"])
    if found:
        output.tell(f"{output.counted(broken(audit), 'record')} not as a fold gives them")


def _tell_beginning(each: Audited) -> None:
    """Tell where a partition's audit begins, if not at its first record, or why it has none."""
    partition = f"partition {each.findings.partition}"
    if each.is_cut:
        output.tell(
            f"{partition}: its journal begins at {each.first}; without what came before,"
            " or a snapshot (--from-snapshot), nothing of it can be folded"
        )
    elif not each.end and each.findings.counts.total():
        output.tell(f"{partition}: its shard has committed nothing that could be compared")
    elif each.snapshot:
        output.tell(f"{partition}: begins at {each.begun_at}, from snapshot {each.snapshot}")


def _tell_origins(audited: Sequence[Audited]) -> None:
    """Tell of decisions of another version, and of journals that are copies."""
    for each in audited:
        if each.other_version:
            output.tell(
                f"partition {each.findings.partition}: from offset {each.other_version_from} on {each.other_version}"
                f" decided, and this is {BEHAVIOUR}: nothing there is compared; audit it by"
                " the version that decided, or what came since a snapshot of this one (--from-snapshot)"
            )
    for id_ in sorted({each.copy_of for each in audited if each.copy_of}):
        output.tell(f"this journal is a copy of the one with the topic id {id_}: what is published here names that one")


def _tell_index(audited: Sequence[Audited]) -> None:
    """Tell how often an approximate index did not find the best, where one decided."""
    searched, missed, lesser = (
        sum(getattr(each, name) for each in audited) for name in ("index_searched", "index_missed", "index_lesser")
    )
    if searched:
        output.tell(
            f"of {searched} searches of an approximate index, {missed} missed an entry above the threshold,"
            f" {lesser} found a lesser one"
        )


def _tell_verdict(audit: Audit, decisions: int) -> None:
    """Tell what the audit proves."""
    if audit.sample is not None:
        _say_sample(audit.sample, ok=is_ok(audit))
    elif is_ok(audit) and not decisions:
        output.tell("every record can be folded; no decision is compared: none that was asked for is there")
    elif is_ok(audit):
        output.tell("every record is as a fold gives it")


def _say_sample(sample: Sample, *, ok: bool) -> None:
    """Say what the sample proves, and what it does not."""
    drawn = f"compared {sample.size} of {output.counted(sample.of, 'decision')}, drawn by seed {sample.seed}"
    if not ok:
        output.tell(drawn)
    elif sample.size == sample.of:
        output.tell(f"{drawn}: all that there are, and each is as a fold gives it")
    else:
        output.tell(
            f"{drawn}: each is as a fold gives it. Fewer than {sample.share_at_most:.2%} of all differ, at a confidence"
            f" of {CONFIDENCE:.0%}; one alone that was altered, only an audit of all is sure to find"
        )


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "size": sample.size,
        "of": sample.of,
        "seed": sample.seed,
        "share_at_most": round(sample.share_at_most, 6),
        "confidence": CONFIDENCE,
    }


def _found(audit: Audit) -> list[Finding]:
    return [*audit.strange.found, *(one for each in audit.partitions for one in each.findings.found)]


def broken(audit: Audit) -> int:
    """How many findings there are."""
    counts = _counts(audit.partitions) + audit.strange.counts
    return sum(counts[kind.value] for kind in Kind)


def _row(each: Audited) -> tuple[object, ...]:
    counts, offsets = each.findings.counts, f"{max(each.first, each.begun_at)}-{each.end}"
    return each.findings.partition, offsets, *(counts[name] for name in COMPARED), each.state[:12]


def _say(one: Finding) -> None:
    output.say(output.one_line(f"{one.kind.value}: {_where(one)}{one.what}"))
    for each in one.differences:
        output.say(output.one_line(f"  {each.field or 'whole'}: published {each.published}, folded {each.folded}"))


def _where(one: Finding) -> str:
    """The coordinates of a finding, as far as it has some."""
    if one.partition < 0:
        return ""
    return f"journal[{one.partition}]{f' offset {one.offset}' if one.offset >= 0 else ''}, "


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "kind": one.kind.value,
        "partition": one.partition,
        "offset": one.offset,
        "what": one.what,
        "differences": [each._asdict() for each in one.differences],
    }


def _counts(audited: Sequence[Audited]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for each in audited:
        counts += each.findings.counts
    return counts
