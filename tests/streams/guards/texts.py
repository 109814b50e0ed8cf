"""Texts for property tests: any characters, and what the guards look for in any order."""

from __future__ import annotations

from hypothesis import strategies as st

_PIECES = st.sampled_from(
    "how do i turn on off the light not don't can't 2 two second 3.5 % $ 5kg from Paris to Rome than before and or by "
    "is are which who , . ? ! ( ) + - * = == && --force `x` ``` \"a b\" 'q' user_id getId() a.b http://x.y /etc/x "
    "v1.2 2024-01-02 7pm one hundred and million US IT Monday may 🙂 é ß 中文 שלום مرحبا \n \t".split(" ")
)
TEXTS = st.one_of(st.text(max_size=80), st.lists(_PIECES, max_size=14).map(" ".join), st.lists(_PIECES).map("".join))
