"""Examples from files: plain or zipped, a bad line named and the rest taken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.categories.examples import Example, ExampleFields, digest, read_examples, read_outside, unique
from refrain.streams.errors import BadInput

FIELDS = ExampleFields("text", "category")


def written(path: Path, *lines: Any) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "examples.jsonl"


def test_what_has_no_category_or_is_uncategorised_is_out_of_scope(path: Path) -> None:
    written(
        path,
        {"text": "a", "category": "code", "more": 1},
        {"text": "b", "category": None},
        "",
        {"text": "c", "category": "uncategorised"},
    )
    taken = read_examples(path, FIELDS)
    assert taken.problems == ()
    assert taken.of(()) == [Example("a", "code", "code"), Example("b", None, None), Example("c", None, None)]


def test_zipped_lines_are_read_as_plain_ones(path: Path) -> None:
    written(path, {"text": "a", "category": "code"})
    zipped = path.with_suffix(".gz")
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert read_examples(zipped, FIELDS) == read_examples(path, FIELDS)


def test_finer_labels_and_parts_are_read(path: Path) -> None:
    written(
        path,
        {"q": "a", "domain": "d", "intent": "i", "part": "train"},
        {"q": "b", "domain": "d", "intent": 3, "part": "val"},
        {"q": "c", "domain": "d", "intent": "oos", "part": "val"},
    )
    taken = read_examples(path, ExampleFields("q", "domain", "intent", "part", ("intent", "oos")))
    assert taken.of(("train",)) == [Example("a", "d", "i")]
    assert taken.of(("val",)) == [Example("b", "d", "3"), Example("c", None, None)]
    assert taken.of(("other",)) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[" * 50_000, "not JSON"),
        ("3", "not a JSON object"),
        ({"category": "code"}, "no field text"),
        ({"text": "a"}, "no field category"),
        ({"text": "  ", "category": "code"}, "text is not a text"),
        ({"text": 3, "category": "code"}, "text is not a text"),
        ({"text": "x" * 100_001, "category": "code"}, "has 100001 characters"),
        ({"text": "a", "category": 3}, "no name of a category"),
        ({"text": "a", "category": "a/b"}, "no name of a category"),
        ({"text": "a", "category": "code\n"}, "no name of a category"),
    ],
    ids=range(11),
)
def test_a_bad_line_is_named_and_the_rest_goes_on(path: Path, line: Any, said: str) -> None:
    written(path, {"text": "a", "category": "code"}, line, {"text": "b", "category": "code"})
    taken = read_examples(path, FIELDS)
    assert [example.text for example in taken.of(())] == ["a", "b"]
    (problem,) = taken.problems
    assert "line 2: " in problem
    assert said in problem


def test_bytes_that_are_no_text_spoil_no_other_line(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\n" + b'{"text": "a", "category": "code"}\n')
    assert len(read_examples(path, FIELDS).rows) == 1


def test_a_file_without_an_example_is_refused(path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_examples(path, FIELDS)
    with pytest.raises(BadInput, match="holds no example"):
        read_examples(written(path, ""), FIELDS)
    with pytest.raises(BadInput, match="line 1: no field text"):
        read_outside(written(path, {}), "text")
    path.write_bytes(gzip.compress(b'{"text": "a", "category": "code"}')[:-6])
    with pytest.raises(BadInput, match="cannot be read"):
        read_examples(path, FIELDS)


def test_a_text_counts_once() -> None:
    twice = [Example("a", "x", "x"), Example(" a ", "y", "y"), Example("b", None, None)]
    assert unique(twice) == [twice[0], twice[2]]


def test_the_digest_is_of_every_field_in_its_order() -> None:
    one, two = Example("a", "x", "x"), Example("a", "x", "y")
    assert digest([one, two]) == digest([one, two])
    assert len({digest(some) for some in ([one], [two], [one, two], [two, one], [])}) == 5
