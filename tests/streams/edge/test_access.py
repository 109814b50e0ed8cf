"""Who is let in over HTTP: by keys, by tokens, by either; and that nothing that is shown is told."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from refrain.streams.edge.access import access_of
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Settings
from refrain.streams.upstream.simulated.server import SimulatedServer
from tests.streams.edge.provider import JwksServer, jwks, settings_of_tokens, token
from tests.streams.edge.service import WAIT_S, WaitingCluster, add_key, now_ms, settings_of
from tests.streams.edge.serving import Serving, serving

BODY = {"model": "m", "messages": [{"role": "user", "content": "Who?"}]}


class Gate:
    """An endpoint that takes keys and tokens, its model, and the provider of tokens."""

    def __init__(self, serving: Serving, cluster: WaitingCluster, model: SimulatedServer, provider: JwksServer) -> None:
        self.serving = serving
        self.cluster = cluster
        self.model = model
        self.provider = provider

    def post(self, *headers: tuple[str, str]) -> httpx.Response:
        url = f"{self.serving.url}/v1/chat/completions"
        return httpx.post(url, json=BODY, headers=list(headers), timeout=WAIT_S, trust_env=False)

    def has_asked(self, tenant: str) -> bool:
        """Whether a request of a tenant comes to the topic, which may be later than the answer."""
        until_s = time.monotonic() + WAIT_S
        while time.monotonic() < until_s:
            told = [json.loads(record.value or b"")["tenant"] for record in self.cluster.records("requests")]
            if tenant in told:
                return True
            with self.cluster.appended:
                self.cluster.appended.wait(0.02)
        return False


def gate_settings(folder: Path, model: SimulatedServer, provider: JwksServer, **more: Any) -> Settings:
    made = settings_of(folder, model, **{"auth": "keys", "cache_wait_ms": 1, **more})
    chosen = settings_of_tokens(jwks_url=provider.url, jwks_retry_ms=100)
    return made.model_copy(update={"jwt": chosen})


@pytest.fixture(scope="module")
def provider() -> Iterator[JwksServer]:
    with JwksServer(jwks("a")) as server:
        yield server


@pytest.fixture(scope="module")
def gate(
    tmp_path_factory: pytest.TempPathFactory, model: SimulatedServer, provider: JwksServer
) -> Iterator[tuple[Gate, str]]:
    settings = gate_settings(tmp_path_factory.mktemp("state"), model, provider)
    key, _ = add_key(settings, "shop")
    cluster = WaitingCluster(now_ms)
    with serving(settings, cluster) as one:
        yield Gate(one, cluster, model, provider), key


def test_a_token_and_a_key_let_in_beside_each_other_and_neither_reaches_the_model(
    gate: tuple[Gate, str], caplog: pytest.LogCaptureFixture
) -> None:
    one, key = gate
    caplog.set_level(logging.DEBUG)
    good = token("a")
    assert one.post(("authorization", f"Bearer {good}")).status_code == 200
    assert one.has_asked("acme")
    assert one.post(("authorization", f"bearer  {good}")).status_code == 200
    assert one.post(("x-api-key", good)).status_code == 200
    assert one.post(("authorization", f"Bearer {key}")).status_code == 200
    assert one.has_asked("shop")
    seen = [value for call in one.model.calls for value in call.headers.values()]
    assert seen
    assert not any(shown in " ".join(seen) or shown in caplog.text for shown in (good, key))


def test_what_lets_nobody_in_is_an_error_in_openais_form_that_holds_nothing_of_it(
    gate: tuple[Gate, str], caplog: pytest.LogCaptureFixture
) -> None:
    one, key = gate
    caplog.set_level(logging.DEBUG)
    for shown in (token("b"), token("a", exp=1), token("a", tenant="a b"), token("a") + "AAAA", "x" * 20_000, "sk-1"):
        found = one.post(("authorization", f"Bearer {shown}"))
        error = found.json()["error"]
        assert (found.status_code, error["code"], error["type"]) == (401, "invalid_api_key", "authentication_error")
        assert found.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert shown not in found.text
        assert shown not in caplog.text
    assert "unknown or revoked" in one.post(("authorization", f"Bearer {key[:-3]}AAA")).json()["error"]["message"]
    nothing = one.post()
    assert (nothing.status_code, nothing.headers["www-authenticate"]) == (401, "Bearer")
    assert "identity provider" in nothing.json()["error"]["message"]


@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
def test_a_header_that_comes_twice_lets_nobody_in(gate: tuple[Gate, str], name: str) -> None:
    one, key = gate
    begins = "Bearer " if name == "authorization" else ""
    for pair in ([key, token("a")], [key, key]):
        found = one.post(*[(name, f"{begins}{shown}") for shown in pair])
        assert (found.status_code, found.json()["error"]["code"]) == (401, "invalid_api_key")
        assert "more than once" in found.json()["error"]["message"]


def test_a_new_key_of_the_provider_counts_at_once_and_guesses_do_not_reach_it(
    tmp_path: Path, model: SimulatedServer
) -> None:
    with JwksServer(jwks("a")) as provider:
        settings = gate_settings(tmp_path, model, provider, auth="jwt")
        settings = settings.model_copy(update={"jwt": settings.jwt.model_copy(update={"jwks_retry_ms": 60_000})})
        with serving(settings, WaitingCluster(now_ms)) as one:
            shown = Gate(one, WaitingCluster(now_ms), model, provider)
            assert shown.post(("authorization", f"Bearer {token('a')}")).status_code == 200
            for number in range(5):
                guess = token("a", header={"kid": f"guess-{number}"})
                assert shown.post(("authorization", f"Bearer {guess}")).status_code == 401
            assert provider.asked == 1


def test_without_the_providers_keys_tokens_are_told_to_come_back_and_keys_let_in(
    tmp_path: Path, model: SimulatedServer
) -> None:
    with JwksServer(b"") as provider:
        provider.status = 500
        settings = gate_settings(tmp_path, model, provider)
        key, _ = add_key(settings, "shop")
        with serving(settings, WaitingCluster(now_ms)) as one:
            shown = Gate(one, WaitingCluster(now_ms), model, provider)
            found = shown.post(("authorization", f"Bearer {token('a')}"))
            assert (found.status_code, found.json()["error"]["code"]) == (503, "keys_unavailable")
            assert found.headers["retry-after"] == "1"
            assert shown.post(("authorization", f"Bearer {key}")).status_code == 200
            assert httpx.get(f"{one.url}/readyz", trust_env=False).status_code == 200


def test_tokens_alone_are_taken_where_keys_are_not_wanted(tmp_path: Path, gate: tuple[Gate, str]) -> None:
    one, key = gate
    settings = gate_settings(tmp_path, one.model, one.provider, auth="jwt")
    with serving(settings, WaitingCluster(now_ms)) as other:
        shown = Gate(other, WaitingCluster(now_ms), one.model, one.provider)
        assert shown.post(("authorization", f"Bearer {token('a')}")).status_code == 200
        assert shown.post(("authorization", f"Bearer {key}")).status_code == 401
    assert not list(tmp_path.glob("edge.*")), "no pepper is made where there are no keys"


@pytest.mark.parametrize(
    ("auth", "issuer", "said"),
    [("jwt", None, "nobody could come in"), ("none", "https://login.example.org", "set edge.auth to jwt")],
)
def test_settings_that_contradict_each_other_are_refused(
    tmp_path: Path, auth: str, issuer: str | None, said: str
) -> None:
    chosen = {} if issuer is None else {"issuer": issuer, "audience": "a", "jwks_url": "https://login.example.org/k"}
    with pytest.raises(WrongSetup, match=said):
        access_of(Settings.model_validate({"state_dir": tmp_path, "edge": {"auth": auth}, "jwt": chosen}))
