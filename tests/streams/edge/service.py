"""A whole Refrain in memory behind an endpoint: the processors in threads, and the application under httpx."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from refrain.schemas.control import SetPolicy
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.policy_rules import Match, Rule
from refrain.streams.classify.worker import run_classify
from refrain.streams.client.asyncio_client import AsyncClient
from refrain.streams.client.exchange import Exchange
from refrain.streams.edge.access import Access
from refrain.streams.edge.app import Endpoint
from refrain.streams.edge.keys import changing, keys_path, new_key, pepper_of
from refrain.streams.edge.metrics import EdgeMetrics
from refrain.streams.edge.upstream import Upstream
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.interface import Outgoing, RebalanceListener, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.memory_clients import MemoryConsumer
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.metrics import Metrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.populate.worker import run_populate
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Edge, Embedding, Routes, Settings
from refrain.streams.settings import Upstream as UpstreamSettings
from refrain.streams.traces.interface import OFF, Traces
from refrain.streams.upstream.simulated.server import SimulatedServer
from refrain.streams.upstream.worker import run_upstream
from tests.streams.signed import SIGNED

WAIT_S = 30.0
POLICY = Policy(
    categories={"code": CategoryPolicy(threshold=0.8)},
    rules=(Rule(when=Match(pattern="."), category="code"),),
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class WaitingConsumer(MemoryConsumer):
    """Waits for a record as a broker's consumer does, so that an idle processor costs nothing."""

    def __init__(self, cluster: MemoryCluster, *args: Any) -> None:
        super().__init__(cluster, *args)
        self._appended = cluster.appended

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        with self._appended:
            found = super().poll(max_records, timeout_s)
            if not found and timeout_s > 0:
                self._appended.wait(timeout_s)
                found = super().poll(max_records, timeout_s)
            return found


class WaitingCluster(MemoryCluster):
    """A cluster in memory whose consumers wait."""

    def consumer(
        self,
        topic: str,
        group: str,
        listener: RebalanceListener | None = None,
        *,
        from_start: bool = True,
        instance: str = "",
    ) -> MemoryConsumer:
        return WaitingConsumer(self, topic, group, listener, from_start)


class Service:
    """Processors over a cluster in memory; those of `stopped` do not run."""

    def __init__(self, settings: Settings, traces: Callable[[str], Traces] = lambda processor: OFF) -> None:
        self.settings = settings
        self._traces = traces
        self.cluster = WaitingCluster(now_ms)
        self.problems: list[Exception] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, *runs: Callable[..., None]) -> None:
        """Run processors until the end."""
        for run in runs:
            more: dict[str, Any] = {"embedder": HashingEmbedder()} if run is run_classify else {}
            self._threads.append(threading.Thread(target=self._run, args=(run, more), daemon=True))
            self._threads[-1].start()

    def put_in_force(self, policy: Policy) -> None:
        """Have a policy in force everywhere."""
        self.cluster.append([Outgoing("control", None, SetPolicy(who="w", policy=policy).encode())])
        self.wait_until(lambda: self._acknowledged() >= {"classify", "populate", "lookup"})

    def _acknowledged(self) -> set[str]:
        records = self.cluster.records("acknowledgements")
        return {(record.key or b"").decode().partition("/")[0] for record in records if record.value}

    def wait_until(self, true: Callable[[], object]) -> None:
        """Wait until something holds."""
        until_s = time.monotonic() + WAIT_S
        while not true():
            assert not self.problems, self.problems
            assert time.monotonic() < until_s, "it did not come about"
            with self.cluster.appended:
                self.cluster.appended.wait(0.02)

    def end(self) -> None:
        self._stop.set()
        with self.cluster.appended:
            self.cluster.appended.notify_all()
        for thread in self._threads:
            thread.join(WAIT_S)
        assert not self.problems, self.problems

    def _run(self, run: Callable[..., None], more: dict[str, Any]) -> None:
        context = WorkerContext(
            self.settings,
            self.cluster,
            Metrics(),
            stop=self._stop.is_set,
            ready=lambda: None,
            now_ms=now_ms,
            traces=self._traces(run.__name__.removeprefix("run_")),
        )
        try:
            run(context, **more)
        except Exception as problem:  # noqa: BLE001 - raised again where somebody waits
            self.problems.append(problem)


ALL = (run_classify, run_lookup, run_populate, run_upstream, run_govern)


@contextmanager
def service(
    settings: Settings, *runs: Callable[..., None], traces: Callable[[str], Traces] = lambda processor: OFF
) -> Iterator[Service]:
    """A service with these processors (all when none is named) and the policy in force; `traces` are of each one."""
    one = Service(settings, traces)
    one.start(*(runs or ALL))
    try:
        if not runs:
            one.put_in_force(POLICY)
        yield one
    finally:
        one.end()


def settings_of(state_dir: Path, server: SimulatedServer | None, **edge: Any) -> Settings:
    """Settings of a service that asks this model; the endpoint's own in `edge`."""
    upstream = (
        UpstreamSettings(connector="simulated")
        if server is None
        else UpstreamSettings(base_url=server.base_url, retries=1)
    )
    return Settings(
        state_dir=state_dir,
        routes=Routes(keys=SIGNED.keys),
        embedding=Embedding(backend="free"),
        upstream=upstream,
        edge=Edge(**{"auth": "none", "port": 0, **edge}),
    )


def add_key(settings: Settings, tenant: str) -> tuple[str, str]:
    """A new key of a tenant, and its id."""
    key, kept = new_key(pepper_of(settings), tenant, now_ms())
    with changing(keys_path(settings)) as keys:
        keys.append(kept)
    return key, kept.id


class Edged:
    """An endpoint without a network: `http` is a client of it."""

    def __init__(self, endpoint: Endpoint, http: httpx.AsyncClient, metrics: Metrics, client: AsyncClient) -> None:
        self.endpoint = endpoint
        self.http = http
        self.metrics = metrics
        self.client = client

    async def chat(self, text: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        """Ask a question."""
        messages = [{"role": "user", "content": text}]
        return await self.http.post(
            "/v1/chat/completions", json={"model": "m", "messages": messages, **body}, headers=headers
        )


@asynccontextmanager
async def edge(
    settings: Settings, cluster: MemoryCluster, access: Access | None = None, traces: Traces = OFF
) -> AsyncIterator[Edged]:
    """An endpoint over a cluster in memory."""
    exchange = await asyncio.to_thread(Exchange, settings, cluster, progress=True, topic_of_tenant=True)
    upstream, metrics = Upstream(settings), Metrics()
    async with AsyncClient(settings, exchange=exchange) as client:
        kept = access or Access(settings.edge.tenant)
        endpoint = Endpoint(settings, client, upstream, kept, EdgeMetrics(metrics), traces=traces)
        transport = httpx.ASGITransport(app=endpoint.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://edge", timeout=WAIT_S) as http:
            yield Edged(endpoint, http, metrics, client)
    await upstream.close()
