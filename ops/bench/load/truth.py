"""Ground truth of `refrain bench load`: an intent has one answer, which changes now and then."""

from __future__ import annotations

import random
from bisect import bisect_right
from typing import Any

from refrain.ops.bench.load.scenario import CATEGORIES
from refrain.ops.bench.load.traffic import Arrival


class Truth:
    """Ground-truth answers of all intents. When one changes depends on the seed, the intent and its category alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._changes: dict[int, tuple[random.Random, list[float]]] = {}

    def answer(self, arrival: Arrival, now_ms: int) -> dict[str, Any]:
        """The model's answer at this moment, a chat.completion: it tells the intent and the version."""
        text = f"intent {arrival.intent} version {self._version(arrival, now_ms)}"
        message = {"role": "assistant", "content": text}
        return {
            "id": "x",
            "object": "chat.completion",
            "created": now_ms // 1_000,
            "model": CATEGORIES[arrival.category].model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }

    def judged(self, arrival: Arrival, body: Any, now_ms: int) -> tuple[bool, bool]:
        """Whether the answer is one to this question, and whether it has changed since."""
        _, intent, _, version = body["choices"][0]["message"]["content"].split()
        right = int(intent) == arrival.intent
        return right, right and int(version) < self._version(arrival, now_ms)

    def _version(self, arrival: Arrival, now_ms: int) -> int:
        """Version: how often the answer has changed by now, a Poisson process."""
        if arrival.intent not in self._changes:
            self._changes[arrival.intent] = (random.Random(f"truth/{self._seed}/{arrival.intent}"), [0.0])
        draw, changes = self._changes[arrival.intent]
        while changes[-1] <= now_ms:
            changes.append(changes[-1] + draw.expovariate(1 / (CATEGORIES[arrival.category].changes_s * 1_000)))
        return bisect_right(changes, now_ms) - 1
