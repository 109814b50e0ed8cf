"""A tokenizer of the library `tokenizers`, as the token window and the light embedder use it.

The library is optional (the extra `light`): it is imported when a tokenizer is loaded, not before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class FastTokenizer:
    """A tokenizer from a `tokenizer.json`, which answers the calls that a token window makes of one of transformers."""

    is_fast = True

    def __init__(self, path: Path) -> None:
        """Load the tokenizer. Raises ValueError for a file that is none, or one whose model names no unknown token."""
        # Threads of its own would take the processors from the workers beside this one, for texts of a line.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from tokenizers import Tokenizer

        text = path.read_text(encoding="utf-8")
        unknown = json.loads(text).get("model", {}).get("unk_token")
        self.backend_tokenizer: Any = Tokenizer.from_str(text)
        # What the file says of padding and cutting is its author's use of it.
        self.backend_tokenizer.no_padding()
        self.backend_tokenizer.no_truncation()
        self.unk_token_id = self.backend_tokenizer.token_to_id(unknown) if unknown else None
        if self.unk_token_id is None:
            raise ValueError(f"the tokenizer of {path} names no token for what it does not know")

    @property
    def tokens(self) -> int:
        """The number of tokens that it knows."""
        return int(self.backend_tokenizer.get_vocab_size())

    def num_special_tokens_to_add(self) -> int:
        return int(self.backend_tokenizer.num_special_tokens_to_add(is_pair=False))

    def __call__(
        self,
        text: str,
        truncation: bool = False,
        max_length: int | None = None,
        add_special_tokens: bool = True,
        **_: Any,
    ) -> dict[str, Sequence[Any]]:
        """Tokenize a text: ids, the span of characters of each, and which are special.

        With `truncation` there are `max_length` tokens at most, the special ones among them.
        """
        found = self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens)
        if truncation and max_length is not None and len(found) > max_length:
            found = self._cut(text, max_length)
        return {
            "input_ids": found.ids,
            "offset_mapping": found.offsets,
            "special_tokens_mask": found.special_tokens_mask,
        }

    def ids(self, texts: Sequence[str], tokens_max: int) -> list[list[int]]:
        """The ids that a model reads for each text, special tokens included: `tokens_max` at most."""
        rows = []
        for text, found in zip(texts, self.backend_tokenizer.encode_batch_fast(list(texts)), strict=True):
            rows.append(list(found.ids if len(found) <= tokens_max else self._cut(text, tokens_max).ids))
        return rows

    def _cut(self, text: str, tokens_max: int) -> Any:
        found = self.backend_tokenizer.encode(text, add_special_tokens=False)
        found.truncate(tokens_max - self.num_special_tokens_to_add())
        return self.backend_tokenizer.post_process(found, add_special_tokens=True)
