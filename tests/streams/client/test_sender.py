"""What `refrain ask` sends tells whose it is, as the settings want."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from refrain.schemas.requests import Request
from refrain.streams.classify.tenants import Tenants, tenants_of
from refrain.streams.client.sender import Sender
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.interface import Headers, Record
from refrain.streams.messaging.tenant_header import HEADER
from refrain.streams.settings import Classify, Settings
from refrain.streams.settings import Tenants as TenantKeys

NOW_MS = 1_000_000
REQUEST = Request(tenant="acme", body={"model": "m", "messages": []})
VALUE = REQUEST.encode()
MINE = (("id", b"1"),)


def settings_of(tenants: str, keys: str | None = "ab" * 32) -> Settings:
    chosen = Classify.model_validate({"tenants": tenants, "topic": "requests.acme"})
    return Settings(classify=chosen, tenants=TenantKeys(keys=None if keys is None else SecretStr(keys)))


def bound(tenants: Tenants, key: bytes, headers: Headers) -> str | None:
    return tenants.of(Record("requests.acme", 0, 0, NOW_MS, key, VALUE, headers))


@pytest.mark.parametrize("way", ["key", "topic", "header"])
def test_what_is_sent_is_bound_to_the_tenant_that_it_names(way: str) -> None:
    settings = settings_of(way)
    key, headers = Sender(settings, lambda: NOW_MS).addressed(REQUEST, b"k", MINE, VALUE)
    assert bound(tenants_of(settings), key, headers) == "acme"
    assert key.endswith(b"k")
    assert headers[:1] == MINE


@pytest.mark.parametrize(("way", "keys"), [("request", "ab" * 32), ("topic", "ab" * 32), ("header", None)])
def test_where_nothing_is_to_be_told_key_and_headers_are_as_they_were(way: str, keys: str | None) -> None:
    assert Sender(settings_of(way, keys), lambda: NOW_MS).addressed(REQUEST, b"k", MINE, VALUE) == (b"k", MINE)


def test_a_signature_is_the_last_header_and_what_is_no_key_is_refused() -> None:
    _, headers = Sender(settings_of("header"), lambda: NOW_MS).addressed(REQUEST, b"k", MINE, VALUE)
    assert [name for name, _ in headers] == ["id", HEADER]
    with pytest.raises(WrongSetup, match=r"tenants\.keys"):
        Sender(settings_of("header", "short"), lambda: NOW_MS)
