"""Long texts in parts: nothing is lost, nothing is unbounded, and the mean is near what the text is about."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.classify.exact_form import exact_form
from refrain.streams.classify.framing import FramedQuestion, frame
from refrain.streams.compare.parts import mean, split
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.vectors import Ints, quantise, similarity


def test_a_text_that_fits_is_one_part() -> None:
    assert split("a b", lambda text: True, 1) == ["a b"]


def test_it_is_cut_between_words() -> None:
    assert split("one two three four", lambda text: len(text) <= 8, 9) == ["one two ", "three", " four"]
    assert split("abcdef", lambda text: len(text) <= 3, 9) == ["abc", "def"]


def test_beyond_the_limit_there_are_no_parts_and_no_more_is_counted() -> None:
    looked: list[int] = []

    def fits(text: str) -> bool:
        looked.append(len(text))
        return False

    assert split("word " * 200_000, fits, 8) is None
    assert len(looked) <= 8


def test_a_character_that_does_not_fit_stands_alone() -> None:
    assert split("ab", lambda text: False, 8) == ["a", "b"]


@given(st.text(alphabet="ab \n", max_size=300), st.integers(1, 50))
def test_the_parts_fit_and_are_the_text_but_for_blanks(text: str, window: int) -> None:
    parts = split(text, lambda piece: len(piece) <= window, 1_000)
    assert parts is not None
    assert all(len(part) <= window for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


@given(st.text(max_size=2_000), st.integers(1, 40))
def test_there_are_never_more_parts_than_allowed(text: str, parts_max: int) -> None:
    parts = split(text, lambda piece: len(piece) <= 20, parts_max)
    assert parts is None or len(parts) <= parts_max


def vector(*values: int) -> Ints:
    return quantise(np.array(values))


def test_the_mean_weighs_parts_by_their_characters() -> None:
    east, north = vector(1, 0), vector(0, 1)
    assert similarity(mean(["xxx", "x"], [east, north]), vector(3, 1)) == pytest.approx(1.0, abs=1e-6)
    assert mean(["x"], [north]) is north


def test_vectors_that_cancel_out_have_no_mean() -> None:
    with pytest.raises(ValueError, match="not zero"):
        mean(["x", "y"], [vector(1, 0), vector(-1, 0)])


def test_in_parts_a_text_is_near_itself_as_a_whole() -> None:
    text = " ".join(f"Step {n}: turn the valve, read the gauge and note pressure {n * 7}." for n in range(40))
    parts = split(text, lambda piece: len(piece) <= 300, 32)
    assert parts is not None
    assert len(parts) > 4
    embedder = HashingEmbedder()
    in_parts = mean(parts, [quantise(row) for row in embedder.embed(parts)])
    assert similarity(in_parts, quantise(embedder.embed([text])[0])) > 0.95


class Window:
    """Sees 20 characters, and no digits."""

    def fits(self, text: str) -> bool:
        return len(text) <= 20

    def head(self, text: str) -> str:
        return text if self.fits(text) else text[:18]

    def unread(self, text: str) -> tuple[str, ...]:
        return tuple(char for char in text if char.isdigit())


def test_a_text_inside_the_window_is_framed_as_it_is() -> None:
    assert frame("What is 2 ?", Window()) == FramedQuestion("What is 2 ?", "", ("2",))


def test_what_follows_the_window_stands_beyond_and_is_not_asked_what_is_unread() -> None:
    assert frame("What is 2 of them and 3", Window()) == FramedQuestion("what is 2 of them ", "and 3", ("2",))


def test_what_is_embedded_has_no_slips_of_common_words() -> None:
    assert frame("How do I laern it?", Window()).head == "How do I learn it?"
    assert frame("waht is it made of and why", Window()) == FramedQuestion("what is it made of", " and why")


def test_what_would_not_fit_the_window_is_embedded_as_it_stands() -> None:
    assert frame("Is it mony I am due?", Window()).head == "Is it mony I am due?"


@given(st.text(alphabet="ab. \n'\r", max_size=80))
def test_head_and_what_lies_beyond_are_the_whole_text(text: str) -> None:
    framed = frame(text, Window())
    assert framed.head + framed.beyond in (text, exact_form(text))
    assert framed.beyond == "" or len(framed.head) <= 20


def test_spellings_of_one_long_text_are_framed_alike() -> None:
    first = frame("What is the longest of all rivers here?\r\n", Window())
    assert first == frame("what  is the longest of all rivers here", Window())
    assert first.beyond
