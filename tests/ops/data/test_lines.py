"""Files of labelled pairs, good and bad lines mixed."""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.ops.data.lines import Condition, PairFields, check_any, condition, lines_of, pairs
from refrain.streams.errors import BadInput

GOOD = {"text_a": "one", "text_b": "two", "label": 1}
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip())
GOOD_LINES = st.builds(
    lambda a, b, label, plain: json.dumps({"text_a": a, "text_b": b, "label": label}, ensure_ascii=plain).encode(),
    TEXTS, TEXTS, st.sampled_from([0, 1, True, False, "0", "1", 1.0]), st.booleans(),
)  # fmt: skip
BAD_LINES = st.sampled_from([
    b"{", b"[]", b"7", b"\xff\xfe", b"null", b'{"text_a": "x"}', b'{"text_a": "x", "text_b": "y", "label": 2}',
    b'{"text_a": "x", "text_b": " ", "label": 1}', b'{"text_a": 1, "text_b": "y", "label": 1}',
    b'{"text_a": "\\ud800", "text_b": "y", "label": 1}', b'{"text_a": "x", "text_b": "y", "label": NaN}',
    b"[" * 100_000, b'{"text_a": "x", "text_b": "y", "label": null}',
])  # fmt: skip
BLANK_LINES = st.sampled_from([b"", b"  ", b"\t\r"])
ENDS = st.sampled_from([b"\n", b"\r\n"])


def row(**fields: Any) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("good"), GOOD_LINES),
            st.tuples(st.just("bad"), BAD_LINES),
            st.tuples(st.just("blank"), BLANK_LINES),
        )
    ),
    ENDS,
    st.booleans(),
    st.booleans(),
)
def test_no_good_line_is_lost_and_every_bad_one_is_named(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, bytes]], end: bytes, packed: bool, whole: bool
) -> None:
    path = tmp_path_factory.mktemp("lines") / "pairs.jsonl"
    data = end.join(line for _, line in lines) + (end if whole else b"")
    path.write_bytes(gzip.compress(data) if packed else data)
    good, bad = pairs(lines_of(path))
    assert [pair.line for pair in good] == [n for n, (kind, _) in enumerate(lines, 1) if kind == "good"]
    assert [each.line for each in bad] == [n for n, (kind, _) in enumerate(lines, 1) if kind == "bad"]
    for pair in good:
        assert json.loads(lines[pair.line - 1][1])["text_a"] == pair.text_a


def test_each_bad_line_says_what_is_wrong_with_it() -> None:
    lines = [row(), b"{", b"[]", b"\xff", row(text_a=None), row(text_b=3), row(text_a=" "), row(label="maybe")]
    good, bad = pairs(lines)
    assert len(good) == 1
    assert [each.line for each in bad] == [2, 3, 4, 5, 6, 7, 8]
    told = [each.why for each in bad]
    assert told[0].startswith("not JSON")
    assert told[1:] == [
        "not a JSON object", "not UTF-8", "text_a: missing", "text_b: not a text", "text_a: empty",
        "label: neither 1 nor 0 (name the texts that mean 1 with --positive)",
    ]  # fmt: skip


def test_fields_and_labels_may_have_other_names() -> None:
    lines = [b'{"q1": "x", "q2": "y", "kind": "ENTAILMENT"}', b'{"q1": "x", "q2": "z", "kind": "NEUTRAL"}']
    good, bad = pairs(lines, PairFields("q1", "q2", "kind", ("ENTAILMENT",)))
    assert [(pair.text_b, pair.label) for pair in good] == [("y", True), ("z", False)]
    assert bad == []


def test_only_lines_of_which_the_conditions_hold_count() -> None:
    lines = [row(score=4.5, kind="a"), row(score=4, kind="a"), row(score=5, kind="b"), row(kind="a"), row(score="5")]
    good, bad = pairs(lines, where=[condition("score >= 4.5"), condition("kind=a")])
    assert [pair.line for pair in good] == [1]
    assert [(each.line, each.why) for each in bad] == [(4, "score: missing"), (5, "score: not a number")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", ("a", "=", "b")),
        ("a!=b c", ("a", "!=", "b c")),
        (" a <= 2 ", ("a", "<=", "2")),
        ("a=x>=y", ("a", "=", "x>=y")),
    ],
)
def test_a_condition_is_read_as_it_is_written(text: str, expected: tuple[str, str, str]) -> None:
    assert condition(text) == Condition(*expected)


@pytest.mark.parametrize("text", ["a", "=b", "a>b", ""])
def test_a_condition_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        condition(text)


def test_a_mark_at_the_beginning_is_no_part_of_the_first_line() -> None:
    assert len(pairs([b"\xef\xbb\xbf" + row(), row()])[0]) == 2


def test_a_packed_file_that_breaks_off_gives_what_is_whole_and_says_where(tmp_path: Path) -> None:
    data = gzip.compress(b"".join(row(number=n) + b"\n" for n in range(20_000)))
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(data[: len(data) // 2])
    good, bad = pairs(lines_of(path))
    assert len(good) > 100
    (only,) = bad
    assert only.line == len(good) + 1
    assert "breaks off here" in only.why


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere"):
        list(lines_of(tmp_path / "nowhere"))


def test_a_file_without_a_good_line_is_refused_with_the_reasons() -> None:
    good, bad = pairs([b"{"] * 12)
    with pytest.raises(BadInput, match="holds no pair that can be used") as caught:
        check_any(good, bad, "p.jsonl", "pair")
    assert str(caught.value).count("\n") == 10
    with pytest.raises(BadInput, match="no lines that count"):
        check_any([], [], "p.jsonl", "pair")


@pytest.mark.parametrize("packed", [False, True])
def test_a_pipe_is_read_from_its_beginning(packed: bool, tmp_path: Path) -> None:
    data = b"".join(row(text_a=f"question {number}") + b"\n" for number in range(500))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(data) if packed else data,))
    writer.start()
    read = b"".join(lines_of(pipe))
    writer.join()
    assert read == data


def test_a_line_that_has_no_end_is_not_read_for_ever() -> None:
    good, bad = pairs(lines_of(Path("/dev/zero")))
    assert (good, [each.line for each in bad]) == ([], [1])
    assert "has no end within" in bad[0].why
