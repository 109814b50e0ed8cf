"""Chat completions over HTTP: hits, misses and streams of a whole service in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from refrain.streams.settings import Upstream
from refrain.streams.upstream.simulated.server import SimulatedServer
from tests.streams.edge.service import Edged, Service, edge

QUESTION = "How do I reverse a list in Python?"
REWORDED = "How do I reverse a Python list?"


@pytest.fixture(scope="module")
def model() -> Iterator[SimulatedServer]:
    with SimulatedServer(Upstream(latency_median_ms=20, latency_sigma=0)) as server:
        yield server


def asking(running: Service, ask: Callable[[Edged], Awaitable[Any]]) -> Any:
    async def work() -> Any:
        async with edge(running.settings, running.cluster) as edged:
            return await ask(edged)

    return asyncio.run(work())


def events(response: httpx.Response) -> list[Any]:
    assert response.headers["content-type"].startswith("text/event-stream")
    parts = [part for part in response.text.split("\n\n") if part and not part.startswith(":")]
    assert parts[-1] == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-1]]


def text_of(chunks: list[Any]) -> str:
    return "".join(each["delta"].get("content") or "" for chunk in chunks for each in chunk["choices"])


def test_a_miss_is_the_models_answer_and_the_second_wording_a_hit(running: Service) -> None:
    async def ask(edged: Edged) -> tuple[httpx.Response, httpx.Response]:
        return await edged.chat(QUESTION), await edged.chat(REWORDED)

    miss, hit = asking(running, ask)
    assert (miss.status_code, miss.headers["x-refrain-outcome"]) == (200, "miss")
    assert miss.json()["usage"]["total_tokens"] > 0
    assert hit.headers["x-refrain-outcome"] == "hit"
    assert hit.headers["x-refrain-reason"] == "similar_text"
    assert hit.headers["x-refrain-category"] == "code"
    assert 0.8 <= float(hit.headers["x-refrain-similarity"]) < 1
    assert float(hit.headers["x-refrain-age"]) >= 0
    assert hit.json()["choices"] == miss.json()["choices"]
    assert hit.json()["id"] == f"chatcmpl-{hit.headers['x-refrain-decision']}"


def test_a_streamed_miss_comes_as_the_model_makes_it_and_is_kept_whole(running: Service) -> None:
    async def ask(edged: Edged) -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        text = "What is a generator?"
        miss = await edged.chat(text, stream=True, stream_options={"include_usage": True})
        return miss, await edged.chat(text), await edged.chat(text, stream=True)

    miss, whole, hit = asking(running, ask)
    assert miss.headers["x-refrain-outcome"] == "miss"
    chunks = events(miss)
    said = whole.json()["choices"][0]["message"]["content"]
    assert text_of(chunks) == said
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert (whole.headers["x-refrain-outcome"], hit.headers["x-refrain-outcome"]) == ("hit", "hit")
    replayed = events(hit)
    assert text_of(replayed) == said
    assert len(replayed) > 4
    assert all("usage" not in chunk for chunk in replayed)


def test_the_connector_streams_to_the_endpoint_through_progress(running: Service) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("What is a decorator?", stream=True)

    chunks = events(asking(running, ask))
    said = [json.loads(record.value or b"")["chunk"] for record in running.cluster.records("progress")]
    relayed = [chunk for chunk in said if chunk is not None and chunk["id"] == chunks[0]["id"]]
    assert len(relayed) > 3
    assert text_of(relayed) == text_of(chunks) != ""
