"""Credentials are struck from what servers say, whatever part of them is said and however it is written."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.messaging.credentials import PART_CHARS, STRUCK, Credentials

KEY = "prod/9f8Ab+3xQ_77zz=Lk"
WAYS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "capitals": str.upper,
    "in a URL": lambda text: quote(text, safe=""),
    "in JSON": json.dumps,
    "in hex": lambda text: text.encode().hex(),
    "in base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in base64 behind a user": lambda text: base64.b64encode(b"me:" + text.encode()).decode(),
    "in base64 behind another": lambda text: base64.urlsafe_b64encode(b"user:" + text.encode() + b"!").decode(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_known_key_is_struck_however_it_is_written(way: str) -> None:
    written = WAYS[way](KEY)
    struck = Credentials([KEY]).strike(f"no access for {written} here")
    assert struck.startswith("no access for ")
    assert struck.endswith(" here")
    assert not _shared(struck, written, PART_CHARS + 4)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60), st.data())
def test_any_part_of_a_known_key_is_struck(key: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(key) - PART_CHARS))
    part = key[start : start + data.draw(st.integers(PART_CHARS, len(key)))]
    struck = Credentials([key]).strike(f"we got «{part}» here")
    assert part not in struck


@given(st.text(max_size=300), st.text(max_size=40))
def test_any_text_is_taken(text: str, key: str) -> None:
    assert isinstance(Credentials([key]).strike(text), str)


SECRET = "Zq7rT0pLw2"


@pytest.mark.parametrize(
    "said",
    [
        f"Authorization: {SECRET}",
        f"got Proxy-Authorization=Digest username=x, response={SECRET}",
        f'{{"headers": {{"authorization": "Bearer {SECRET}"}}}}',
        f"{{'Authorization': 'Token {SECRET}'}}",
        f'"{{\\"authorization\\": \\"{SECRET}\\"}}"',
        f"Bearer {SECRET} is over",
        f"basic {SECRET}== is over",
        f"Incorrect API key provided: {SECRET}.",
        f"x-api-key: {SECRET}",
        f"api_key='{SECRET}'",
        f"OPENAI_API_KEY={SECRET}",
        f"Ocp-Apim-Subscription-Key: {SECRET}",
        f"password = {SECRET}",
        f"Set-Cookie: sid={SECRET}; Path=/",
        f"unknown sk-{SECRET}",
        f"unknown sk-proj-{SECRET}",
        f"unknown ghp_{SECRET}",
        f"unknown hf_{SECRET}",
        f"unknown AKIA{SECRET.upper()}",
        f"bad token eyJhbGciOiJIUzI1NiJ9.{SECRET}.{SECRET}",
        f"cannot reach https://me:{SECRET}@models.local/v1",
        f"cannot reach https://{SECRET}@models.local/v1",
        f"cannot reach https://me:p@{SECRET}@models.local/v1",
        f"cannot reach https:\\/\\/me:{SECRET}@models.local",
        f"cannot reach https://models.local/v1?key={SECRET}&a=b",
        f"cannot reach https://models.local/v1?{SECRET}",
        f"cannot reach /v1/chat?sig={SECRET}",
        f"cannot reach /v1/chat?a=b&amp;access_token={SECRET}",
        f"-----BEGIN PRIVATE KEY----- {SECRET} -----END PRIVATE KEY-----",
    ],
)
def test_what_is_written_like_a_credential_is_struck(said: str) -> None:
    struck = Credentials().strike(said)
    assert SECRET.lower() not in struck.lower()
    assert STRUCK in struck


@pytest.mark.parametrize(
    "said",
    [
        "the model gpt-4o-mini does not exist",
        "This model's maximum context length is 4096 tokens, max_tokens: 512 is too many",
        "Rate limit reached, try again in 1.2s. Request req_011CabcDEF",
        "the key-value cache is full",
        "see https://models.local/docs/errors",
        "500: internal error at 10:31:07",
    ],
)
def test_other_words_stay(said: str) -> None:
    assert Credentials([KEY]).strike(said) == said


def test_a_placeholder_for_a_key_strikes_no_words() -> None:
    assert Credentials(["", "no", "abc"]).strike("there is no abc") == "there is no abc"


def test_a_short_key_is_struck_as_a_whole() -> None:
    assert Credentials(["xyzzy"]).strike("xyzzy is not known") == f"{STRUCK} is not known"


def _shared(one: str, other: str, length: int) -> bool:
    """Whether both hold the same run of so many characters."""
    return any(other[at : at + length] in one for at in range(len(other) - length + 1))
