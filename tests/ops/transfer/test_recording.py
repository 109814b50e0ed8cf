"""A journal that was exported is folded again as it was recorded; a file that is not whole is refused by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.replay.run import replay
from refrain.ops.replay.stretch import Stretch
from refrain.ops.terminal.points import Point
from refrain.ops.transfer.exporting import Whose, export_entries, export_journal, ranges_of
from refrain.ops.transfer.file import ExportFile, export_file
from refrain.ops.transfer.recording import Hole, notes_on, recorded_journal
from refrain.ops.transfer.redaction import Redaction
from refrain.ops.transfer.streams import Compression
from refrain.schemas.documents import Skip
from refrain.streams.errors import BadInput
from refrain.streams.kafka.interface import Outgoing, Span
from refrain.streams.shard.columns import SKIPS
from refrain.streams.shard.skips import skip_id
from refrain.streams.store.interface import digest
from tests.ops.replay.copying import copy_of, run
from tests.streams.lookup.stage import Stage

Lines = list[dict[str, Any]]


@pytest.fixture
def stage() -> Stage:
    return run()


def exported(stage: Stage, path: Path, partitions: list[int] | None = None, since: Point | None = None) -> ExportFile:
    with export_file(str(path), Compression.ZSTD, force=True) as writer:
        export_journal(stage.cluster, writer, ranges_of(stage.cluster, partitions, since, None), None, 1)
    return ExportFile(path, path.name)


def rewritten(file: ExportFile, path: Path, change: Callable[[dict[str, Any], Lines], None]) -> ExportFile:
    """The same file with other lines, and an end that fits them."""
    header, lines = file.header.model_dump(mode="json"), [line.value for line in file.lines()]
    change(header, lines)
    data = b"".join(json.dumps(each).encode() + b"\n" for each in (header, *lines))
    end = {"lines": len(lines), "digest": hashlib.blake2b(data, digest_size=16).hexdigest()}
    path.write_bytes(data + json.dumps(end).encode() + b"\n")
    return ExportFile(path, path.name)


def test_a_replay_of_an_export_gives_what_was_published(stage: Stage, tmp_path: Path) -> None:
    file = exported(stage, tmp_path / "j")
    copy, target = copy_of()
    with recorded_journal(file, "j", None) as (journal, checked):
        assert journal.topic_id("journal") == stage.cluster.topic_id("journal")
        done = replay(journal, target, Stretch(journal))
        live = stage.cluster.topic("journal").records
        assert [list(journal.scan("journal", number)) for number in range(2)] == live
        assert list(journal.sift("journal", {1: Span(3, 5)})) == live[1][3:5]
    assert checked.records == sum(map(len, stage.cluster.topic("journal").records))
    assert checked.holes == []
    for number, each in enumerate(done):
        theirs = stage.cluster.topic("decisions").records[number]
        assert [row.value for row in copy.topic("decisions").records[number]] == [row.value for row in theirs]
        assert each.state == digest(stage.stores[number].scan())
    assert copy.topic("journal").records == stage.cluster.topic("journal").records


def test_it_ends_where_it_is_told_and_its_first_moment_is_known(stage: Stage, tmp_path: Path) -> None:
    file = exported(stage, tmp_path / "j", [1])
    with recorded_journal(file, "j", [1]) as (journal, _):
        first = stage.cluster.topic("journal").records[1][0].timestamp_ms
        assert len(Stretch(journal, [1], Point("3", offset=3))) == 3
        with pytest.raises(BadInput, match="lies before the log"):
            Stretch(journal, [1], Point("then", time_ms=first - 1))


def test_what_a_shard_skipped_is_skipped_again(stage: Stage, tmp_path: Path) -> None:
    skip = Skip(to_offset=4, what="questions", why="store_unusable")
    stage.cluster.append([Outgoing("documents", SKIPS.key(skip_id(2, skip.what)), skip.encode(), (), 1)])
    file = exported(stage, tmp_path / "j")
    assert file.header.skips == {1: ((2, skip),)}
    copy, target = copy_of()
    with recorded_journal(file, "j", None) as (journal, _):
        replay(journal, target, Stretch(journal))
    other, target = copy_of()
    replay(stage.cluster, target, Stretch(stage.cluster))
    for topic in ("decisions", "documents"):
        assert [row.value for row in copy.records(topic)] == [row.value for row in other.records(topic)]


def test_a_range_that_does_not_begin_at_the_first_record_is_refused(stage: Stage, tmp_path: Path) -> None:
    file = exported(stage, tmp_path / "j", [0], Point("2", offset=2))
    with pytest.raises(BadInput, match="partition 0 from offset 2 on"), recorded_journal(file, "j", None):
        pass
    whole = exported(stage, tmp_path / "k", [0])
    with pytest.raises(BadInput, match="nothing of partition 1: it has 0"), recorded_journal(whole, "k", [1]):
        pass


def test_entries_and_a_redacted_journal_are_refused(stage: Stage, tmp_path: Path) -> None:
    with export_file(str(tmp_path / "e"), Compression.NONE, force=False) as writer:
        export_entries(stage.cluster, writer, Whose(), None, 1)
    with (
        pytest.raises(BadInput, match="refrain import"),
        recorded_journal(ExportFile(tmp_path / "e", "e"), "e", None),
    ):
        pass
    with export_file(str(tmp_path / "r"), Compression.NONE, force=False) as writer:
        export_journal(stage.cluster, writer, ranges_of(stage.cluster, None, None, None), Redaction(), 1)
    with pytest.raises(BadInput, match="is redacted"), recorded_journal(ExportFile(tmp_path / "r", "r"), "r", None):
        pass


def first_vector(lines: Lines) -> dict[str, Any]:
    return next(line["value"] for line in lines if isinstance(line["value"], dict) and line["value"].get("vector"))


def shorter(lines: Lines) -> None:
    value = first_vector(lines)
    value["vector"] = value["vector"][:8]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _, lines: lines.pop(1), None),
        (lambda _, lines: lines.insert(1, lines[0]), r"line 3: offset 0 of partition 0, where 1 to .* twice"),
        (lambda _, lines: lines.__setitem__(slice(1, 3), [lines[2], lines[1]]), "line 4: offset 1"),
        (lambda _, lines: lines.append(lines[0]), "goes on behind another one"),
        (lambda head, _: head["offsets"].pop("0"), "line 2: a record of partition 0, which the first line"),
        (lambda head, _: head["offsets"].__setitem__("0", [0, 1]), "line 3: offset 1 of partition 0, where 1 to 0"),
        (lambda head, _: head.__setitem__("shards", 1), "line 1: 1 shards"),
        (lambda head, _: head.__setitem__("shards", 10**12), "line 1: 1000000000000 shards"),
        (lambda head, _: head.__setitem__("embedders", ["other"]), "a vector of the embedder test; the first line"),
        (lambda _, lines: shorter(lines), "dimensions"),
        (lambda _, lines: first_vector(lines).__setitem__("vector", "?"), "no vector of record"),
        (lambda _, lines: lines[0]["value"].__setitem__("v", 99), "line 2: a record of version 99"),
        (lambda _, lines: lines[0].pop("offset"), "line 2: offset: Field required"),
        (lambda _, lines: lines[0].__setitem__("key", "?"), "line 2: what should be base64 is none"),
        (lambda _, lines: lines[0].__setitem__("value", 7), "line 2: the value is neither"),
    ],
)  # fmt: skip
def test_what_was_put_together_anew_is_named_by_line(
    change: Callable[[dict[str, Any], Lines], None], said: str | None, stage: Stage, tmp_path: Path
) -> None:
    file = rewritten(exported(stage, tmp_path / "j"), tmp_path / "k", change)
    if said is None:
        with recorded_journal(file, "k", None) as (_, checked):
            assert checked.holes == []
        return
    with pytest.raises(BadInput, match=said), recorded_journal(file, "k", None):
        pass


def test_a_file_that_was_cut_off_is_refused_before_anything_is_read(stage: Stage, tmp_path: Path) -> None:
    whole = rewritten(exported(stage, tmp_path / "j"), tmp_path / "k", lambda *_: None)
    data = (tmp_path / "k").read_bytes()
    (tmp_path / "k").write_bytes(data[: len(data) // 2].rpartition(b"\n")[0] + b"\n")
    with pytest.raises(BadInput, match="was cut off after line"), recorded_journal(whole, "k", None):
        pass


def test_holes_other_versions_and_embedders_are_told(stage: Stage, tmp_path: Path) -> None:
    def change(header: dict[str, Any], lines: Lines) -> None:
        header["behaviour"] = "fold-1"
        del lines[1:4]

    file = rewritten(exported(stage, tmp_path / "j", [0]), tmp_path / "k", change)
    with recorded_journal(file, "k", None) as (_, checked):
        assert checked.holes == [Hole(0, 1, 3)]
        notes = " ".join(notes_on(file.header, checked))
    for told in ("fold-1 exported it", "of test", "partition 0: nothing stands at the offsets 1 to 3"):
        assert told in notes
