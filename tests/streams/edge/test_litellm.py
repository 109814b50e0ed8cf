"""LiteLLM's proxy before the endpoint, as infra/examples/litellm.yaml has it, asked by OpenAI's client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
import yaml

from refrain.ops.bench.edge.gateway import litellm
from refrain.streams.upstream.simulated.server import Scripted, SimulatedServer
from tests.streams.edge.installed import LITELLM, programs
from tests.streams.edge.keyed import keyed_endpoint
from tests.streams.edge.serving import Serving

pytestmark = pytest.mark.clients

EXAMPLE = Path(__file__).resolve().parents[3] / "infra" / "examples" / "litellm.yaml"
TOLD = "llm_provider-x-refrain-"
"""The proxy passes a model's headers on under names of its own."""
TOO_LONG = {"message": "This model's maximum context length is 10 tokens.", "type": "BadRequestError", "code": 400}


class Proxied(NamedTuple):
    """A client of the proxy, and what stands behind it."""

    openai: openai.OpenAI
    edge: Serving
    model: SimulatedServer

    def ask(self, text: str, **headers: str) -> tuple[str, str | None]:
        """How a question was answered, and the answer."""
        raw = self.openai.chat.completions.with_raw_response.create(
            model="gpt", messages=[{"role": "user", "content": text}], extra_headers=headers
        )
        return raw.headers[f"{TOLD}outcome"], raw.parse().choices[0].message.content

    def stream(self, text: str) -> list[str]:
        """The pieces of an answer."""
        chunks = self.openai.chat.completions.create(
            model="gpt", messages=[{"role": "user", "content": text}], stream=True
        )
        return [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    command = programs(LITELLM) / "litellm"
    config = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    with (
        keyed_endpoint(tmp_path_factory.mktemp("state")) as endpoint,
        litellm(command, config, endpoint.client_variables) as proxy,
    ):
        mine = proxy.headers["Authorization"].removeprefix("Bearer ")
        with openai.OpenAI(base_url=proxy.base_url, api_key=mine, max_retries=0) as client:
            yield Proxied(client, endpoint.serving, endpoint.model)


def test_the_second_wording_is_a_hit(proxied: Proxied) -> None:
    first, second = proxied.ask("What is a context manager?"), proxied.ask("What is the context manager?")
    assert (first[0], second[0]) == ("miss", "hit")
    assert first[1] == second[1]


def test_streams_of_misses_and_hits_say_the_same(proxied: Proxied) -> None:
    live, replayed = proxied.stream("What is a coroutine?"), proxied.stream("What is a coroutine?")
    assert len(live) > 3
    assert "What is a coroutine?" in "".join(live)
    assert "".join(live) == "".join(replayed)
    assert proxied.edge.value("refrain_edge_outcomes_total", outcome="hit") >= 1


def test_wishes_reach_the_cache_through_it(proxied: Proxied) -> None:
    with pytest.raises(openai.NotFoundError):
        proxied.ask("Who asked this before?", **{"x-refrain-cache": "only"})
    with pytest.raises(openai.BadRequestError, match=r"did you mean only\?"):
        proxied.ask("Who asked this before?", **{"x-refrain-cache": "onyl"})


@pytest.mark.parametrize("body", [{"object": "error", **TOO_LONG}, {"error": TOO_LONG}], ids=["flat", "nested"])
def test_it_knows_vllms_errors_as_the_endpoint_tells_them(proxied: Proxied, body: dict[str, Any]) -> None:
    # Asked for a stream that it refuses, the model's server is asked once more without.
    proxied.model.script.extend([Scripted(400, json.dumps(body).encode())] * 2)
    try:
        # It reads in the words what no code says.
        with pytest.raises(openai.BadRequestError, match="ContextWindowExceededError"):
            proxied.ask(f"Who answers {'error' in body}?")
    finally:
        proxied.model.script.clear()
