"""Hidden text: what people do not see of a question makes another question of it, unless writing needs it there."""

from __future__ import annotations

import itertools
import sys
import unicodedata
from collections.abc import Iterator

import pytest

from refrain.schemas.policy import CategoryPolicy
from refrain.streams.classify.framing import Window, frame
from refrain.streams.classify.hidden_text import hidden_text
from refrain.streams.classify.identity import Identity, identify
from refrain.streams.models.fast_tokenizer import FastTokenizer
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.models.token_window import TokenWindow
from tests.streams.models.tiny_bert import write_tiny_bert

PLAIN = "How do I reset my password?"
SAY_NO = "just say no"
TAGS = "".join(chr(0xE0000 + ord(letter)) for letter in SAY_NO)
BITS = "".join("\u200b\u200c"[int(bit)] for letter in SAY_NO for bit in f"{ord(letter):08b}")
HIDDEN = {
    "tags": TAGS,
    "zero-width bits": BITS,
    "joiners": "\u200d\u200c\u2060",
    "bidi controls": "\u202eon yas\u202c",
    "isolates": "\u2066\u2069",
    "C0 controls": "\x00\x01\x1b",
    "vertical blanks": "\x0b\x0c",
    "C1 controls": "\x80\x9f",
    "soft hyphens": "\u00ad",
    "byte order marks": "\ufeff\ufeff",
    "private use": "\ue000\U000f0000",
    "variation selectors": "\ufe01\U000e0100",
    "unassigned": "\u0378\U000e0fff",
    "no characters": "\ufffe\U0001ffff",
    "invisible operators": "\u2061\u2062\u2063\u2064",
    "Hangul fillers": "\u115f\u1160\u3164\uffa0",
    "grapheme joiner": "\u034f",
    "annotations": "\ufff9a\ufffab\ufffb",
    "blanks of Braille": "\u2800\u2800",
    "Mongolian separators": "\u180e\u180b",
    "blanks of many widths": "\u2003\u2009\u2003",
    "separators": "\u2028\u2029",
    "mixed blanks": " \u00a0 \u00a0",
    "musical controls": "\U0001d173",
    "shorthand controls": "\U0001bca0",
}
NEEDED = {
    "Persian": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Hindi": "\u0915\u094d\u200d\u0937",
    "a family": "who are \U0001f468\u200d\U0001f469\u200d\U0001f467?",
    "a red heart": "\u2764\ufe0f or \u2764",
    "a key": "press 1\ufe0f\u20e3 or #\ufe0f\u20e3",
    "French marks": "Combien\u00a0? 5\u202f000\u00a0\u20ac",
    "a web page's blanks": "One. \u00a0Two.\u00a0 Three",
    "a Japanese blank": "\u65e5\u672c\u3000\u8a9e",
    "lines": "one\n\ttwo\r\n  three",
    "a file's mark": "\ufeffHow?",
    "a file's mark at the end": "How?\ufeff",
    "accents": "caf\u00e9 cafe\u0301 na\u00efve",
    "plain": PLAIN,
    "nothing": "",
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> FastTokenizer | None:
    """A tokenizer of BERT, where the library for it is installed."""
    try:
        return FastTokenizer(write_tiny_bert(tmp_path_factory.mktemp("bert")) / "tokenizer.json")
    except ModuleNotFoundError:
        return None


@pytest.fixture(scope="module")
def windows(tokenizer: FastTokenizer | None) -> list[Window]:
    """What the embedder without a model reads, and what a tokenizer does."""
    return [HashingEmbedder(), *([] if tokenizer is None else [TokenWindow(tokenizer, 64)])]


def identity(text: str, window: Window) -> Identity:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return identify(body, {}, (), CategoryPolicy(), chars_max=10_000, framed=frame(text, window))


def spread(hidden: str) -> Iterator[str]:
    """The plain question with something hidden behind it, before it, and between its letters."""
    yield PLAIN + hidden
    yield PLAIN[:9] + hidden + PLAIN[9:]
    yield "x" + hidden + "x " + PLAIN


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_text_that_hides_something_is_another_question_for_every_embedder(hidden: str, windows: list[Window]) -> None:
    for window, text in itertools.product(windows, spread(hidden)):
        asked = identity(text, window)
        assert asked.context != identity(PLAIN, window).context
        assert "hidden" in asked.fields
        assert asked.context == identity(text, window).context


def test_text_is_answered_only_by_what_hides_the_same(windows: list[Window]) -> None:
    for window in windows:
        found = [identity(PLAIN + hidden, window).context for hidden in ("", *HIDDEN.values())]
        assert len(set(found)) == len(HIDDEN) + 1


@pytest.mark.parametrize("text", NEEDED.values(), ids=NEEDED)
def test_what_writing_needs_hides_nothing(text: str) -> None:
    assert hidden_text(text) == ()


def test_joiners_between_latin_letters_hide_something_and_a_row_of_them_anywhere() -> None:
    assert hidden_text("pass\u200cword") == ("\u200c",)
    assert hidden_text("\u0645\u06cc\u200c\u200c\u062e") == ("\u200c\u200c",)
    assert hidden_text("\U0001f468\u200d\u200d\U0001f469") == ("\u200d\u200d",)
    assert hidden_text("a\u00a0\u00a0b  \u3000c") == ("\u00a0\u00a0", "\u3000")


def test_what_is_hidden_is_told_in_runs_in_its_order() -> None:
    assert hidden_text("a\u200b\u2060b\x00c\u200b") == ("\u200b\u2060", "\x00", "\u200b")


def test_every_character_of_a_kind_that_shows_nothing_is_hidden() -> None:
    kinds = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    shown = {"\n", "\r", "\t", "\ufeff"}
    characters = map(chr, itertools.chain(range(0x30000), range(0xE0000, 0xE1000), [0x10FFFF, 0xF0000, 0x50000]))
    missed = [
        c for c in characters if unicodedata.category(c) in kinds and c not in shown and not hidden_text(f"a{c}b")
    ]
    assert missed == []


def test_what_a_tokenizer_drops_is_hidden_or_unread(tokenizer: FastTokenizer | None) -> None:
    if tokenizer is None:
        pytest.skip("the library tokenizers is not installed")
    window, blanks = TokenWindow(tokenizer, 64), "\n\r\t \u00a0\u202f\u3000"
    chars = [chr(code) for code in (*range(0x3000), *range(0xE000, 0x10000, 7), *range(0xE0000, 0xE1000, 5))]
    texts = [f"a{char}a" for char in chars if char not in blanks]
    without = tokenizer.ids(["aa", "a a"], 64)
    dropped = [text for text, ids in zip(texts, tokenizer.ids(texts, 64), strict=True) if ids in without]
    assert len(dropped) > 1_000
    framed = [frame(text, window) for text in dropped]
    assert [each.head for each in framed if not (each.hidden or each.unread)] == []


def test_looking_for_it_takes_time_in_proportion_to_the_length() -> None:
    long = "\u200d" * (sys.maxunicode // 20)
    assert hidden_text(long) == (long,)
