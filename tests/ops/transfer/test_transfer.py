"""Exports hold what is there, say when they are not whole, and are imported once, or not at all."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.terminal.points import Point
from refrain.ops.transfer.exporting import Whose, export_entries, export_journal, ranges_of
from refrain.ops.transfer.file import ExportFile, export_file
from refrain.ops.transfer.importing import Terms, check_header, commands_of, held_keys, plan_of
from refrain.ops.transfer.redaction import Redaction
from refrain.ops.transfer.streams import Compression, compression_of, rereadable, writing
from refrain.schemas.journal import EntriesInvalidated, EntryImported
from refrain.schemas.policy import Policy
from refrain.streams.errors import BadInput, FileUnreadable
from tests.ops.audit.audited import audited, recorded, rows
from tests.ops.replay.copying import asked_id
from tests.streams.lookup.stage import Stage
from tests.streams.shard.journal import Journal, policy, vector

NOW_MS = 1_500_000
SECRET = "the secret recipe"


def kept() -> Journal:
    """Three entries of two tenants, one of them withdrawn."""
    journal = Journal()
    journal.policy()
    for number, tenant in enumerate(("acme", "acme", "other")):
        fields: dict[str, Any] = {
            "tenant": tenant,
            "space": tenant,
            "tags": (f"tag {number}",),
            "sources": ({"id": f"doc {number}"},),
        }
        where = vector(*[0.0] * number, 1.0)
        asked = journal.ask(f"{SECRET} {number}", where, request_id=f"mine {number}", **fields)
        journal.answer(asked_id(asked), f"answer {number}")
    journal.ask(f"{SECRET} 0", vector(1.0))
    journal.add(EntriesInvalidated(version=1, tag="tag 1"))
    return journal


@pytest.fixture
def stage() -> Stage:
    one = Stage()
    one.clock.now_ms = NOW_MS
    one.journal(kept())
    worker = one.worker()
    one.run(worker)
    worker.close()
    return one


def entries(stage: Stage, path: Path, whose: Whose = Whose(), redaction: Redaction | None = None) -> ExportFile:  # noqa: B008
    with export_file(str(path), compression_of(path.name), force=True) as writer:
        export_entries(stage.cluster, writer, whose, redaction, NOW_MS + 1)
    return ExportFile(path, path.name)


def terms(**changed: Any) -> Terms:
    given = {"policy": policy(), "embedder": "test", "held": frozenset(), "keep_age": False, "who": "ana", "why": "",
             "now_ms": NOW_MS + 10}  # fmt: skip
    return Terms(**{**given, **changed})


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz", "e.jsonl.zst"])
def test_an_export_has_the_live_entries_and_tells_of_itself(name: str, stage: Stage, tmp_path: Path) -> None:
    file = entries(stage, tmp_path / name)
    lines = list(file.lines())
    assert [line.value["entry"]["question"]["data"] for line in lines] == [f"{SECRET} 0", f"{SECRET} 2"]
    assert [line.value["uses"] for line in lines] == [1, 0]
    assert [line.number for line in lines] == [2, 3]
    header = file.header
    assert (header.embedders, header.journal, header.redacted) == (("test",), "-_journal--id_", False)
    assert header.offsets[0] == (0, len(rows(stage, "journal")))
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_entries_are_chosen_by_tenant_and_category(stage: Stage, tmp_path: Path) -> None:
    file = entries(stage, tmp_path / "e", Whose("other", "code"))
    assert [line.value["entry"]["tenant"] for line in file.lines()] == ["other"]
    assert list(entries(stage, tmp_path / "f", Whose(category="secret")).lines()) == []
    with pytest.raises(BadInput, match="there is no category 'chat': the policy in force has code, secret"):
        entries(stage, tmp_path / "g", Whose(category="chat"))
    with pytest.raises(BadInput, match="no entry of tenant 'nobody' is kept in category 'code'"):
        entries(stage, tmp_path / "g", Whose("nobody", "code"))
    assert not (tmp_path / "g").exists()


def test_entries_over_their_lifetime_are_left_out(stage: Stage, tmp_path: Path) -> None:
    with export_file(str(tmp_path / "e"), Compression.NONE, force=False) as writer:
        export_entries(stage.cluster, writer, Whose(), None, NOW_MS + 86_400_001)
    assert writer.lines == 0


def test_a_range_of_the_journal_is_exported_byte_by_byte(stage: Stage, tmp_path: Path) -> None:
    rows(stage, "journal").append(
        rows(stage, "journal")[-1]._replace(offset=len(rows(stage, "journal")), value=b"\xff")
    )
    ranges = ranges_of(stage.cluster, [0], Point("2", offset=2), None)
    with export_file(str(tmp_path / "j.zst"), Compression.ZSTD, force=False) as writer:
        export_journal(stage.cluster, writer, ranges, None, NOW_MS)
    file = ExportFile(tmp_path / "j.zst", "j.zst")
    lines = [line.value for line in file.lines()]
    assert [line["offset"] for line in lines] == list(range(2, len(rows(stage, "journal"))))
    assert lines[-1]["value"] == "/w=="
    compact = [json.dumps(line["value"], ensure_ascii=False, separators=(",", ":")).encode() for line in lines[:-1]]
    assert compact == [record.value for record in rows(stage, "journal")[2:-1]]
    assert (file.header.offsets, file.header.embedders) == ({0: (2, len(lines) + 2)}, ("test",))


@pytest.mark.parametrize(
    ("partitions", "since", "to", "said"),
    [
        (None, Point("2", offset=2), None, "2 is an offset of one partition"),
        ([0], Point("99", offset=99), None, "has the offsets 0 to 9: there is no 99"),
        ([0], None, Point("99", offset=99), "has the offsets 0 to 9: there is no 99"),
        ([0], Point("5", offset=5), Point("4", offset=4), "it lies behind --to"),
        ([7], None, None, "the journal has the partitions 0 to 1, no 7"),
    ],
)
def test_ranges_that_the_log_does_not_have_are_refused(
    partitions: list[int] | None, since: Point | None, to: Point | None, said: str, stage: Stage
) -> None:
    with pytest.raises(BadInput, match=said):
        ranges_of(stage.cluster, partitions, since, to)


def test_a_redacted_export_has_no_text_and_no_vector(stage: Stage, tmp_path: Path) -> None:
    file = entries(stage, tmp_path / "e", redaction=Redaction())
    with export_file(str(tmp_path / "j"), Compression.NONE, force=False) as writer:
        export_journal(stage.cluster, writer, ranges_of(stage.cluster, None, None, None), Redaction(), NOW_MS)
    digests = [rows(stage, "journal")[1].value or b""]
    known = json.loads(digests[0])
    for path in (tmp_path / "e", tmp_path / "j"):
        text = path.read_text()
        for hidden in (
            SECRET,
            "answer 0",
            "tag 0",
            "doc 0",
            "mine 0",
            known["text_digest"],
            known["vector"],
            "messages",
        ):
            assert hidden not in text, hidden
        assert '"tenant":"acme"' in text
        assert '"category":"code"' in text
    first, second = file.lines()
    assert first.value["entry"]["question"]["data"].startswith("redacted:")
    assert first.value["entry"]["context"] == second.value["entry"]["context"] != "c0"
    assert first.value["entry"]["vector"] is None
    (line, _) = entries(stage, tmp_path / "v", redaction=Redaction(keep_vectors=True)).lines()
    assert line.value["entry"]["vector"] == known["vector"]
    with pytest.raises(BadInput, match="is redacted"):
        check_header(file, "e", "test")


def test_two_redactions_have_no_digest_in_common() -> None:
    one, two = (Redaction().redact({"data": SECRET}) for _ in range(2))
    assert one != two


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], "e was cut off after line 3: its last line is missing"),
        (lambda lines: lines[:1], "e was cut off after line 1"),
        (lambda lines: [*lines[:2], lines[2][:-40]], "e, line 3: no JSON object"),
        (lambda lines: [lines[0], *lines[2:]], "e was altered: line 3 tells 2 lines"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "e was altered"),
        (lambda lines: [lines[0].replace(b"code", b"chat"), *lines[1:]] if b"code" in lines[0] else
         [lines[0].replace(b'"shards":2', b'"shards":3'), *lines[1:]], "e was altered"),
        (lambda lines: [lines[0], lines[1].replace(b"secret", b"public"), *lines[2:]], "e was altered"),
        (lambda lines: [*lines, lines[1]], "e was altered: line 4 is its last, and more follows"),
        (lambda lines: [lines[0].replace(b'"v":1', b'"v":2'), *lines[1:]], "is an export of version 2"),
        (lambda lines: [lines[0].replace(b'"kind":"entries"', b'"kind":"x"'), *lines[1:]], "e, line 1: kind"),
        (lambda lines: [b'{"v":1}\n'], "e is no export of Refrain's"),
        (lambda lines: [b"PK\x03\x04"], "e is no export of Refrain's"),
        (lambda lines: [], "e is no export of Refrain's"),
        (lambda lines: [lines[0], b"[" * 100_000 + b"\n"], "e, line 2: no JSON object"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_whole_is_refused_with_its_line(
    change: Callable[[list[bytes]], list[bytes]], said: str, stage: Stage, tmp_path: Path
) -> None:
    entries(stage, tmp_path / "e")
    (tmp_path / "e").write_bytes(b"".join(change(lines_of(tmp_path / "e"))))
    with pytest.raises(BadInput, match=said):
        plan_of(ExportFile(tmp_path / "e", "e"), "e", terms())


@pytest.mark.parametrize("name", ["e.gz", "e.zst"])
def test_a_compressed_file_that_is_cut_or_damaged_is_refused(name: str, stage: Stage, tmp_path: Path) -> None:
    entries(stage, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for wrong in (whole[: len(whole) // 2], whole[:-12], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]):
        (tmp_path / name).write_bytes(wrong)
        with pytest.raises(BadInput, match=f"{name}"):
            plan_of(ExportFile(tmp_path / name, name), name, terms())


def altered(stage: Stage, path: Path, change: Callable[[dict[str, Any]], object]) -> ExportFile:
    """An export of the same entries, the first of them changed before it was written."""
    lines = [line.value for line in entries(stage, path).lines()]
    header = ExportFile(path, "e").header
    change(lines[0]["entry"])
    with export_file(str(path), Compression.NONE, force=True) as writer:
        for line in lines:
            writer.write(line)
        writer.finish(header)
    return ExportFile(path, "e")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: e.update(embedder="other"), "e, line 2: a vector of the embedder other, and the settings load test"),
        (lambda e: e.update(vector="AAAA"), "e, line 2: the vector is no vector of record"),
        (lambda e: e.update(vector="!!"), "e, line 2: the vector is no vector of record"),
        (lambda e: e.update(vector=vector(1.0)[:8]), "e, line 3: a vector of 16 dimensions among others of 3"),
        (lambda e: e.update(category="chat"), "line 2: the policy in force has no category 'chat'; it keeps code"),
        (lambda e: e.update(category="secret"), "line 2: the policy in force keeps nothing of category 'secret'"),
        (lambda e: e.update(tenant="a/b"), "e, line 2: tenant"),
        (lambda e: e.update(context="no hex"), "e, line 2: context"),
        (lambda e: e.update(v=2), "e, line 2: v"),
        (lambda e: e.pop("answer"), "e, line 2: answer"),
        (lambda e: e["answer"].update(data="{}"), "e, line 2: the answer is no projection"),
        (lambda e: e["question"].update(key_id="k7"), "e, line 2: the question is sealed with the key 'k7'"),
    ],
)
def test_a_line_that_is_no_entry_of_this_cache_is_named(
    change: Callable[[dict[str, Any]], object], said: str, stage: Stage, tmp_path: Path
) -> None:
    file = altered(stage, tmp_path / "e", change)
    with pytest.raises(BadInput, match=said) as refused:
        plan_of(file, "e", terms())
    assert SECRET not in str(refused.value)


def test_another_embedder_is_refused_with_both_identities(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="vectors of the embedder test, and the settings load mine"):
        check_header(entries(stage, tmp_path / "e"), "e", "mine")


def test_a_range_of_the_journal_is_not_imported(stage: Stage, tmp_path: Path) -> None:
    with export_file(str(tmp_path / "j"), Compression.NONE, force=False) as writer:
        export_journal(stage.cluster, writer, {0: (0, 2)}, None, NOW_MS)
    with pytest.raises(BadInput, match="is a range of the journal"):
        check_header(ExportFile(tmp_path / "j", "j"), "j", "test")


def imports(file: ExportFile, **changed: Any) -> Journal:
    """What govern makes of an import, after a policy."""
    journal = Journal()
    journal.time_ms = NOW_MS
    journal.policy()
    for version, command in enumerate(commands_of(file, "e", terms(**changed)), start=1):
        fields = command.model_dump(exclude={"who", "why", "kind"})
        journal.add(EntryImported(**fields, version=version))
    return journal


def test_an_imported_entry_gives_a_hit_to_its_tenant_alone(stage: Stage, tmp_path: Path) -> None:
    journal = imports(entries(stage, tmp_path / "e.zst"))
    for tenant in ("acme", "other"):
        journal.ask(f"{SECRET} 2", vector(0.0, 0.0, 1.0), tenant=tenant, space=tenant)
    other = recorded(journal)
    outcomes = [json.loads(record.value or b"")["outcome"] for record in rows(other, "decisions")]
    assert outcomes == ["miss", "hit"]
    assert audited(other.cluster, tmp_path / "audit").findings.found == []


def test_what_is_kept_is_not_sent_again(stage: Stage, tmp_path: Path) -> None:
    file = entries(stage, tmp_path / "e")
    assert (plan_of(file, "e", terms()).sent, plan_of(file, "e", terms()).kept_already) == (2, 0)
    held = held_keys(rows(recorded(imports(file)), "documents"))
    plan = plan_of(file, "e", terms(held=held))
    assert (plan.sent, plan.kept_already) == (0, 2)
    assert held == plan_of(file, "e", terms()).keys
    assert held_keys(rows(stage, "documents")) >= held


def test_entries_keep_their_age_or_begin_anew(stage: Stage, tmp_path: Path) -> None:
    file = entries(stage, tmp_path / "e")
    assert {each.admitted_at_ms for each in commands_of(file, "e", terms())} == {None}
    assert {each.admitted_at_ms for each in commands_of(file, "e", terms(keep_age=True))} == {NOW_MS}
    late = plan_of(file, "e", terms(keep_age=True, now_ms=NOW_MS + 86_400_000))
    assert (late.sent, late.expired) == (0, 2)


def test_an_entry_that_no_command_holds_is_told_and_left_out(stage: Stage, tmp_path: Path) -> None:
    file = altered(stage, tmp_path / "e", lambda entry: entry["question"].update(data="x" * 1_000_000))
    plan = plan_of(file, "e", terms())
    assert (plan.sent, plan.too_large) == (1, 1)


def test_the_policy_of_the_import_is_the_one_in_force(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no category 'code'; it keeps none"):
        plan_of(entries(stage, tmp_path / "e"), "e", terms(policy=Policy(categories={})))


def test_a_file_that_is_there_is_written_over_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_text("mine")
    with pytest.raises(BadInput, match="exists"), writing(str(path), Compression.NONE):
        pass
    with pytest.raises(BadInput, match="is no folder"), writing(str(tmp_path / "no" / "e"), Compression.NONE):
        pass
    assert path.read_text() == "mine"


def test_a_folder_that_takes_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    path = str(tmp_path / "e")
    with (
        pytest.raises(BadInput, match=r"e cannot be written: its folder takes no file \(Permission denied\)"),
        export_file(path, Compression.NONE, force=False),
    ):
        pass


@pytest.mark.parametrize("compression", list(Compression))
def test_a_full_disk_is_named_and_leaves_nothing(compression: Compression, tmp_path: Path) -> None:
    def fill() -> None:
        with writing(str(tmp_path / "e"), compression) as stream:
            stream.write(b"x")
            raise OSError(28, os.strerror(28))

    with pytest.raises(BadInput, match="e cannot be written: No space left on device; nothing of it is left"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_standard_input_is_read_as_often_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Standard:
        buffer = io.BytesIO(gzip.compress(b"all of it"))

    monkeypatch.setattr("sys.stdin", Standard)
    with rereadable("-") as path:
        assert [gzip.decompress(path.read_bytes()) for _ in range(2)] == [b"all of it"] * 2
    assert not path.exists()
    with pytest.raises(FileUnreadable, match="is no file"), rereadable("/nowhere/e"):
        pass
