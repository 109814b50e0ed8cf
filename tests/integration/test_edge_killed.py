"""`kill -9` of processors while applications ask through the endpoint, on a real broker: everybody is answered."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import openai
import pytest
from confluent_kafka.admin import AdminClient

from infra.local.jar_broker import free_ports
from refrain.ops.bench.path.workers import refrain
from refrain.ops.run.state_files import read_run
from refrain.schemas.control import SetPolicy
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.settings import Settings, Upstream
from refrain.streams.upstream.simulated.server import SimulatedServer
from tests.eventually import eventually
from tests.integration.topics import create_table

POLICY = Policy(categories={"uncategorised": CategoryPolicy(threshold=0.8)})
NAMES = ("classify", "lookup", "populate", "upstream", "govern", "edge")
KNOWN = "How do I reverse a list in Python?"
REWORDED = "How do I reverse a Python list?"
ASKERS = 4
MODEL_MS = 600
"""Long enough for a kill to meet streams in their middle."""
SESSION_MS = 3_000
"""In which a group notices a death. Longer than the endpoint waits for a silent cache."""
CACHE_WAIT_MS = 500
ANSWER_S = 60.0


class Told(NamedTuple):
    """What a request came to."""

    question: str
    outcome: str
    reason: str
    text: str


def _told(question: str, headers: Mapping[str, str], text: str) -> Told:
    return Told(question, headers["x-refrain-outcome"], headers["x-refrain-reason"], text)


class Asker:
    """Applications that ask through the endpoint."""

    def __init__(self, port: int) -> None:
        self.openai = openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=ANSWER_S
        )
        self._numbers = itertools.count()

    def ask(self, question: str) -> Told:
        """One answer. Raises openai.APIError where there is none."""
        raw = self.openai.chat.completions.with_raw_response.create(
            model="m", messages=[{"role": "user", "content": question}]
        )
        return _told(question, raw.headers, raw.parse().choices[0].message.content or "")

    def stream(self, question: str, at_first: Callable[[], None] = lambda: None) -> Told:
        """One answer in pieces; `at_first` is called when the first has come. Raises openai.APIError, as above."""
        chunks = self.openai.chat.completions.create(
            model="m", messages=[{"role": "user", "content": question}], stream=True
        )
        pieces = (choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content)
        text = next(pieces)
        at_first()
        return _told(question, chunks.response.headers, text + "".join(pieces))

    def ask_on(self, until: threading.Event) -> list[Told]:
        """Ask what is known and what is new, whole and streamed in turns, until told to end."""
        told = []
        while not until.is_set():
            number = next(self._numbers)
            question = KNOWN if number % 3 == 0 else f"Who is number {number} of the people in the list of {number}?"
            told.append(self.ask(question) if number % 2 else self.stream(question))
        return told


class World:
    """A running Refrain, each processor in a process of its own."""

    def __init__(self, settings: Settings, asker: Asker, pool: ThreadPoolExecutor) -> None:
        self.settings = settings
        self.asker = asker
        self._pool = pool
        self._begun: Future[Told] | None = None

    def kill_in_the_middle(self, name: str) -> None:
        """`kill -9` of a processor's process, when an answer has begun that the model streams."""
        run = read_run(self.settings.state_dir)
        assert run is not None
        (pid,) = (worker["pid"] for worker in run["workers"] if worker["name"] == name)
        killed = threading.Event()

        def kill() -> None:
            os.kill(pid, signal.SIGKILL)
            killed.set()

        self._begun = self._pool.submit(self.asker.stream, f"Who sees {name} die?", kill)
        assert killed.wait(ANSWER_S)

    def is_kept(self, question: str) -> bool:
        """Ask, and tell whether the answer came from the cache."""
        return self.asker.ask(question).outcome == "hit"

    @contextmanager
    def asked(self) -> Iterator[list[Told]]:
        """Asked by several at once for as long as the block lasts; then all that was told is in the list."""
        told: list[Told] = []
        until = threading.Event()
        asking = [self._pool.submit(self.asker.ask_on, until) for _ in range(ASKERS)]
        try:
            yield told
        finally:
            until.set()
            wait(asking, ANSWER_S)
        for each in asking:
            told += each.result(0)
        if self._begun is not None:
            told.append(self._begun.result(ANSWER_S))


@pytest.fixture
def world(settings: Settings, admin: AdminClient) -> Iterator[World]:
    create_table(admin, settings.prefix)
    (port,) = free_ports(1)
    with SimulatedServer(Upstream(latency_median_ms=MODEL_MS, latency_sigma=0)) as model:
        variables = {
            "REFRAIN_SESSION_TIMEOUT_MS": str(SESSION_MS),
            "REFRAIN_EMBEDDING__BACKEND": "free",
            "REFRAIN_CLASSIFY__WAIT_MAX_MS": "0",
            "REFRAIN_UPSTREAM__CONNECTOR": "http",
            "REFRAIN_UPSTREAM__BASE_URL": model.base_url,
            "REFRAIN_EDGE__AUTH": "none",
            "REFRAIN_EDGE__PORT": str(port),
            "REFRAIN_EDGE__CACHE_WAIT_MS": str(CACHE_WAIT_MS),
        }
        with refrain(settings, NAMES, variables), KafkaCluster(settings) as cluster:
            cluster.producer().send([Outgoing("control", None, SetPolicy(who="me", policy=POLICY).encode())])
            asker = Asker(port)
            try:
                eventually(lambda: asker.ask(KNOWN).outcome == "hit")
                with ThreadPoolExecutor(ASKERS + 1) as pool:
                    yield World(settings, asker, pool)
            finally:
                asker.openai.close()


def test_a_killed_processor_leaves_no_request_unanswered(world: World) -> None:
    for name in ("lookup", "classify", "upstream", "populate"):
        with world.asked() as told:
            world.kill_in_the_middle(name)
            if name in ("lookup", "classify"):
                # The cache is silent until the group has noticed; meanwhile the model is asked without it.
                eventually(lambda: world.asker.ask(KNOWN)[1:3] == ("bypass", "cache_silent"))
            eventually(lambda: world.asker.stream(REWORDED).outcome == "hit")
            # Through the cache and the model, and kept.
            eventually(partial(world.is_kept, f"Is {name} back?"))
        assert len(told) > ASKERS
        for each in told:
            assert each.question in each.text, (name, each)
            assert each.text.count("Simulated answer") == 1, (name, each)
