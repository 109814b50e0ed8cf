"""Redaction: every text of an export becomes a digest; what remains are names, ids, numbers, times and kinds.

Digests are keyed with a random key that is thrown away: the same text has the same digest within one file, and nobody
finds a text by trying. Vectors tell of the text that they were made of, so they go too, unless they are asked for.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

KEPT = frozenset(
    {
        "kind", "id", "entry_id", "forward_id", "decision_id", "tenant", "space", "category", "model", "embedder",
        "verifier", "classifier", "mode", "cache", "topic_id", "topic", "outcome", "reason", "code", "how", "rules",
        "key_id", "hit_head", "named",
    }
)  # fmt: skip
"""Fields that hold names, ids and words of closed lists, and look like it. The texts of all others are redacted."""
NAME_LIKE = re.compile(r"[A-Za-z0-9._:/@+*-]{1,200}")
VECTOR = "vector"
TEXT_SIDE = "text_side"
"""Vectors of single words: nearer to the text than the vector of the whole."""
POLICY = "policy"
"""The operators' own: its examples, patterns and rules are texts, and left out as one."""
CHOSEN_NAMES = frozenset({"fields"})
"""Objects whose names clients may have chosen."""
CHOSEN_WHOLE = frozenset({"sources", "tags", "headers"})
"""Fields of which clients chose all, ids too."""
DIGEST_BYTES = 8


class Redaction:
    """Redacts the lines of one file."""

    def __init__(self, *, keep_vectors: bool = False) -> None:
        self._key = secrets.token_bytes(32)
        self._keep_vectors = keep_vectors

    def redact(self, value: dict[str, Any]) -> dict[str, Any]:
        """The same object without texts."""
        return {name: self._field(name, each) for name, each in value.items()}

    def text(self, text: str) -> str:
        """What stands in place of a text: its digest, and how many characters it has."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES, key=self._key)
        return f"redacted:{digest.hexdigest()}:{len(text)}"

    def _field(self, name: str, value: Any) -> Any:
        if name == TEXT_SIDE or (name == VECTOR and not self._keep_vectors):
            return None
        if name == POLICY and isinstance(value, dict):
            return {"categories": sorted(value.get("categories", {}))}
        if name in CHOSEN_WHOLE:
            return self._whole(value)
        if isinstance(value, dict):
            return self._whole(value) if name in CHOSEN_NAMES else self.redact(value)
        if isinstance(value, list):
            return [self._field(name, each) for each in value]
        if not isinstance(value, str) or name == VECTOR:
            return value
        return value if name in KEPT and NAME_LIKE.fullmatch(value) else self.text(value)

    def _whole(self, value: Any) -> Any:
        """The same without any text, names of fields that are not ours included."""
        if isinstance(value, dict):
            ours = {"id", "version", "name", "value"}
            return {key if key in ours else self.text(key): self._whole(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._whole(each) for each in value]
        return self.text(value) if isinstance(value, str) else value
