"""The client library of Refrain: one question, many at once, and an answer as it is made.

.venv/bin/python infra/examples/library/ask_many.py --servers localhost:9092
"""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import Any

from refrain.streams.client import AsyncClient, Client, NotAnswered

QUESTIONS = ("How do I reverse a list in Python?", "How can I reverse a list in Python?", "What is a list?")


def body(question: str) -> dict[str, Any]:
    """A chat-completions request."""
    return {"model": "gpt", "messages": [{"role": "user", "content": question}]}


def ask(servers: str, prefix: str) -> None:
    """From a thread: one question, then many at a time. What is not answered comes as the reason."""
    with Client(servers, prefix=prefix) as client:
        reply = client.ask(body(QUESTIONS[0]), timeout_s=30)
        print(f"{reply.outcome}: {reply.text}")
        for each in client.ask_all([body(question) for question in QUESTIONS], timeout_s=30):
            print(f"failed: {each}" if isinstance(each, NotAnswered) else f"{each.outcome}: {each.latency_ms:.0f} ms")


async def stream(servers: str, prefix: str) -> None:
    """From asyncio: the answer piece by piece, of the model as it makes it, of the cache at once."""
    async with AsyncClient(servers, prefix=prefix) as client:
        async for piece in client.stream(body("What does a generator do?"), timeout_s=30):
            print(piece, end="", flush=True)
    print()


def main() -> None:
    """Ask what the file says."""
    parser = argparse.ArgumentParser(description="Ask Refrain by its client library.")
    parser.add_argument("--servers", default=os.environ.get("REFRAIN_KAFKA", "localhost:9092"))
    parser.add_argument("--prefix", default="refrain.")
    given = parser.parse_args()
    ask(given.servers, given.prefix)
    asyncio.run(stream(given.servers, given.prefix))


if __name__ == "__main__":
    main()
