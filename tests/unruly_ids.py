"""Topic ids as brokers draw them and worse: `-` and `_`, which join ids elsewhere too, in every position."""

from __future__ import annotations

from hypothesis import strategies as st

ID_CHARS = 22
_PLAIN = "aZ09bY18cX27dW36eV45fU"

UNRULY_IDS = (
    *(f"{_PLAIN[:at]}{mark}{_PLAIN[at + 1 :]}" for mark in "-_" for at in range(ID_CHARS)),
    *(f"{_PLAIN[:at]}{marks}{_PLAIN[at + 2 :]}" for marks in ("--", "__", "-_", "_-") for at in (0, 3, 7, 20)),
    "-" * ID_CHARS,
    "_" * ID_CHARS,
    "-_" * (ID_CHARS // 2),
    "0-1-2-3-4-5-6-7-8-9-10",
)
"""Each 22 characters of base64url."""


def topic_ids() -> st.SearchStrategy[str]:
    """Any topic id, half of them made of marks and digits alone."""
    return st.text("-_01", min_size=ID_CHARS, max_size=ID_CHARS) | st.from_regex(
        rf"[A-Za-z0-9_-]{{{ID_CHARS}}}", fullmatch=True
    )
