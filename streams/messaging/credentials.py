"""Credentials in the messages of servers: keys, tokens and passwords are struck before a message travels.

A server, or a gateway before it, may say what it was sent, and who reads its words (requesters, `completions`,
`journal`) may not know the operator's key. What is known is struck in whatever part and form; what is not, by how
credentials are written. Too much is struck rather than too little: the words are for people, the code is for programs.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

STRUCK = "***"
PART_CHARS = 8
"""So many characters in a row of a known credential are struck; of a shorter one all of it."""
KNOWN_CHARS_MIN = 4
"""A shorter credential is a placeholder that every message might hold."""

_SCHEME = r"\b([a-z][a-z0-9+.-]{0,30}:(?:/|\\/|%2f){2}"
_LABEL = (
    r"[\w.-]{0,40}(?:api[_. -]?key|subscription[_. -]?key|access[_. -]?key|secret|token|passw(?:or)?d|passphrase|passwd"
    r"|pwd|credentials?|session[_. -]?id|signature)"
)
_TOLD = r"[\\\"']{0,4}\s{0,4}[:=]\s{0,4}[\\\"']{0,4}|\s{1,4}(?:provided|given|is|was)\s{0,4}:\s{0,4}"
_PREFIX = r"(?:pk|rk|ak|gsk|xai|hf|gh[opsur]|github_pat|glpat|xox[a-z]|nvapi|pplx|key|tok|r8)[-_]"
_PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), by)
    for pattern, by in (
        # The value may have any form, so all that follows goes.
        (r"\b(authorization|cookie)\b([\\\"'\s]{0,8}[:=]).*", rf"\1\2 {STRUCK}"),
        (_SCHEME + r")[^\s/?#\"']*@", rf"\1{STRUCK}@"),
        (_SCHEME + r"[^\s?\"'#]*[?#])[^\s\"'<>]+", rf"\1{STRUCK}"),
        (r"([?&;](?:amp;)?[\w.\[\]-]{1,64}=)[^\s&\"'<>]+", rf"\1{STRUCK}"),
        (rf"\b({_LABEL})({_TOLD})[^\s\"',;)}}\]]+", rf"\1\2{STRUCK}"),
        (r"\b(bearer|basic|digest|negotiate|apikey)[\s:=+]+[\w.~+/=*%-]+", rf"\1 {STRUCK}"),
        (r"\bsk[-_][\w.*-]+", STRUCK),
        (rf"\b{_PREFIX}(?=[\w.-]{{0,80}}[\d*])[\w.*-]{{4,}}", STRUCK),
        (r"\b(?:AKIA|ASIA|AIza)[\w-]{10,}", STRUCK),
        (r"\beyJ[\w-]{4,}(?:\.[\w-]*){0,4}", STRUCK),
        (r"-----BEGIN [A-Z ]{3,40}-----.*", STRUCK),
    )
)
_LOW = {capital: capital + 32 for capital in range(ord("A"), ord("Z") + 1)}
"""Small letters of ASCII: the text keeps its length."""
_URLSAFE = str.maketrans("+/", "-_")


class Credentials:
    """Credentials that are known, and the ways in which others are written."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        """Know these, each as it is sent."""
        forms = [form.translate(_LOW) for each in known if len(each) >= KNOWN_CHARS_MIN for form in _forms(each)]
        self._lengths = sorted({min(PART_CHARS, len(form)) for form in forms})
        self._parts = frozenset(part for form in forms for part in _parts(form))

    def strike(self, text: str) -> str:
        """The text with every credential struck."""
        struck = self._strike_known(text)
        for pattern, by in _PATTERNS:
            struck = pattern.sub(by, struck)
        return struck

    def _strike_known(self, text: str) -> str:
        """Strike each run of characters that is covered by parts of what is known."""
        flat = text.translate(_LOW)
        pieces, kept_to, end = list[str](), 0, -1
        for at in range(len(flat)):
            found = max((at + length for length in self._lengths if flat[at : at + length] in self._parts), default=-1)
            if found > 0 and at > end:
                pieces += (text[kept_to:at], STRUCK)
            end = max(end, found)
            kept_to = max(kept_to, end)
        return "".join((*pieces, text[kept_to:]))


def _parts(form: str) -> Iterator[str]:
    length = min(PART_CHARS, len(form))
    return (form[at : at + length] for at in range(len(form) - length + 1))


def _forms(known: str) -> Iterator[str]:
    """The ways in which a credential may be written: as it is, quoted for URLs, JSON and HTML, in base64 and hex."""
    data = known.encode("utf-8", "surrogatepass")
    yield from {
        known,
        quote(known, safe=""),
        quote_plus(known),
        json.dumps(known)[1:-1],
        html.escape(known),
        data.hex(),
    }
    for before in range(3):
        # Whatever stands before it in what was encoded moves it by so many bytes; the letters at both ends are shared.
        coded = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        own = coded[-(-before * 8 // 6) : len(coded) if (before + len(data)) % 3 == 0 else -1]
        if len(own) >= KNOWN_CHARS_MIN:
            yield from {own, own.translate(_URLSAFE), quote(own, safe="")}
