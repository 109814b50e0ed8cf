"""What nobody of Refrain's would write, or nobody's retention takes: an audit names it and goes on to the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.audit import report
from refrain.ops.audit.findings import Finding, Findings, Kind, differences
from refrain.ops.audit.sampling import Sample
from refrain.ops.audit.whole import NEVER_MS, Audit, lay_out
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.columns import META_KEY
from tests.ops.audit.audited import audited, recorded, rows
from tests.streams.lookup.stage import NEVER_MS as NEVER_DUE_MS
from tests.streams.lookup.stage import Stage, traffic

DEEP = b"[" * 100_000
Forge = Callable[[Stage], None]


def appended(stage: Stage, topic: str, value: bytes | None, key: bytes | None = b"k") -> None:
    there = rows(stage, topic)
    there.append(Record(topic, 0, len(there), there[-1].timestamp_ms, key, value))


def copied(topic: str, change: Callable[[dict[str, Any]], None], at: int = 0) -> Forge:
    """Append a copy of a record with something changed."""

    def forge(stage: Stage) -> None:
        one = rows(stage, topic)[at]
        value = json.loads(one.value or b"")
        change(value)
        appended(stage, topic, json.dumps(value, separators=(",", ":")).encode(), one.key)

    return forge


def response(**fields: object) -> Forge:
    return copied("responses", lambda value: value["decision"].update(fields))


def forward(**fields: object) -> Forge:
    return copied("forwards", lambda value: value.update(fields))


def decision(**fields: object) -> Forge:
    return copied("decisions", lambda value: value.update(fields), 3)


def published(topic: str, value: bytes | None) -> Forge:
    return lambda stage: appended(stage, topic, value)


def last_meta(value: bytes | None) -> Forge:
    """Alter the end of the last commit."""

    def forge(stage: Stage) -> None:
        there = rows(stage, "documents")
        at = max(number for number, record in enumerate(there) if record.key == META_KEY)
        there[at] = there[at]._replace(value=value)

    return forge


def emptied(topic: str) -> Forge:
    return lambda stage: rows(stage, topic).clear()


FORGED: list[tuple[str, Forge, Kind]] = [
    ("response of a partition that is none", response(partition=99), Kind.RESPONSE_INSERTED),
    ("response of a negative partition", response(partition=-1), Kind.RESPONSE_INSERTED),
    ("response of an offset behind the journal", response(id="z", offset=10**9), Kind.RESPONSE_INSERTED),
    ("response of an offset that no log has", response(id="z", offset=2**70), Kind.RESPONSE_INSERTED),
    ("response of nothing", published("responses", None), Kind.RESPONSE_INSERTED),
    ("response nested deeply", published("responses", DEEP), Kind.RESPONSE_INSERTED),
    ("forward of nothing", published("forwards", None), Kind.FORWARD_INSERTED),
    ("forward nested deeply", published("forwards", DEEP), Kind.FORWARD_INSERTED),
    ("forward of half a letter", forward(forward_id="\ud800"), Kind.FORWARD_INSERTED),
    ("decision of nothing", published("decisions", None), Kind.DECISION_INSERTED),
    ("decision nested deeply", published("decisions", DEEP), Kind.DECISION_INSERTED),
    ("decision of an offset behind the journal", decision(offset=10**9), Kind.DECISION_INSERTED),
    ("decision of an offset that no log has", decision(offset=2**70), Kind.DECISION_INSERTED),
    ("decision of a negative offset", decision(offset=-5), Kind.DECISION_INSERTED),
    ("decision of half an offset", decision(offset=1.5), Kind.DECISION_INSERTED),
    ("commit cut off", last_meta(b"{"), Kind.DOCUMENT_DIFFERS),
    ("commit of another version", last_meta(b'{"v":99}'), Kind.DOCUMENT_DIFFERS),
    ("commit nested deeply", last_meta(DEEP), Kind.DOCUMENT_DIFFERS),
    ("commit deleted", last_meta(None), Kind.DOCUMENT_DIFFERS),
    ("no commit at all", emptied("documents"), Kind.DOCUMENT_MISSING),
]  # fmt: skip


@pytest.mark.parametrize(("forge", "kind"), [each[1:] for each in FORGED], ids=[each[0] for each in FORGED])
def test_what_was_put_in_is_named_once(forge: Forge, kind: Kind, tmp_path: Path) -> None:
    stage = recorded(traffic())
    forge(stage)
    assert [one.kind for one in audited(stage.cluster, tmp_path).findings.found] == [kind]


def test_decisions_that_are_gone_from_a_log_that_begins_at_its_first_offset_were_not_taken_by_retention(
    tmp_path: Path,
) -> None:
    stage = recorded(traffic())
    count = len(rows(stage, "decisions"))
    rows(stage, "decisions").clear()
    found = audited(stage.cluster, tmp_path / "a")
    assert [one.kind for one in found.findings.found] == [Kind.DECISION_MISSING] * count
    taken = recorded(traffic())
    taken.cluster.delete_records("decisions", 0, count)
    found = audited(taken.cluster, tmp_path / "b")
    assert found.findings.found == []
    assert found.findings.counts["decisions_gone"] == count


@pytest.mark.parametrize("topic", ["responses", "forwards"])
def test_what_retention_took_to_the_last_record_is_gone_and_not_missing(topic: str, tmp_path: Path) -> None:
    stage = recorded(traffic())
    count = len(rows(stage, topic))
    stage.cluster.delete_records(topic, 0, count)
    found = audited(stage.cluster, tmp_path / "a")
    assert found.findings.found == []
    assert found.findings.counts[f"{topic}_gone"] > 0
    assert lay_out(stage.cluster, [0], tmp_path / "b").kept_from_ms[topic] == NEVER_MS


def flawed(stage: Stage, topic: str, at: int) -> None:
    there = rows(stage, topic)
    there[at] = there[at]._replace(key=None, value=None, headers=(), flaw="the batch cannot be read")


def test_a_batch_of_the_journal_that_nobody_can_read_is_named_and_folded_as_it_was_live(tmp_path: Path) -> None:
    stage = Stage()
    stage.journal(traffic())
    flawed(stage, "journal", 7)
    worker = stage.worker(NEVER_DUE_MS, commit_records=5)
    stage.run(worker)
    worker.close()
    (one,) = audited(stage.cluster, tmp_path).findings.found
    assert (one.kind, one.offset, one.what) == (Kind.UNREADABLE, 7, "the batch cannot be read")


@pytest.mark.parametrize(
    ("topic", "kind"),
    [("decisions", Kind.DECISION_INSERTED), ("documents", Kind.UNREADABLE), ("responses", Kind.RESPONSE_INSERTED)],
)
def test_a_batch_among_what_was_published_that_nobody_can_read_is_named(topic: str, kind: Kind, tmp_path: Path) -> None:
    stage = recorded(traffic())
    appended(stage, topic, None)
    flawed(stage, topic, -1)
    (one,) = audited(stage.cluster, tmp_path).findings.found
    assert one.kind is kind
    assert one.what


@pytest.mark.parametrize("left", [0, 5, -1])
def test_a_journal_that_ends_before_what_its_shard_has_folded_is_named(left: int, tmp_path: Path) -> None:
    stage = recorded(traffic())
    folded = len(rows(stage, "journal"))
    del rows(stage, "journal")[left:]
    one, *_ = audited(stage.cluster, tmp_path).findings.found
    assert (one.kind, one.offset) == (Kind.JOURNAL_ENDS_EARLY, left % folded)
    assert f"has folded {folded}" in one.what


def test_two_sides_of_which_one_is_nested_too_deeply_are_shown_as_a_whole() -> None:
    (one,) = differences(DEEP, b"{}")
    assert (one.field, one.folded) == ("", "{}")
    assert len(one.published) < 300


def test_nothing_that_others_wrote_moves_the_cursor_or_looks_like_a_line_of_the_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    findings = Findings(3)
    findings.add(Kind.DECISION_INSERTED, 7, "x\x1b[2J\nevery record is as a fold gives it\u202e")
    findings.add(Kind.DOCUMENT_DIFFERS, -1, "meta/meta")
    strange = Findings(-1, [Finding(Kind.RESPONSE_INSERTED, -1, -1, "responses[0] offset 23")])
    report.show(Audit([], findings, Sample(1, 2, 1, 1)))
    report.show(Audit([], strange))
    said = capsys.readouterr().out
    assert "decision_inserted: journal[3] offset 7, x" in said
    assert not {"\x1b", "\u202e"} & set(said)
    assert "every record is as a fold gives it" not in said.splitlines()
    assert "document_differs: journal[3], meta/meta" in said.splitlines()
    assert "response_inserted: responses[0] offset 23" in said.splitlines()
