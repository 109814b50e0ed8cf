"""Tokens of an identity provider: which of them let in, for whom, and what the others are told."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refrain.streams.edge.jwks import FileKeys, read_set
from refrain.streams.edge.problems import HttpProblem
from refrain.streams.edge.tokens import TokenCheck, claim_path, token_check
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Jwt
from tests.streams.edge.provider import (
    by_key,
    claims,
    encoded,
    hmac_token,
    jwks,
    packed,
    private_key,
    public_jwk,
    settings_of_tokens,
    token,
)

NOW_S = int(time.time())
LATER_S = NOW_S + 1_000_000


def write(folder: Path, data: bytes) -> Path:
    path = folder / "jwks.json"
    path.write_bytes(data)
    path.chmod(0o644)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("provider")


@pytest.fixture(scope="module")
def check(folder: Path) -> TokenCheck:
    return checking(folder, jwks("a", "b"))


def checking(folder: Path, data: bytes, **more: Any) -> TokenCheck:
    made = token_check(settings_of_tokens(jwks_file=write(folder, data), **more))
    assert made is not None
    return made


def tenant(check: TokenCheck, shown: str) -> str:
    return asyncio.run(check.tenant(shown))


def tenant_or_status(check: TokenCheck, shown: str) -> str | int:
    try:
        return tenant(check, shown)
    except HttpProblem as problem:
        return problem.status


def refused(check: TokenCheck, shown: str) -> HttpProblem:
    with pytest.raises(HttpProblem) as caught:
        tenant(check, shown)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert caught.value.headers["www-authenticate"].startswith("Bearer")
    return caught.value


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_good_token_lets_its_tenant_in(tmp_path: Path, algorithm: str) -> None:
    check = checking(tmp_path, jwks("k", algorithm=algorithm), leeway_ms=600_000)
    assert tenant(check, token("k", algorithm)) == "acme"
    assert tenant(check, token("k", algorithm, tenant="Other.one_2-3")) == "Other.one_2-3"
    assert tenant(check, token("k", algorithm, aud=["web", "refrain"])) == "acme"
    assert tenant(check, token("k", algorithm, exp=int(time.time()) - 10)) == "acme"
    assert "signature" in refused(check, token("k", algorithm)[:-8] + "AAAAAAAA").message


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"exp": NOW_S - 60}, "expired"),
        ({"nbf": LATER_S}, "not valid yet"),
        ({"iat": LATER_S}, "not valid yet"),
        ({"exp": None}, "`exp`"),
        ({"iss": None}, "`iss`"),
        ({"aud": None}, "`aud`"),
        ({"aud": []}, "`aud`"),
        ({"aud": "refrain2"}, "audience"),
        ({"aud": ["refrain", 1]}, "audience"),
        ({"aud": {"refrain": 1}}, "audience"),
        ({"iss": "https://login.example.org/realms/other"}, "issuer"),
        ({"iss": "https://login.example.org/realms/shop/"}, "issuer"),
        ({"iss": ["https://login.example.org/realms/shop"]}, "issuer"),
        ({"exp": str(LATER_S)}, "`exp` is no number"),
        ({"exp": True}, "expired"),
        ({"nbf": True}, "`nbf` is no number"),
        ({"iat": str(NOW_S)}, "`iat` is no number"),
        ({"exp": float("inf")}, "cannot be read"),
        ({"exp": float("nan")}, "cannot be read"),
        ({"exp": {}}, "cannot be read"),
        ({"sub": 7}, "cannot be read"),
        ({"tenant": None}, "`tenant`"),
        ({"tenant": ["acme"]}, "no tenant"),
        ({"tenant": 7}, "no tenant"),
        ({"tenant": True}, "no tenant"),
        ({"tenant": ""}, "no tenant"),
        ({"tenant": "a" * 65}, "no tenant"),
        ({"tenant": "a b"}, "no tenant"),
        ({"tenant": "acme\n"}, "no tenant"),
        ({"tenant": "../acme"}, "no tenant"),
        ({"tenant": "ac\u0000me"}, "no tenant"),
        ({"tenant": "\ud800"}, "no tenant"),
    ],
)
def test_a_token_with_another_claim_is_refused_and_told_why(check: TokenCheck, more: dict[str, Any], said: str) -> None:
    problem = refused(check, token(**more))
    assert said in problem.message
    assert "acme" not in problem.message


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("x", "three parts"),
        ("a.b", "three parts"),
        ("a.b.c.d", "three parts"),
        ("a.b.c=", "three parts"),
        ("a..c", "three parts"),
        ("\u00e4.b.c", "three parts"),
        ("a.b.c", "cannot be read"),
        (f"{encoded(b'[1]')}.e30.AA", "cannot be read"),
        (f"{encoded(b'[' * 3_000)}.e30.AA", "cannot be read"),
        (f"{packed({'alg': 'ES256', 'kid': 7})}.e30.AA", "cannot be read"),
        (f"{packed({})}.e30.AA", "not signed by one of"),
        (f"{packed({'alg': ['ES256'], 'kid': 'a'})}.e30.AA", "not signed by one of"),
        (f"{packed({'alg': 'none', 'kid': 'a'})}.{packed(claims())}.AA", "not signed by one of"),
        (f"{packed({'alg': 'ES256', 'kid': 'a'})}.{packed(claims())}.AA", "signature"),
        (token("a", header={"kid": "b"}), "signature"),
        (token("a", header={"kid": "nobody"}), "no key"),
        (token("a", header={"kid": ""}), "no key"),
        (token(None), "no key"),
        (token("a", "RS256"), "no key"),
        (token("a", header={"crit": ["b64"], "b64": True}), "crit"),
        (token("a", more="x" * 8_192), "longer than 8192 bytes"),
    ],
    ids=range(21),
)
def test_what_is_no_token_of_the_issuer_is_refused_and_told_why(check: TokenCheck, shown: str, said: str) -> None:
    problem = refused(check, shown)
    assert said in problem.message
    assert shown not in problem.message


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_public_key_is_nobodys_shared_secret(tmp_path: Path, algorithm: str) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    check = checking(tmp_path, jwks("a", algorithm=algorithm))
    public = private_key("a", algorithm).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), json.dumps(public_jwk("a", algorithm)).encode(), b""):
        assert "not signed by one of" in refused(check, hmac_token(secret)).message


def test_shared_secrets_and_no_signature_cannot_be_allowed() -> None:
    for name in ("none", "HS256", "HS512", "dir", ""):
        with pytest.raises(ValueError, match="algorithms"):
            Jwt.model_validate({"algorithms": [name]})


def test_a_shared_secret_among_the_keys_verifies_nothing(tmp_path: Path) -> None:
    secret = b"s" * 32
    keys = json.dumps({"keys": [{"kty": "oct", "kid": "a", "k": encoded(secret)}, public_jwk("b", "ES256")]}).encode()
    assert "not signed by one of" in refused(checking(tmp_path, keys), hmac_token(secret)).message
    forged = hmac_token(secret).split(".")
    assert (
        "no key"
        in refused(checking(tmp_path, keys), ".".join([packed({"alg": "ES256", "kid": "a"}), *forged[1:]])).message
    )


def test_a_token_that_names_no_key_is_verified_by_the_only_one(tmp_path: Path) -> None:
    check = checking(tmp_path, jwks("a"))
    assert tenant(check, by_key(private_key("a", "ES256"), "ES256", {}, claims())) == "acme"


def test_a_key_verifies_by_the_algorithm_that_it_is_for_alone(tmp_path: Path) -> None:
    check = checking(tmp_path, jwks("k", algorithm="RS256", alg="RS256"))
    assert tenant(check, token("k", "RS256")) == "acme"
    rsa = private_key("k", "RS256")
    assert "no key" in refused(check, by_key(rsa, "PS256", {"kid": "k"}, claims())).message
    short = checking(tmp_path, jwks("short", algorithm="RS256"))
    assert "too short" in refused(short, token("short", "RS256")).message


@pytest.mark.parametrize(
    ("claim", "more"),
    [
        ("https://example.org/tenant", {"https://example.org/tenant": "acme"}),
        ("a.b", {"a.b": "acme"}),
        ("/resource_access/refrain/tenant", {"resource_access": {"refrain": {"tenant": "acme"}}}),
        ("/https:~1~1example.org~1app/ten~0ant", {"https://example.org/app": {"ten~ant": "acme"}}),
        ("/", {"": "acme"}),
    ],
)
def test_the_tenants_claim_may_have_any_name_and_stand_inside_others(
    tmp_path: Path, claim: str, more: dict[str, Any]
) -> None:
    check = checking(tmp_path, jwks("a"), tenant_claim=claim)
    assert tenant(check, token(**more)) == "acme"
    others: tuple[Any, ...] = ([], 7, {"refrain": ["tenant"]}, {"refrain": "tenant"})
    for value in others:
        changed: dict[str, Any] = {next(iter(more)): value}
        assert claim in refused(check, token(**changed)).message
    assert claim in refused(check, token()).message


def test_a_claim_that_is_no_pointer_is_told_at_the_start(tmp_path: Path) -> None:
    for wrong in ("/a~", "/a~2b", "/~"):
        with pytest.raises(WrongSetup, match="JSON Pointer"):
            claim_path(wrong)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no JWK set"),
        (b"[]", "no JWK set"),
        (b"{}", "no JWK set"),
        (b"[" * 100_000, "no JWK set"),
        (b'{"keys": {}}', "no list"),
        (
            b'{"keys": [1, {}, {"kty": []}, {"kty": "EC", "crv": {}}, {"kty": "EC", "crv": "P-256", "x": 1}]}',
            "no public key",
        ),
        (jwks("a", use="enc"), "no public key"),
        (jwks("a", key_ops=["sign"]), "no public key"),
        (jwks("a", d="AA"), "no public key"),
        (jwks("a", kid=7), "no public key"),
        (json.dumps({"keys": [public_jwk("a", "ES256")] * 1_001}).encode(), "no list of at most"),
    ],
    ids=range(11),
)
def test_a_set_of_no_use_is_told_so(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_set(data, ("ES256",))
    with pytest.raises(WrongSetup, match="jwks_file"):
        FileKeys(write(tmp_path, data), ("ES256",))


def test_a_key_that_comes_twice_verifies_nothing(tmp_path: Path) -> None:
    check = checking(
        tmp_path, json.dumps({"keys": [public_jwk("a", "ES256"), public_jwk("b", "ES256", kid="a")]}).encode()
    )
    assert "no key" in refused(check, token("a")).message


def test_a_file_of_keys_is_followed_and_a_torn_one_leaves_all_as_it_was(tmp_path: Path) -> None:
    ticks = iter(range(0, 1_000, 10))
    path = write(tmp_path, jwks("a"))
    source = FileKeys(path, ("ES256",), clock=lambda: next(ticks))
    check = TokenCheck(settings_of_tokens(), source)
    assert tenant(check, token("a")) == "acme"
    write(tmp_path, b"{")
    assert tenant(check, token("a")) == "acme"
    write(tmp_path, jwks("b", "c"))
    refused(check, token("a"))
    assert tenant(check, token("c")) == "acme"
    path.unlink()
    assert tenant(check, token("c")) == "acme"


def test_a_file_of_keys_that_others_may_change_is_not_taken(tmp_path: Path) -> None:
    path = write(tmp_path, jwks("a"))
    path.chmod(0o664)
    with pytest.raises(WrongSetup, match="chmod go-w"):
        FileKeys(path, ("ES256",))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"issuer": None, "audience": "a"}, "jwt.issuer is not"),
        ({"audience": None, "jwks_url": "https://login.example.org/keys"}, "jwt.audience is not set"),
        ({"issuer": "shop"}, "or set jwt.jwks_url or jwt.jwks_file"),
        ({"issuer": "http://login.example.org/"}, "https, or http on loopback"),
        ({"issuer": "https://me:secret@login.example.org/"}, "holds a password"),
        ({"issuer": "https://login.example.org/?realm=shop"}, "query or fragment"),
        ({"issuer": "https://login.example.org/#shop"}, "query or fragment"),
        ({"jwks_url": "https://login.example.org/keys", "jwks_file": "keys"}, "are both set"),
        ({"jwks_file": "nowhere/keys"}, "cannot be read"),
        ({"jwks_url": "http://login.example.org/keys"}, "https, or http on loopback"),
        ({"jwks_url": "ftp://127.0.0.1/keys"}, "https, or http on loopback"),
        ({"jwks_url": "https:///keys"}, "https, or http on loopback"),
        ({"jwks_url": "keys"}, "https, or http on loopback"),
        ({"jwks_url": "https://login.example.org:x/"}, "no URL"),
        ({"jwks_url": "https://me:secret@login.example.org/"}, "holds a password"),
    ],
)
def test_settings_of_tokens_that_would_let_nobody_or_anybody_in_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongSetup, match=said) as caught:
        token_check(settings_of_tokens(**more))
    assert "secret" not in str(caught.value)


def test_without_an_issuer_no_token_is_taken() -> None:
    assert token_check(Jwt()) is None


GOOD = token("a", sub="someone")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_token_that_was_changed_anywhere_lets_nobody_in(check: TokenCheck, data: st.DataObject) -> None:
    """Characters replaced, taken out, doubled, parts mixed and cut: each is a 401 and no other error."""
    shown = list(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(shown) - 1))
        change = data.draw(st.sampled_from(["replace", "drop", "double", "cut", "swap"]))
        if change == "replace":
            shown[place] = data.draw(st.characters(min_codepoint=33, max_codepoint=255))
        elif change == "drop" and len(shown) > 1:
            del shown[place]
        elif change == "double":
            shown.insert(place, shown[place])
        elif change == "cut":
            shown = shown[: place + 1]
        else:
            parts = "".join(shown).split(".")
            shown = list(".".join(data.draw(st.permutations(parts))))
    if (changed := "".join(shown)) != GOOD:
        refused(check, changed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
HEADER = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u"]), JSON, max_size=4)
CLAIMS = st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "tenant"]), JSON, max_size=4)


@settings(max_examples=100, deadline=None)
@given(HEADER, CLAIMS)
def test_a_signed_token_of_any_shape_is_taken_or_refused_and_nothing_else(
    check: TokenCheck, header: dict[str, Any], more: dict[str, Any]
) -> None:
    payload = {**claims(), **more}
    shown = by_key(private_key("a", "ES256"), "ES256", {"kid": "a", **header}, payload)
    let_in = tenant_or_status(check, shown)
    assert let_in == 401 or (let_in == payload["tenant"] and payload["iss"] == claims()["iss"])
