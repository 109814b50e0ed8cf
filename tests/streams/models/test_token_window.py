"""The window of a tokenizer: where a text is cut, how little is counted, and what does not reach the vector."""

from __future__ import annotations

import re
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.models.token_window import CHARS_A_TOKEN_MAX, HEAD_TOKENS_MAX, TokenWindow

LATIN = re.compile(r"[a-z]+|[^\sa-z]")


class Tokenizer:
    """Words of a to z and single signs; knows ASCII and accents, which it drops. Writes down what it counts."""

    unk_token_id = 0

    def __init__(self, fast: bool = True) -> None:
        self.is_fast = fast
        self.counted: list[int] = []
        self.backend_tokenizer = SimpleNamespace(normalizer=SimpleNamespace(normalize_str=bare))

    def num_special_tokens_to_add(self) -> int:
        return 2

    def __call__(self, text: str, return_offsets_mapping: bool = False, **_: Any) -> dict[str, Any]:
        self.counted.append(len(text))
        found = list(LATIN.finditer(text.lower()))
        ids = [1 if bare(each[0]).isascii() and len(each[0]) <= 100 else 0 for each in found]
        return {
            "input_ids": ids,
            **({"offset_mapping": [each.span() for each in found]} if return_offsets_mapping else {}),
        }


def bare(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")


def window(tokens: int = 12, **more: Any) -> TokenWindow:
    return TokenWindow(Tokenizer(), tokens, **more)


def test_a_text_that_fits_is_its_own_head() -> None:
    assert window().head("a b c d e f g h i j") == "a b c d e f g h i j"
    assert window().fits("a b c d e f g h i j")
    assert not window().fits("a b c d e f g h i j k")
    assert window().head("") == ""


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("fix this:\n\nx. a b c d e f g h i j k l", "fix this:\n\n"),
        ("\n fix this\nand\nthat b c d e f g h i j k l", "\n fix this\n"),
        ("fix this. a b c d e f g h i j k l\n", "fix this. "),
        ("what? 日 日 日 日 日 日 日 日 日 日", "what? "),
        ("日日。日日日日日日日日日日日日", "日日。"),
        ("a b c d e f g h i j k l", "a b c d e f g h i "),
        ("a b c d e f g h i j k l\nm", "a b c d e f g h i "),
        ("日" * 20, "日" * 10),
    ],
)
def test_the_head_of_a_long_text_is_its_first_line_or_sentence_or_words(text: str, head: str) -> None:
    assert window().head(text) == head


def test_a_head_is_short_however_large_the_window() -> None:
    assert window(500).head("a " * 1_000) == "a " * (HEAD_TOKENS_MAX - 1)
    assert window(500).head("a " * 400) == "a " * 400


def test_the_rest_is_the_same_whatever_words_are_before_it() -> None:
    rest = "one two three four five\nsix seven eight nine ten eleven twelve"
    texts = [start + rest for start in ("fix this:\n", "please fix all of this:\n")]
    assert {text.removeprefix(window(13).head(text)) for text in texts} == {rest}


def test_what_is_counted_is_bounded_whatever_the_length() -> None:
    for text in ("word " * 200_000, "x" * 1_000_000, " " * 1_000_000, "日" * 1_000_000):
        tokenizer = Tokenizer()
        head = TokenWindow(tokenizer, 12).head(text)
        assert 0 < len(head) <= CHARS_A_TOKEN_MAX * 10
        assert sum(tokenizer.counted) <= 4 * CHARS_A_TOKEN_MAX * 10


def test_a_prompt_of_the_model_takes_its_part_of_the_window() -> None:
    assert window().fits("a b c d e f g h i j")
    assert not window(prompt="query: ").fits("a b c d e f g h i j")


@given(st.text(alphabet="ab. \nß日", max_size=400), st.integers(3, 40))
def test_the_head_fits_begins_the_text_and_is_all_of_it_only_if_that_fits(text: str, tokens: int) -> None:
    cut = window(tokens)
    head = cut.head(text)
    assert text.startswith(head)
    assert cut.fits(head) or len(head) == 1
    assert (head == text) == cut.fits(text)


@given(st.text(alphabet="ab. \nß日", max_size=400))
def test_without_the_places_of_tokens_there_is_a_head_all_the_same(text: str) -> None:
    cut = TokenWindow(Tokenizer(fast=False), 12)
    head = cut.head(text)
    assert text.startswith(head)
    assert cut.fits(head)
    assert (head == text) == cut.fits(text)


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        ("What is love?", ()),
        ("I love 🍕 and 🚗!", ("🍕", "🚗")),
        ("Was ist Schön?", ("schön",)),
        ("Was ist Scho\u0308n?", ("schön",)),
        ("x" * 101, ("x" * 101,)),
        ("🍕 für 日", ("🍕", "日", "für")),
    ],
)
def test_what_the_model_cannot_read_is_told(text: str, unread: tuple[str, ...]) -> None:
    assert window(200).unread(text) == unread


def test_what_the_tokenizer_drops_or_takes_for_a_blank_is_told() -> None:
    """By what it makes of a character between two letters, not by a list."""

    class Dropping(Tokenizer):
        def __call__(self, text: str, return_offsets_mapping: bool = False, **more: Any) -> dict[str, Any]:
            dropped = text.replace("\u00b7", "").replace("\x00", "").replace("\u203b", " ")
            return super().__call__(dropped, return_offsets_mapping, **more)

    window = TokenWindow(Dropping(), 200)
    assert window.unread("so \u00b7 it\u203bis") == ("\u00b7", "\u203b")
    assert window.unread("plain\x00") == ("\x00",)
    assert window.unread("a\tb\nc\u3000d") == ()


def test_a_tokenizer_without_places_tells_the_whole_text() -> None:
    slow = TokenWindow(Tokenizer(fast=False), 12)
    assert slow.unread("I love 🍕") == ("I love 🍕",)
    assert slow.unread("I love") == ()


def test_a_vocabulary_without_some_sign_of_ascii_is_asked_about_every_text() -> None:
    tokenizer = Tokenizer()
    assert TokenWindow(tokenizer, 12).unread("a {b}") == ()
    tokenizer.unk_token_id = 1
    assert TokenWindow(tokenizer, 12).unread("a b") == ("a", "b")
