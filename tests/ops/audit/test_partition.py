"""An audit gives what the worker published, and names exactly what was altered, removed or put in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.audit.findings import Finding, Kind
from refrain.ops.audit.limits import Asked
from refrain.schemas.journal import Origin, Passed
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.shard.columns import META_KEY
from refrain.streams.store.interface import digest
from tests.ops.audit.audited import audited, kinds, recorded, rewrite, rows
from tests.streams.lookup.stage import NEVER_MS, Stage, moving, traffic
from tests.streams.shard.journal import Journal


@pytest.mark.parametrize("journal", [traffic, moving])
@pytest.mark.parametrize("commit_records", [1, 5, 1_000])
def test_what_a_worker_published_is_what_a_fold_gives(
    journal: Callable[[], Journal], commit_records: int, tmp_path: Path
) -> None:
    stage = recorded(journal(), commit_records=commit_records)
    found = audited(stage.cluster, tmp_path)
    counts = found.findings.counts
    assert found.findings.found == []
    assert counts["decisions"] == len(stage.decisions()) > 20
    assert counts["responses"] == len(stage.responses()) > 10
    assert counts["forwards"] == len(rows(stage, "forwards")) > 5
    assert counts["records"] == len(rows(stage, "journal"))
    assert found.state == digest(stage.stores[0].scan())


def test_compaction_takes_nothing_from_an_audit(tmp_path: Path) -> None:
    stage = recorded(moving(), commit_records=3)
    last = {record.key: number for number, record in enumerate(rows(stage, "documents"))}
    kept = [record for number, record in enumerate(rows(stage, "documents")) if last[record.key] == number]
    assert len(kept) < len(rows(stage, "documents"))
    rows(stage, "documents")[:] = kept
    assert audited(stage.cluster, tmp_path).findings.found == []


def test_each_partition_is_audited_by_itself(tmp_path: Path) -> None:
    stage = recorded(traffic(0), moving(1))
    rewrite(stage, "decisions", 3, lambda value: value.update(similarity=0.5), partition=1)
    assert audited(stage.cluster, tmp_path / "a", 0).findings.found == []
    assert kinds(audited(stage.cluster, tmp_path / "b", 1)) == [Kind.DECISION_DIFFERS]


def test_one_altered_decision_is_named_with_both_sides(tmp_path: Path) -> None:
    stage = recorded(traffic())
    at = next(n for n, record in enumerate(rows(stage, "decisions")) if b'"outcome":"hit"' in (record.value or b""))
    before = json.loads(rows(stage, "decisions")[at].value or b"")
    rewrite(stage, "decisions", at, lambda value: value.update(similarity=0.912345))
    (one,) = audited(stage.cluster, tmp_path).findings.found
    assert (one.kind, one.offset, one.what) == (Kind.DECISION_DIFFERS, before["offset"], before["id"])
    assert [tuple(each) for each in one.differences] == [("similarity", "0.912345", json.dumps(before["similarity"]))]


def test_a_removed_and_a_repeated_decision_are_named(tmp_path: Path) -> None:
    stage = recorded(traffic())
    gone = rows(stage, "decisions").pop(7)
    again = rows(stage, "decisions")[9]
    rows(stage, "decisions").insert(10, again)
    found = audited(stage.cluster, tmp_path)
    assert sorted(kinds(found)) == [Kind.DECISION_INSERTED, Kind.DECISION_MISSING]
    (missing,) = (one for one in found.findings.found if one.kind is Kind.DECISION_MISSING)
    assert missing.what == (gone.key or b"").decode()


def test_a_decision_that_nothing_brought_about_is_named(tmp_path: Path) -> None:
    stage = recorded(traffic())
    made = rows(stage, "decisions")[4]
    value = (made.value or b"").replace((made.key or b""), b"9-9-made")
    rows(stage, "decisions").insert(5, made._replace(key=b"9-9-made", value=value))
    (one,) = audited(stage.cluster, tmp_path).findings.found
    assert (one.kind, one.what) == (Kind.DECISION_INSERTED, "9-9-made")


def test_one_altered_response_is_named(tmp_path: Path) -> None:
    stage = recorded(traffic())
    at = next(n for n, record in enumerate(rows(stage, "responses")) if b'"outcome":"hit"' in (record.value or b""))

    def other_text(value: dict[str, Any]) -> None:
        value["body"]["choices"][0]["message"]["content"] = "another answer"

    rewrite(stage, "responses", at, other_text)
    told = json.loads(rows(stage, "responses")[at].value or b"")["decision"]
    (one,) = audited(stage.cluster, tmp_path).findings.found
    assert (one.kind, one.offset, one.what) == (Kind.RESPONSE_DIFFERS, told["offset"], told["id"])


def test_a_field_put_behind_the_signature_of_a_forward_is_named(tmp_path: Path) -> None:
    stage = recorded(traffic())
    forward = rows(stage, "forwards")[1]
    assert b"." in json.loads(forward.value or b"")["route"].encode()
    other = (forward.value or b"").removesuffix(b"}") + b',"body":{"model":"mine","messages":[]},"x":"y"}'
    rows(stage, "forwards")[1] = forward._replace(value=other)
    (one,) = audited(stage.cluster, tmp_path).findings.found
    assert one.kind is Kind.FORWARD_DIFFERS


@pytest.mark.parametrize(
    ("topic", "missing", "inserted"),
    [
        ("responses", Kind.RESPONSE_MISSING, Kind.RESPONSE_INSERTED),
        ("forwards", Kind.FORWARD_MISSING, Kind.FORWARD_INSERTED),
    ],
)
def test_a_removed_and_an_inserted_effect_are_named(topic: str, missing: Kind, inserted: Kind, tmp_path: Path) -> None:
    stage = recorded(traffic())
    rows(stage, topic).pop(2)
    assert kinds(audited(stage.cluster, tmp_path / "a")) == [missing]
    stage = recorded(traffic())
    made = rows(stage, topic)[2]
    value = json.loads(made.value or b"")
    id_ = value["decision"]["id"] if topic == "responses" else value["forward_id"]
    altered = (made.value or b"").replace(id_.encode(), b"0-77-made")
    stage.cluster.append([Outgoing(topic, made.key, altered, made.headers, 0)])
    assert kinds(audited(stage.cluster, tmp_path / "b")) == [inserted]


def test_an_identical_repeat_of_a_response_is_no_finding(tmp_path: Path) -> None:
    stage = recorded(traffic())
    again = rows(stage, "responses")[3]
    stage.cluster.append([Outgoing("responses", again.key, again.value, again.headers, 0)])
    assert audited(stage.cluster, tmp_path).findings.found == []


def test_one_altered_document_is_named(tmp_path: Path) -> None:
    stage = recorded(traffic())
    last = {record.key: number for number, record in enumerate(rows(stage, "documents")) if record.value is not None}
    key, at = next((key or b"", at) for key, at in last.items() if (key or b"").startswith(b"entries/"))
    rewrite(stage, "documents", at, lambda value: value.update(latency_ms=1_234_567))
    (one,) = audited(stage.cluster, tmp_path).findings.found
    assert (one.kind, one.what) == (Kind.DOCUMENT_DIFFERS, key.decode())
    assert [each.field for each in one.differences] == ["latency_ms"]


def test_a_removed_and_an_inserted_document_are_named(tmp_path: Path) -> None:
    stage = recorded(traffic())
    keys = [record.key for record in rows(stage, "documents")]
    at = next(n for n, key in enumerate(keys) if (key or b"").startswith(b"entries/") and keys.count(key) == 1)
    gone = rows(stage, "documents").pop(at)
    meta = max(n for n, record in enumerate(rows(stage, "documents")) if record.key == META_KEY)
    made = gone._replace(key=b"entries/00000000000000000099")
    rows(stage, "documents").insert(meta, made)
    found: list[Finding] = audited(stage.cluster, tmp_path).findings.found
    assert {(one.kind, one.what) for one in found} == {
        (Kind.DOCUMENT_MISSING, (gone.key or b"").decode()),
        (Kind.DOCUMENT_INSERTED, "entries/00000000000000000099"),
    }


def test_one_altered_journal_record_shows_in_what_it_brought_about(tmp_path: Path) -> None:
    stage = recorded(traffic())
    at = next(n for n, record in enumerate(rows(stage, "journal")) if b'"kind":"Answered"' in (record.value or b""))
    record = rows(stage, "journal")[at]
    rows(stage, "journal")[at] = record._replace(value=(record.value or b"").replace(b"a0", b"a?"))
    found = audited(stage.cluster, tmp_path)
    assert found.findings.found
    assert min(one.offset for one in found.findings.found if one.offset >= 0) >= min(at, 5)
    assert Kind.RESPONSE_DIFFERS in kinds(found)


def test_what_the_moments_leave_out_is_folded_and_not_compared(tmp_path: Path) -> None:
    stage = Stage()
    stage.clock.now_ms = 5_000
    stage.journal(traffic(1))
    worker = stage.worker(NEVER_MS)
    stage.run(worker)
    worker.close()
    rewrite(stage, "decisions", 3, lambda value: value.update(similarity=0.5), partition=1)
    assert audited(stage.cluster, tmp_path / "a", 1, Asked(from_ms=5_001)).findings.found == []
    assert audited(stage.cluster, tmp_path / "b", 1, Asked(to_ms=5_000)).findings.found == []
    assert audited(stage.cluster, tmp_path / "c", 1, Asked(category="chat")).findings.found == []
    assert kinds(audited(stage.cluster, tmp_path / "d", 1, Asked(5_000, 5_001, "code"))) == [Kind.DECISION_DIFFERS]


def test_what_has_no_category_is_asked_for_by_a_dash(tmp_path: Path) -> None:
    journal = Journal()
    origin = Origin(topic="requests", topic_id="other", partition=0, offset=0)
    journal.add(Passed(id="p", origin=origin, tenant="acme", category=None, model="m", reason="bypass_asked"))
    stage = recorded(journal)
    rewrite(stage, "decisions", 0, lambda value: value.update(model="other"))
    assert audited(stage.cluster, tmp_path / "a", asked=Asked(category="code")).findings.found == []
    assert kinds(audited(stage.cluster, tmp_path / "b", asked=Asked(category="-"))) == [Kind.DECISION_DIFFERS]


def test_decisions_that_retention_took_are_counted_as_gone(tmp_path: Path) -> None:
    stage = recorded(traffic())
    stage.cluster.delete_records("decisions", 0, 6)
    found = audited(stage.cluster, tmp_path)
    assert found.findings.found == []
    assert found.findings.counts["decisions_gone"] == 6


def test_a_record_of_an_unknown_version_ends_the_partition_and_is_named(tmp_path: Path) -> None:
    stage = recorded(traffic())
    rewrite(stage, "journal", 9, lambda value: value.update(v=99))
    found = audited(stage.cluster, tmp_path)
    first = found.findings.found[0]
    assert (first.kind, first.offset) == (Kind.CANNOT_FOLD, 9)


def test_from_where_another_version_decided_nothing_is_compared(tmp_path: Path) -> None:
    stage = recorded(traffic())
    for at in range(8, len(rows(stage, "decisions"))):
        rewrite(stage, "decisions", at, lambda value: value.update(behaviour="fold-1/0000", similarity=0.5))
    found = audited(stage.cluster, tmp_path)
    assert found.findings.found == []
    assert found.other_version == "fold-1/0000"
    assert found.other_version_from == json.loads(rows(stage, "decisions")[8].value or b"")["offset"]
    assert found.findings.counts["decisions"] == 8


def test_a_commit_of_another_version_says_so_too(tmp_path: Path) -> None:
    stage = recorded(traffic(), commit_records=1_000)
    for at, record in enumerate(rows(stage, "documents")):
        if record.key == META_KEY:
            rewrite(stage, "documents", at, lambda value: value.update(behaviour="fold-1/0000"))
        elif (record.key or b"").startswith(b"policies/"):
            rewrite(stage, "documents", at, lambda value: value.update(version=77))
    found = audited(stage.cluster, tmp_path)
    assert (found.findings.found, found.other_version, found.other_version_from) == ([], "fold-1/0000", 0)
