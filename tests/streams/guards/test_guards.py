"""What holds of all guards, for any two texts."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given

from refrain.schemas.policy import Guard
from refrain.streams import guards
from refrain.streams.guards import DIGEST, read
from refrain.streams.guards.lexicon import digest
from refrain.streams.guards.reading import parse
from refrain.streams.guards.tokens import CHARS_MAX, TOKENS_MAX
from tests.streams.guards.texts import TEXTS
from tests.streams.guards.verdicts import detect

ALL = tuple(Guard)
ODD = [
    "",
    " ",
    "\n",
    "a",
    "?",
    "🙂",
    "🙂🙂🙂",
    "שלום עולם",
    "hello שלום 世界",
    "\x00",
    "\ud800",
    "'",
    "`",
    "```",
    "-",
    "1e9999",
    "²",
    "٣",
]


@given(TEXTS, TEXTS)
def test_a_refusal_does_not_depend_on_which_text_is_cached(a: str, b: str) -> None:
    for guard in ALL:
        assert detect([guard], read(a), read(b))[0].verdict == detect([guard], read(b), read(a))[0].verdict


@given(TEXTS)
def test_identical_texts_always_pass(text: str) -> None:
    assert [v.verdict for v in detect(ALL, read(text), read(text))] == ["passed"] * len(ALL)


@given(TEXTS, TEXTS)
def test_the_words_of_a_verdict_stand_in_one_of_the_texts(a: str, b: str) -> None:
    texts = [re.sub(r"\s+", " ", text) for text in (a, b)]
    for guard in ALL:
        for word in detect([guard], read(a), read(b))[0].words:
            assert any(re.sub(r"\s+", " ", word) in text for text in texts)


@given(TEXTS, TEXTS)
def test_reading_anew_gives_the_same_verdicts(a: str, b: str) -> None:
    first = detect(ALL, read(a), read(b))
    assert detect(ALL, parse(a), parse(b)) == first


@pytest.mark.parametrize("a", ODD)
@pytest.mark.parametrize("b", ODD)
def test_odd_texts_are_read_and_compared(a: str, b: str) -> None:
    said = detect(ALL, read(a), read(b))
    assert said == detect(ALL, read(a), read(b))
    assert all(v.verdict != "refused" for v in said[:-1])


@pytest.mark.parametrize(
    "piece",
    ["a", "a ", "a-", "a.", "a/", "1", "1,", "1.", "(", "`", '"', "'", "-", "a'", "中", "🙂", "\n", "x_", "@a", "a/b."],
)
def test_a_text_of_100_000_characters_is_read_within_bounds(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    assert len(text) - len(read(text).rest) <= CHARS_MAX
    assert detect(ALL, read(text), read(text + "!"))[-1].verdict == "refused"


def test_texts_that_differ_beyond_what_is_looked_at_are_refused_by_every_guard() -> None:
    start = "word " * (TOKENS_MAX + 1)
    for guard in ALL:
        assert detect([guard], read(start + "on"), read(start + "off"))[0].verdict == "refused"


def test_verdicts_come_in_the_order_asked_for_and_end_with_the_first_refusal() -> None:
    a, b = read("Is it 5?"), read("Is it not 6?")
    assert [v.guard for v in detect([Guard.CODE, Guard.NUMBERS, Guard.NEGATION], a, b)] == [Guard.CODE, Guard.NUMBERS]
    assert detect([], a, b) == []


def test_the_digest_changes_with_the_code_and_with_the_words(tmp_path: Path) -> None:
    here = Path(guards.__file__).parent
    copy = tmp_path / "guards"
    shutil.copytree(here, copy)
    assert digest(copy) == DIGEST == digest(here)
    assert len(DIGEST) == 8
    words = copy / "words" / "opposites.txt"
    words.write_text(words.read_text() + "yin | yang\n")
    changed = digest(copy)
    (copy / "another.py").write_text("")
    assert len({DIGEST, changed, digest(copy)}) == 3
