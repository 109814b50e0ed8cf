"""Dead letters: listed without a word of what was sent, shown on demand, sent again as they came, dropped."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from refrain.ops.cli import main
from refrain.ops.letters.letter import Letter, LetterFilter, LetterPlace, count_codes, read_place
from refrain.ops.letters.topic import drop_through, find, read_since, send_again
from refrain.ops.observe.doctor_cluster import dead_letters
from refrain.schemas.dead_letters import HEADER_REASON, HEADER_TARGET
from refrain.streams.errors import BadInput, Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.dead_letters import dead_letter
from refrain.streams.settings import Settings

SECRET = b'{"body": "my secret question"}'
CLIENT = (("trace", b"t-1"), ("empty", None))


class Cluster(MemoryCluster):
    """A cluster in memory, that a command may also close."""

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_error: object) -> None:
        pass


def record(topic: str = "requests", value: bytes | None = SECRET, offset: int = 7) -> Record:
    return Record(topic, 2, offset, 1_000, b"my-key", value, CLIENT)


def letter(topic: str = "requests", code: RefusalCode = RefusalCode.BAD_FIELD, **kept: Any) -> Outgoing:
    return dead_letter(record(topic), Refusal(code, "the reason quotes: my secret"), "classify", **kept)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cluster:
    """A cluster that the commands reach, with three letters."""
    made = Cluster(lambda: 5_000)
    secret = letter(code=RefusalCode.INTERNAL, with_text=False)
    made.append([letter(), letter("journal", RefusalCode.FOLD_FAILED), secret])
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("refrain.ops.cluster.connection.reach", lambda settings: Admin(made))
    monkeypatch.setattr("refrain.streams.kafka.cluster.KafkaCluster", lambda settings: made)
    monkeypatch.setattr("refrain.ops.terminal.moments.time_of_day", SimpleNamespace(now_ms=lambda: 6_000))
    return made


class Admin:
    """An admin client that remembers what it is told to delete."""

    deleted: list[tuple[str, int, int]]

    def __init__(self, cluster: Cluster) -> None:
        Admin.deleted = []

    def delete_records(self, places: Any, *, request_timeout: float) -> Any:
        Admin.deleted += [(place.topic, place.partition, place.offset) for place in places]
        return {}


Out = pytest.CaptureFixture[str]


def test_the_list_shows_no_word_of_what_was_sent(cluster: Cluster, capsys: Out) -> None:
    assert main(["dead-letters", "list", "--json"]) == 0
    shown = capsys.readouterr()
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert [(row["id"], row["code"], row["source"]) for row in rows] == [
        ("0-0", "bad_field", "requests[2]@7"),
        ("0-1", "fold_failed", "journal[2]@7"),
        ("0-2", "internal", "requests[2]@7"),
    ]
    assert main(["dead-letters", "list"]) == 0
    assert main(["dead-letters", "show", "0-0", "0-1"]) == 0
    plain = capsys.readouterr()
    assert plain.err.count("--text shows what was sent") == 1
    assert "secret" not in shown.out + plain.out + plain.err
    assert "my-key" not in plain.out
    assert "3 dead letters since 24h: 1 bad_field by classify" in plain.err


def test_a_letter_that_was_written_twice_is_listed_and_sent_again_once(cluster: Cluster, capsys: Out) -> None:
    before = list(cluster.scan("requests", 0))
    cluster.append([letter()])
    assert main(["dead-letters", "list", "--json"]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["0-0", "0-1", "0-2"]
    for chosen in (["--code", "bad_field"], ["0-0", "0-3"]):
        assert main(["dead-letters", "retry", *chosen, "--yes"]) == 0
        assert capsys.readouterr().out == "sent 1 record again\n"
    sent = [each for part in range(cluster.partitions("requests")) for each in cluster.scan("requests", part)]
    assert len(sent) == len(before) + 2


def test_texts_are_shown_on_demand(cluster: Cluster, capsys: Out) -> None:
    assert main(["dead-letters", "show", "0-0", "--text", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["value"] == SECRET.decode()
    assert (told["key"], told["headers"]) == ("my-key", {"trace": "t-1", "empty": None})
    assert "my secret" in told["reason"]


def test_a_list_is_of_a_time_and_of_what_is_asked_for(cluster: Cluster, capsys: Out) -> None:
    assert main(["dead-letters", "list", "--code", "internal", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main(["dead-letters", "list", "--since", "500ms", "--json"]) == 0
    assert capsys.readouterr().out == ""
    for wrong, meant in (("--code", "bad_feild"), ("--processor", "clasify")):
        assert main(["dead-letters", "list", wrong, meant]) == 2
        assert "did you mean" in capsys.readouterr().err
    assert main(["dead-letters", "list", "--since", "yesterday"]) == 2


def test_a_retry_sends_the_original_as_it_came(cluster: Cluster, capsys: Out) -> None:
    assert main(["dead-letters", "retry", "0-0", "--yes"]) == 0
    (sent,) = cluster.records("requests")
    assert (sent.key, sent.value, sent.headers) == (b"my-key", SECRET, CLIENT)
    assert "sent 1 record again" in capsys.readouterr().out


def test_what_is_not_whole_or_not_for_others_to_write_is_left_out_with_a_reason(cluster: Cluster, capsys: Out) -> None:
    assert main(["dead-letters", "retry", "0-0", "0-1", "0-2", "--yes"]) == 1
    told = capsys.readouterr()
    assert "0-1 is of journal, which only Refrain itself writes" in told.err
    assert "0-2 does not hold the whole record" in told.err
    assert len(cluster.records("requests")) == 1
    assert cluster.records("journal") == []
    assert main(["dead-letters", "retry", "--yes"]) == 2
    assert main(["dead-letters", "retry", "0-99", "--yes"]) == 1
    assert main(["dead-letters", "retry", "soon", "--yes"]) == 2
    capsys.readouterr()
    assert main(["dead-letters", "retry", "--topic", "nowhere", "--yes"]) == 1
    assert "no dead letter since 24h is of that" in capsys.readouterr().err


def test_a_retry_asks_first(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["dead-letters", "retry", "0-0"]) == 1
    assert "Send 1 record again?" in capsys.readouterr().err
    assert cluster.records("requests") == []


def test_a_drop_takes_a_letter_and_the_older_ones(cluster: Cluster, capsys: Out) -> None:
    assert main(["dead-letters", "drop", "0-1", "--yes"]) == 0
    assert Admin.deleted == [("refrain.dead-letters", 0, 2)]
    assert "dropped 2 dead letters" in capsys.readouterr().out
    assert main(["dead-letters", "drop", "--all", "--yes"]) == 0
    assert Admin.deleted == [("refrain.dead-letters", 0, 3)]
    assert main(["dead-letters", "drop", "--yes"]) == 2
    assert main(["dead-letters", "drop", "0-1", "--all", "--yes"]) == 2


def test_what_could_not_be_sent_is_told_by_where_it_was_to_go() -> None:
    headers = ((HEADER_TARGET, b"answers"), (HEADER_REASON, b"not_sent: closed"))
    told = Letter(Record("dead-letters", 0, 4, 1, None, b"{}", headers))
    assert (told.code, told.source, told.topic) == ("not_sent", "for answers", "answers")
    with pytest.raises(BadInput, match="cannot be sent again"):
        told.original()


def test_a_header_of_the_clients_own_tells_nothing_of_a_letter() -> None:
    forged = Record("requests", 0, 1, 1, None, b"x", ((HEADER_REASON, b"internal: mine"),))
    out = dead_letter(forged, Refusal(RefusalCode.UNREADABLE, "no"), "classify")
    assert Letter(Record("dead-letters", 0, 0, 1, out.key, out.value, out.headers)).code == "unreadable"


def test_the_doctor_counts_letters_of_the_last_hour(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    (old,) = dead_letters(cluster)
    assert old.state == "ok"
    monkeypatch.setattr("time.time_ns", lambda: 6_000_000_000)
    (row,) = dead_letters(cluster)
    assert row.state == "warn"
    assert row.seen.startswith("3 in the last 1 h: 1 bad_field by classify")
    assert "refrain dead-letters list" in row.do


def test_places_and_counts() -> None:
    assert str(read_place(" 3-17 ")) == "3-17"
    for wrong in ("", "3", "3-", "-3", "a-1", "1-2-3"):
        with pytest.raises(ValueError, match="is no id"):
            read_place(wrong)
    made = MemoryCluster(lambda: 5_000)
    made.append([letter(), dead_letter(record(offset=8), Refusal(RefusalCode.BAD_FIELD, "no"), "classify")])
    assert count_codes(read_since(made, 0)) == {("classify", "bad_field"): 2}
    with pytest.raises(BadInput, match="no dead letter lies at 1-0"):
        find(made, [LetterPlace(1, 0)])
    assert not LetterFilter(topic="load").takes(find(made, [LetterPlace(0, 1)])[0])
    send_again(made, [Outgoing("requests", None, b"x")])
    assert len(made.records("requests")) == 1
    drop_through(Admin(Cluster(lambda: 0)), Settings(), [LetterPlace(0, 1)])  # type: ignore[arg-type]
    assert Admin.deleted == [("refrain.dead-letters", 0, 2)]
