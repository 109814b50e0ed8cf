"""A client's mistakes over the endpoint: it hears of them, or the model does, and no operator has to look."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from refrain.streams.upstream.simulated.server import SimulatedServer
from tests.streams.edge.service import Service, edge

ASK = {"role": "user", "content": "Who?"}


def last(content: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [ASK, {"role": role, "content": content}], **more}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


MISTAKES = {
    "no text": last(""),
    "blank": last(" \n\t"),
    "null": last(None),
    "no content": {"model": "m", "messages": [{"role": "user"}]},
    "no parts": last([]),
    "an empty part": last([{"type": "text", "text": ""}]),
    "blank parts": last([{"type": "text", "text": " "}, {"type": "text", "text": "\n"}]),
    "very long": last("why " * 40_000),
    "very deep": last("Who?", metadata=nested(120)),
    "deep": last("Who?", metadata=nested(63)),
    "a number": last(7),
    "an object": last({"type": "text", "text": "Who?"}),
    "parts of text": last(["Who?"]),
    "a part without text": last([{"type": "text"}]),
    "a text that is none": last([{"type": "text", "text": 7}]),
    "a long name": {**last("Who?"), "model": "m" * 300},
    "a long number": last("Who?", seed=10**5_000),
}
UNFIT = {
    "no text", "blank", "null", "no content", "no parts", "an empty part", "blank parts", "very long", "very deep",
    "deep",
}  # fmt: skip
"""The model is asked whether it takes them."""


def ask(running: Service, body: bytes, cache: str) -> httpx.Response:
    async def work() -> httpx.Response:
        async with edge(running.settings, running.cluster) as edged:
            return await edged.http.post(
                "/v1/chat/completions", content=body, headers={"x-refrain-cache": cache, "content-type": "text/json"}
            )

    return asyncio.run(work())


def encoded(body: dict[str, Any]) -> bytes:
    seed = body.get("seed")
    if seed is None:
        return json.dumps(body).encode()
    return json.dumps({**body, "seed": 1}).encode().replace(b'"seed": 1', b'"seed": 1' + b"0" * 5_000)


@pytest.mark.parametrize("cache", ["use", "only"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_leaves_no_dead_letter(running: Service, model: SimulatedServer, mistake: str, cache: str) -> None:
    model.calls.clear()
    response = ask(running, encoded(MISTAKES[mistake]), cache)
    passed = cache == "use" and mistake in UNFIT
    assert (response.status_code, len(model.calls)) == ((200, 1) if passed else (400, 0))
    assert response.headers.get("x-refrain-outcome", "error") == ("bypass" if passed else "error")
    assert running.cluster.records("dead-letters") == []
