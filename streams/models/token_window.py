"""The token window of a model: which part of a text is inside it, and what its vocabulary does not know."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from typing import Any

HEAD_TOKENS_MAX = 64
"""The longest head. The longer it is, the less a vector shows of the few words in which two heads differ."""
CHARS_A_TOKEN_MAX = 32
"""A text with more characters than this a token of the window is taken not to fit, without counting."""
CHARS_A_TOKEN = 16
"""So many a token are counted first: mostly they are far beyond the window."""
_LINE = re.compile(r"\s*\S[^\n]*\n\s*")
_SENTENCE = re.compile(r"\s*\S.*?(?:[.?!]\s+|[\u3002\uff1f\uff01]\s*)", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""ASCII control characters except white space."""
KNOWN_MAX = 4_096
"""How many characters are remembered with whether the tokenizer knows them."""
LONG_WORD = re.compile(r"\S{64}")
"""Some vocabularies know no word this long, whatever it is made of."""
_WORD = re.compile(r"[^\s.,;:!?()\"'\u2026\u3002\uff1f]+")

Span = tuple[int, int]


class TokenWindow:
    """The window of a transformers `tokenizer`: `tokens_max` tokens, with those of the `prompt` before each text."""

    def __init__(self, tokenizer: Any, tokens_max: int, prompt: str = "") -> None:
        self._tokenizer = tokenizer
        self._tokens_max = tokens_max
        self._prompt = prompt
        self._read: dict[str, bool] = {}

    def fits(self, text: str) -> bool:
        """Whether the whole text lies inside the window."""
        # A token covers at least one character of ASCII.
        if len(text) <= self._room and text.isascii():
            return True
        if len(text) > CHARS_A_TOKEN_MAX * self._room:
            return False
        begun = text[: CHARS_A_TOKEN * self._room]
        count = len(self._ids(begun))
        # Where the beginning was cut, its last word may count for more than it does in the text.
        return count <= self._room if begun == text else count <= 2 * self._room and len(self._ids(text)) <= self._room

    def head(self, text: str) -> str:
        """The text where it fits, else its first line; its first sentence or words where the line is long.

        What is counted is bounded, whatever the length of the text.
        """
        if self.fits(text):
            return text
        tokens = min(HEAD_TOKENS_MAX, self._room)
        begun = text[: CHARS_A_TOKEN_MAX * tokens]
        for first in (_LINE.match(begun), _SENTENCE.match(begun)):
            if first is not None and first.end() < len(begun) and len(self._ids(first[0])) <= tokens:
                return first[0]
        return self._words(begun, tokens)

    def _words(self, text: str, tokens: int) -> str:
        """The first words: at most so many tokens, up to a blank where there is one in the second half."""
        end = len(text)
        if self._tokenizer.is_fast:
            _, spans = self._spans(text)
            end = int(spans[tokens - 1][1]) if len(spans) > tokens else end
        while True:
            blank = text.rfind(" ", end // 2, end)
            end = blank + 1 if blank > 0 else max(1, end)
            # Cut off, a word may have more tokens than it has in the text.
            if end == 1 or len(self._ids(text[:end])) <= tokens:
                return text[:end]
            end = end * 3 // 4

    def unread(self, text: str) -> tuple[str, ...]:
        """Pieces of a text that fits which are not in its vector.

        These are characters that the tokenizer drops or takes for a blank, then pieces unknown to the vocabulary, and
        then words whose marks (accents, vowel signs) it drops, each in their order: texts that differ in nothing else
        have one vector.
        """
        if text.isascii() and self._knows_ascii and not (LONG_WORD.search(text) or _CONTROLS.search(text)):
            return ()
        return (*self._dropped(text), *self._unknown(text), *self._stripped(text))

    def special_tokens(self, text: str) -> list[bool]:
        """Of each token that the model reads for a text, whether it is none of the text's own.

        Such are special tokens (begin, end) and those of the prompt.
        """
        found = self._tokenizer(
            self._prompt + text, truncation=True, max_length=self._tokens_max, return_special_tokens_mask=True
        )
        special = [bool(mark) for mark in found["special_tokens_mask"]]
        own = [at for at, mark in enumerate(special) if not mark]
        for at in own[: self._prompt_tokens]:
            special[at] = True
        return special

    @cached_property
    def _prompt_tokens(self) -> int:
        return len(self._ids(self._prompt)) if self._prompt else 0

    @cached_property
    def _room(self) -> int:
        """The number of tokens that a text may fill."""
        return max(1, self._tokens_max - int(self._tokenizer.num_special_tokens_to_add()) - self._prompt_tokens)

    @cached_property
    def _knows_ascii(self) -> bool:
        """Whether every printable character of ASCII is in the vocabulary."""
        return self._tokenizer.unk_token_id not in self._ids(" ".join(map(chr, range(33, 127))))

    def _ids(self, text: str) -> Sequence[int]:
        ids: Sequence[int] = self._encode(text)["input_ids"]
        return ids

    def _encode(self, text: str, **more: bool) -> Any:
        return self._tokenizer(
            text, truncation=False, add_special_tokens=False, return_attention_mask=False, verbose=False, **more
        )

    def _spans(self, text: str) -> tuple[Sequence[int], Sequence[Span]]:
        """Token ids, and the span of characters of each."""
        found = self._encode(text, return_offsets_mapping=True)
        return found["input_ids"], found["offset_mapping"]

    def _dropped(self, text: str) -> list[str]:
        """Characters that leave no token; marks on letters are `_stripped`."""
        return [char for char in text if not (_is_plain(char) or self._reads(char))]

    def _reads(self, char: str) -> bool:
        known = self._read.get(char)
        if known is None:
            if len(self._read) >= KNOWN_MAX:
                self._read.clear()
            known = list(self._ids(char)) not in ([], list(self._ids(" ")))
            self._read[char] = known
        return known

    def _unknown(self, text: str) -> list[str]:
        if not self._tokenizer.is_fast:
            return [text] if self._tokenizer.unk_token_id in self._ids(text) else []
        ids, spans = self._spans(text)
        unknown = self._tokenizer.unk_token_id
        return [_nfc(text[start:end]) for id_, (start, end) in zip(ids, spans, strict=True) if id_ == unknown]

    def _stripped(self, text: str) -> list[str]:
        normalizer = self._tokenizer.backend_tokenizer.normalizer if self._tokenizer.is_fast else None
        if text.isascii() or normalizer is None:
            return []
        words = [word for word in _WORD.findall(text) if not word.isascii()]
        # Their case is left to the vector, as that of other words.
        return [_nfc(word).casefold() for word in words if _marks(normalizer.normalize_str(word)) < _marks(word)]


def _is_plain(char: str) -> bool:
    """Whether it is a character of ASCII that is shown, a blank, or a mark on a letter."""
    if char.isascii():
        return _CONTROLS.match(char) is None
    return char.isspace() or unicodedata.category(char)[0] == "M"


def _marks(text: str) -> int:
    return sum(unicodedata.category(char) in ("Mn", "Mc") for char in unicodedata.normalize("NFD", text))


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
