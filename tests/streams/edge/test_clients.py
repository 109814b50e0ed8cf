"""OpenAI's own client against an endpoint on a port, with a key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from refrain.streams.upstream.simulated.server import Scripted
from tests.streams.edge.keyed import KeyedEndpoint, keyed_endpoint

QUESTION = "What is a context manager?"
TOO_LONG = {"message": "maximum context length is 10 tokens", "type": "BadRequestError", "param": None, "code": 400}
REWORDED = "What is the context manager?"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyedEndpoint]:
    with keyed_endpoint(tmp_path_factory.mktemp("state")) as one:
        yield one


@pytest.fixture
def client(endpoint: KeyedEndpoint) -> Iterator[openai.OpenAI]:
    one, key, _ = endpoint
    with openai.OpenAI(base_url=f"{one.url}/v1", api_key=key, max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, text: str) -> tuple[str, str | None]:
    raw = client.chat.completions.with_raw_response.create(model="m", messages=[{"role": "user", "content": text}])
    return raw.headers["x-refrain-outcome"], raw.parse().choices[0].message.content


def test_the_second_wording_is_a_hit(client: openai.OpenAI) -> None:
    first, second = ask(client, QUESTION), ask(client, REWORDED)
    assert (first[0], second[0]) == ("miss", "hit")
    assert first[1] == second[1]


def test_streams_of_misses_and_hits_say_the_same(client: openai.OpenAI) -> None:
    def stream() -> tuple[str, int, str | None]:
        text, total, end = "", 0, None
        chunks = client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "What is a coroutine?"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in chunks:
            for choice in chunk.choices:
                text += choice.delta.content or ""
                end = choice.finish_reason or end
            total = total if chunk.usage is None else chunk.usage.total_tokens
        return text, total, end

    (miss, tokens, end), (hit, none, again) = stream(), stream()
    assert miss == hit != ""
    assert tokens > 0 == none
    assert end == again == "stop"


def test_the_asyncio_client_asks_many_at_once(endpoint: KeyedEndpoint) -> None:
    one, key, _ = endpoint

    async def work() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{one.url}/v1", api_key=key, max_retries=0) as client:

            async def each(number: int) -> str | None:
                made = await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": f"What is the number {number}?"}]
                )
                return made.choices[0].message.content

            return await asyncio.gather(*(each(number) for number in range(20)))

    said = asyncio.run(work())
    assert all(f"What is the number {number}?" in (text or "") for number, text in enumerate(said))


@pytest.mark.parametrize("body", [{"object": "error", **TOO_LONG}, {"error": TOO_LONG}], ids=["flat", "nested"])
def test_vllms_errors_are_errors_in_openais_form(
    client: openai.OpenAI, endpoint: KeyedEndpoint, body: dict[str, Any]
) -> None:
    model = endpoint[2]
    # Asked for a stream that it refuses, the model's server is asked once more without.
    model.script.extend([Scripted(400, json.dumps(body).encode())] * 4)
    try:
        with pytest.raises(openai.BadRequestError, match="the server answered 400: maximum context length") as whole:
            ask(client, f"Who answers {'error' in body}?")
        with pytest.raises(openai.APIError, match="the server answered 400: maximum context length") as streamed:
            list(
                client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": f"Who streams {'error' in body}?"}], stream=True
                )
            )
    finally:
        model.script.clear()
    assert (whole.value.code, streamed.value.code) == ("upstream_failed", "upstream_failed")


def test_errors_are_those_that_the_client_knows(client: openai.OpenAI, endpoint: KeyedEndpoint) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], extra_headers={"x-refrain-cache": "onyl"}
        )
    assert "did you mean only?" in str(wrong.value)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "never asked"}], extra_headers={"x-refrain-cache": "only"}
        )
    with (
        pytest.raises(openai.AuthenticationError),
        openai.OpenAI(
            base_url=f"{endpoint[0].url}/v1", api_key="sk-refrain-00000000-" + "x" * 43, max_retries=0
        ) as stranger,
    ):
        stranger.models.list()
