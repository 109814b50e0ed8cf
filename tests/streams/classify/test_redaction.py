"""A refused request is kept with its text where it is known to be no `never` traffic, and nowhere else."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote_plus

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.control import PolicyInForce
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.policy_rules import Match, Rule
from refrain.streams.classify.redaction import WINDOW_BYTES, may_be_uncacheable
from refrain.streams.classify.routing import Router, learned_router
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Headers, Record
from refrain.streams.messaging.parsing import parse
from refrain.streams.vectors import Ints, quantise

SECRET = "my secret diagnosis"
PLAIN = "What is a list?"
NEVER = CategoryPolicy(cache=Cacheable.NEVER)


def router_of(*rules: Match, **categories: CategoryPolicy) -> Router:
    policy = Policy(
        categories={"code": CategoryPolicy(), "uncategorised": CategoryPolicy(), **categories},
        rules=tuple(Rule(when=when, category="medical") for when in rules),
    )

    def embed(texts: Sequence[str]) -> list[Ints | None]:
        return [quantise(np.ones(4)) for _ in texts]

    return learned_router(PolicyInForce(version=1, who="w", at_ms=0, policy=policy), embed, "e")


BY_PATTERN = router_of(Match(pattern="secret diagnosis"), medical=NEVER)
BY_NAME = router_of(Match(tenant="clinic"), Match(model="med/large-2"), Match(tag="health"), medical=NEVER)
ANCHORED = router_of(Match(pattern="^my secret diagnosis$"), medical=NEVER)
BY_MEANING = router_of(medical=NEVER.model_copy(update={"examples": ("Which pills help against fever?",)}))
OPEN = router_of(medical=CategoryPolicy())


def is_redacted(router: Router | None, value: bytes | None, headers: Headers = (), key: bytes | None = b"k") -> bool:
    try:
        parsed = parse(value, bytes_max=900_000, depth_max=64)
    except Refusal:
        parsed = None
    return may_be_uncacheable(router, Record("requests", 0, 0, 0, key, value, headers), parsed)


def request(text: str = PLAIN, **fields: Any) -> dict[str, Any]:
    return {"v": 2, "body": {"model": "m", "messages": [{"role": "user", "content": text}]}, **fields}


def as_json(text: str, **fields: Any) -> str:
    return json.dumps(request(text, **fields))


def as_python(text: str) -> str:
    return str(request(text))


SPELLINGS = {
    "cut off": lambda text: as_json(text)[:-3].encode(),
    "cut off within a character": lambda text: as_json(text)[:-3].encode() + "é".encode()[:1],
    "with a comma too many": lambda text: as_json(text)[:-1].encode() + b",}",
    "in single quotes": lambda text: as_python(text).encode(),
    "in backticks": lambda text: as_python(text).replace("'", "`").encode(),
    "with a byte order mark": lambda text: b"\xef\xbb\xbf" + as_python(text).encode(),
    "after blanks": lambda text: b"\n\t " + as_python(text).encode(),
    "UTF-16, little end first": lambda text: as_python(text).encode("utf-16-le"),
    "UTF-16, big end first": lambda text: as_python(text).encode("utf-16-be"),
    "UTF-16 with a mark": lambda text: as_python(text).encode("utf-16"),
    "UTF-32": lambda text: as_python(text).encode("utf-32"),
    "UTF-32, big end first": lambda text: as_python(text).encode("utf-32-be"),
    "escaped by \\u": lambda text: as_python(text.replace("d", "\\u0064")).replace("\\\\", "\\").encode(),
    "escaped by \\x": lambda text: as_python(text.replace("d", "\\x64")).replace("\\\\", "\\").encode(),
    "escaped by \\u{}": lambda text: as_python(text.replace("d", "\\u{0064}")).replace("\\\\", "\\").encode(),
    "escaped twice": lambda text: as_json(json.dumps(text.replace("d", "\\u0064")))[:-1].encode(),
    "escaped as in a URL": lambda text: as_json(quote_plus(text))[:-1].encode(),
    "escaped as in HTML": lambda text: as_json(text.replace("s", "&#115;"))[:-1].encode(),
}  # fmt: skip
OTHER_PLACES = {
    "a prompt": {"v": 2, "body": {"model": "m", "prompt": SECRET}},
    "a prompt beside messages": {"v": 2, "body": {"model": "m", "messages": [], "prompt": SECRET}},
    "an input": {"v": 2, "input": [{"content": SECRET}]},
    "a body that is text": {"body": SECRET},
    "a body that is a list": {"body": [SECRET]},
    "messages that are no list": {"body": {"model": "m", "messages": {"content": SECRET}}},
    "a content of another form": {"body": {"model": "m", "messages": [{"content": {"parts": [{"say": SECRET}]}}]}},
    "an unknown field": {"v": 2, "note": SECRET, "body": {"model": "m", "messages": []}},
    "the name of a field": {"v": 2, SECRET: 1, "body": {"model": "m", "messages": []}},
    "what varies": {"v": 2, "vary": {"patient": {"about": SECRET}}, "body": {"model": "m", "messages": []}},
}


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS.keys())
@pytest.mark.parametrize("router", [BY_PATTERN, ANCHORED], ids=["anywhere", "anchored"])
def test_text_that_a_pattern_finds_is_not_kept_however_it_is_written(router: Router, spelled: Any) -> None:
    assert is_redacted(router, spelled(SECRET))


@pytest.mark.parametrize("value", OTHER_PLACES.values(), ids=OTHER_PLACES.keys())
@pytest.mark.parametrize("router", [BY_PATTERN, ANCHORED], ids=["anywhere", "anchored"])
def test_text_that_a_pattern_finds_is_not_kept_wherever_it_stands(router: Router, value: dict[str, Any]) -> None:
    assert is_redacted(router, json.dumps(value).encode())


@pytest.mark.parametrize("router", [BY_PATTERN, ANCHORED, BY_NAME])
def test_text_that_is_known_to_be_no_never_traffic_is_kept(router: Router) -> None:
    for value in (as_json(PLAIN).encode(), as_json(PLAIN)[:-3].encode(), as_python(PLAIN).encode(), b"", None):
        assert not is_redacted(router, value)


def test_names_of_rules_and_categories_count_in_any_quotes_and_as_whole_words() -> None:
    for name in ("clinic", "med/large-2", "health", "medical"):
        for value in (f'{{"x": "{name}"', f"{{'x': '{name}'}}", f"{{x: {name},", f'{{"x": ["{name}", 1]}}'):
            assert is_redacted(BY_NAME, value.encode()), value
    for other in ("clinics", "xclinic", "med-large-2", "healthy", "paramedical"):
        assert not is_redacted(BY_NAME, f'{{"x": "{other}"'.encode()), other


def test_a_rule_of_the_tenant_that_nobody_needs_to_name_may_be_of_any_request() -> None:
    router = router_of(Match(tenant="default"), medical=NEVER)
    assert is_redacted(router, b'{"x":')
    assert is_redacted(router, as_json(PLAIN).encode())


NO_TEXT = {
    "no JSON at all": b"hello",
    "a list": b'[{"content": "hello',
    "a text": b'"hello',
    "a form": b"prompt=hello",
    "the end of JSON": b'lo"}]}}',
    "not UTF-8": b'{"content": "\xff\xfe"}',
    "a zero byte": b'{"content": "a\x00b"',
    "controls": b'{"content": "\x1b[31m"',
    "latin-1": '{"content": "für"'.encode("latin-1"),
    "base64": b'{"content": "' + base64.b64encode(b"hello, how are you? " * 20),
    "hexadecimal": b'{"content": "' + (b"hello, how are you? " * 20).hex().encode(),
    "gzip": gzip.compress(b'{"content": "hello"}'),
    "escapes without end": b'{"content": "' + b"\\" * 200 + b"u0064",
    "more pieces than are looked at": b'{"a": [' + b"".join(b'"%d",' % n for n in range(6_000)),
    "more texts than are looked at": json.dumps({"v": 2, "tags": [""] * 6_000}).encode(),
}


@pytest.mark.parametrize("value", NO_TEXT.values(), ids=NO_TEXT.keys())
def test_where_nothing_can_tell_nothing_is_kept(value: bytes) -> None:
    assert is_redacted(BY_PATTERN, value)
    assert not is_redacted(OPEN, value), "without a `never` category there is nothing to tell"


def test_what_lies_between_the_windows_cannot_be_told() -> None:
    inside = b'{"a": "' + b"hello " * ((2 * WINDOW_BYTES - 200) // 6)
    assert not is_redacted(BY_PATTERN, inside)
    assert is_redacted(BY_PATTERN, inside + b"hello " * 100)


def test_what_only_meaning_tells_is_kept_where_the_client_names_another_category() -> None:
    for value in (b'{"x":', as_json(PLAIN).encode(), json.dumps({"body": {"prompt": "x"}}).encode()):
        assert is_redacted(BY_MEANING, value)
    assert not is_redacted(BY_MEANING, as_json(PLAIN, category="code").encode())
    assert is_redacted(BY_MEANING, as_json(PLAIN, category=["code"]).encode())
    unknown = as_json(PLAIN, category="unknown").encode()
    assert is_redacted(BY_MEANING, unknown), "nothing of what the policy does not define is kept elsewhere either"


@pytest.mark.timeout(60)
def test_what_it_costs_to_look_grows_like_the_text() -> None:
    """All of these take a second together; one that grows like the square of its text would take minutes."""
    for sign in ("\\", '"', "'", "&amp;", "&", "%25", "%", "\\u005c", "\\u{", "[", " ", "{", "a ", '\\"', "a"):
        is_redacted(ANCHORED, b'{"a": ' + (sign * ((2 * WINDOW_BYTES - 100) // len(sign))).encode())


def test_key_and_headers_count_too() -> None:
    value = as_json(PLAIN).encode()
    assert is_redacted(BY_PATTERN, value, key=SECRET.encode())
    assert is_redacted(BY_PATTERN, value, (("note", SECRET.encode()),))
    assert is_redacted(BY_PATTERN, value, ((SECRET, None),))
    assert is_redacted(BY_PATTERN, value, (("", b""),) * 65_000)
    assert not is_redacted(BY_PATTERN, value, (("trace", b"\x00\xff\x01"),))


def test_without_a_policy_nothing_is_kept() -> None:
    assert is_redacted(None, as_json(PLAIN, category="code").encode())


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(["utf-8", "utf-16", "utf-16-be", "utf-32-le"]))
def test_a_secret_is_never_kept_whatever_surrounds_it(before: bytes, after: bytes, encoding: str) -> None:
    assert is_redacted(BY_PATTERN, before + SECRET.encode(encoding) + after)
