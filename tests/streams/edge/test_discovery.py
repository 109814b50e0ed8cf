"""A provider that says itself where its keys are: over HTTP, and what of its words is not believed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from refrain.streams.edge.discovery import document_url, keys_url_in
from refrain.streams.edge.jwks import SET_BYTES_MAX, UrlKeys
from refrain.streams.edge.problems import HttpProblem
from refrain.streams.edge.tokens import TokenCheck
from tests.streams.edge.provider import JwksServer, jwks, settings_of_tokens, token

ISSUER = "https://login.example.org/realms/shop"
DOCUMENT = "/realms/shop/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("issuer", "place"),
    [
        (ISSUER, f"{ISSUER}/.well-known/openid-configuration"),
        (f"{ISSUER}/", f"{ISSUER}/.well-known/openid-configuration"),
        ("https://login.example.org", "https://login.example.org/.well-known/openid-configuration"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/.well-known/openid-configuration"),
        ("http://localhost/realm", "http://localhost/realm/.well-known/openid-configuration"),
    ],
)
def test_the_description_lies_below_the_issuer(issuer: str, place: str) -> None:
    assert str(document_url(issuer)) == place


def described(**more: Any) -> bytes:
    return json.dumps({"issuer": ISSUER, "jwks_uri": "https://keys.example.org/shop", **more}).encode()


def test_keys_may_lie_on_another_host() -> None:
    assert str(keys_url_in(described(more=["things"]), ISSUER)) == "https://keys.example.org/shop"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no description"),
        (b"<html>", "no description"),
        (b"[]", "no description"),
        (b"null", "no description"),
        (b"{}", "no description"),
        (b"[" * 100_000, "no description"),
        (json.dumps({"issuer": ISSUER}).encode(), "no description"),
        (json.dumps({"jwks_uri": "https://keys.example.org/"}).encode(), "no description"),
        (described(issuer=f"{ISSUER}/"), "another issuer"),
        (described(issuer=ISSUER.upper()), "another issuer"),
        (described(issuer=[ISSUER]), "another issuer"),
        (described(issuer=None), "another issuer"),
        (described(jwks_uri=None), "no text"),
        (described(jwks_uri=["https://keys.example.org/"]), "no text"),
        (described(jwks_uri="https://keys.example.org/" + "x" * 3_000), "no text"),
        (described(jwks_uri=""), "https, or http on loopback"),
        (described(jwks_uri="/keys"), "https, or http on loopback"),
        (described(jwks_uri="http://keys.example.org/"), "https, or http on loopback"),
        (described(jwks_uri="file:///etc/passwd"), "https, or http on loopback"),
        (described(jwks_uri="https://me:secret@keys.example.org/"), "holds a password"),
        (described(jwks_uri="https://keys.example.org:x/"), "no URL"),
    ],
)
def test_a_description_of_no_use_or_of_another_is_not_believed(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        keys_url_in(data, ISSUER)
    assert "secret" not in str(caught.value)


class Clock:
    """Seconds that are moved by hand."""

    now_s = 1_000.0


def checking(provider: JwksServer, work: Callable[[TokenCheck, Clock], Awaitable[None]]) -> None:
    async def run() -> None:
        chosen, clock = settings_of_tokens(issuer=provider.issuer), Clock()
        check = TokenCheck(chosen, UrlKeys(chosen, clock=lambda: clock.now_s))
        try:
            await work(check, clock)
        finally:
            await check.close()

    asyncio.run(run())


async def status(check: TokenCheck, shown: str) -> int:
    try:
        assert await check.tenant(shown) == "acme"
    except HttpProblem as problem:
        return problem.status
    return 200


def test_the_issuer_alone_leads_to_its_keys_which_are_kept_and_had_again_for_an_unknown_one() -> None:
    with JwksServer(jwks("a")) as provider:

        async def work(check: TokenCheck, clock: Clock) -> None:
            for _ in range(3):
                assert await status(check, token("a", iss=provider.issuer)) == 200
            assert provider.paths == [DOCUMENT, "/keys"]
            # The keys are renewed, and lie elsewhere from now on.
            provider.data = jwks("b")
            provider.described = provider.described.replace(b"/keys", b"/new-keys")
            clock.now_s += 10
            assert await status(check, token("b", iss=provider.issuer)) == 200
            assert provider.paths[2:] == [DOCUMENT, "/new-keys"]
            assert await status(check, token("a", iss=provider.issuer)) == 401

        checking(provider, work)


def test_made_up_keys_make_the_provider_be_asked_no_oftener_than_allowed() -> None:
    with JwksServer(jwks("a")) as provider:

        async def work(check: TokenCheck, clock: Clock) -> None:
            for number in range(50):
                assert await status(check, token(f"guess-{number % 5}", iss=provider.issuer)) == 401
            assert provider.paths == [DOCUMENT, "/keys"]

        checking(provider, work)


@pytest.mark.parametrize(
    "described",
    [
        b"{}",
        b"<html>",
        b" " * (SET_BYTES_MAX + 1),
        b'{"issuer": "https://other.example.org/", "jwks_uri": "https://x/"}',
    ],
)
def test_keys_once_had_count_on_where_the_description_is_of_no_use_and_else_tokens_get_503(described: bytes) -> None:
    with JwksServer(jwks("a")) as provider:
        good = provider.described

        async def work(check: TokenCheck, clock: Clock) -> None:
            provider.described = described
            assert await status(check, token("a", iss=provider.issuer)) == 503
            assert provider.paths == [DOCUMENT]
            provider.described = good
            clock.now_s += 10
            assert await status(check, token("a", iss=provider.issuer)) == 200
            provider.described = described
            clock.now_s += 10
            assert await status(check, token("b", iss=provider.issuer)) == 401
            assert provider.paths[-1] == DOCUMENT
            assert await status(check, token("a", iss=provider.issuer)) == 200

        checking(provider, work)


def test_a_provider_that_is_down_is_told_so_and_its_keys_count_on() -> None:
    with JwksServer(jwks("a")) as provider:

        async def work(check: TokenCheck, clock: Clock) -> None:
            provider.status = 500
            assert await status(check, token("a", iss=provider.issuer)) == 503
            provider.status = 200
            clock.now_s += 10
            assert await status(check, token("a", iss=provider.issuer)) == 200
            provider.status = 302
            clock.now_s += 10
            assert await status(check, token("b", iss=provider.issuer)) == 401
            assert await status(check, token("a", iss=provider.issuer)) == 200

        checking(provider, work)
