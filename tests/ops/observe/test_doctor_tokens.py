"""The doctor says whether the keys of tokens can be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from refrain.ops.observe.doctor_tokens import tokens
from refrain.ops.observe.findings import Finding
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Settings
from tests.streams.edge.provider import JwksServer, jwks, settings_of_tokens

URL = "https://login.example.org/keys"


def found(answer: httpx.Response | Exception | None = None, **more: Any) -> Finding:
    def serve(request: httpx.Request) -> httpx.Response:
        assert answer is not None
        if isinstance(answer, Exception):
            raise answer
        return answer

    settings = Settings().model_copy(update={"jwt": settings_of_tokens(**more)})
    (finding,) = tokens(settings, httpx.MockTransport(serve))
    return finding


def test_where_no_tokens_are_taken_nothing_is_said() -> None:
    assert tokens(Settings()) == []


def test_keys_that_can_be_had_are_counted(tmp_path: Path) -> None:
    served = httpx.Response(200, stream=httpx.ByteStream(jwks("a", "b")))
    finding = found(served, jwks_url=URL)
    assert (finding.state, finding.seen.split()[0]) == ("ok", "2")
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks("a"))
    path.chmod(0o644)
    assert found(jwks_file=path).seen.startswith("1 key of")


@pytest.mark.parametrize(
    ("answer", "said"),
    [(httpx.ConnectError("away"), "ConnectError"), (httpx.Response(404, stream=httpx.ByteStream(b"")), "404")],
)
def test_a_provider_that_serves_none_fails_with_its_address_and_what_to_do(
    answer: httpx.Response | Exception, said: str
) -> None:
    finding = found(answer, jwks_url=URL)
    assert finding.state == "fail"
    assert said in finding.seen
    assert URL in finding.seen
    assert finding.do


def test_a_provider_that_says_where_its_keys_are_is_asked_there() -> None:
    with JwksServer(jwks("a")) as provider:
        chosen = settings_of_tokens(issuer=provider.issuer)
        (finding,) = tokens(Settings().model_copy(update={"jwt": chosen}))
        assert (finding.state, provider.url in finding.seen) == ("ok", True)
        provider.described = b"{}"
        (finding,) = tokens(Settings().model_copy(update={"jwt": chosen}))
    assert finding.state == "fail"
    assert f"{provider.issuer}/.well-known/openid-configuration" in finding.seen


def test_settings_that_lack_something_are_named() -> None:
    with pytest.raises(WrongSetup, match="audience"):
        found(audience=None)
