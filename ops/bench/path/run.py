"""`refrain bench path`: what the path costs beside an empty one, on one broker and in one go.

An empty two-hop echo, the path with the hashing embedder, the path with the real one, and the same questions straight
to the simulated model over HTTP, all at one rate; then the rates that the echo and the path hold.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from refrain.ops.bench.path.client import BenchClient
from refrain.ops.bench.path.questions import TENANTS, Traffic, policy, traffic
from refrain.ops.bench.path.workers import echo, refrain
from refrain.ops.cluster.connection import reach
from refrain.ops.control.client import ControlClient
from refrain.ops.terminal.output import counted
from refrain.ops.topics.admin import await_served, create_missing
from refrain.schemas.control import SetPolicy
from refrain.schemas.requests import Request
from refrain.schemas.responses import Response
from refrain.streams.kafka.config import connection
from refrain.streams.settings import Settings, Upstream

MODEL_MS = 50.0
"""The simulated model takes this for every answer, so that what is left of a miss is Refrain's."""
QUICK_MS = 5.0
"""What it takes while the highest rate is measured."""
KNOWN = 300
IN_FLIGHT = 2_000
"""Requests on their way while the highest rate is measured: more only wait."""
CONCURRENCY = 256
PARTITIONS = 8
WORKERS = ("classify", "lookup", "populate", "upstream", "govern", "adapt")
Tell = Callable[[str], None]


class PathPlan(NamedTuple):
    """Plan of the bench: rates, seconds, questions."""

    rate: float
    seconds: float
    warm_s: float
    """Seconds at the rate before those that are measured: caches and connections warm up."""
    requests: int
    lookups: int
    """The highest rates are measured with one lookup worker, with two, up to so many."""
    seed: int
    real_embedder: bool


def run(settings: Settings, plan: PathPlan, tell: Tell) -> dict[str, Any]:
    """Run the bench; latencies in milliseconds, rates a second. Raises Unreachable when no broker answers."""
    reach(settings)
    stamp = f"{int(time.time() * 1_000):x}"
    steady = traffic(KNOWN, int(plan.rate * (plan.seconds + plan.warm_s)), plan.seed)
    quick = traffic(KNOWN, plan.requests, plan.seed)
    # The highest rates come first: a broker that has just started is still compiling itself.
    by_workers = {}
    for workers in range(1, plan.lookups + 1):
        tell(f"path as fast as it goes with {counted(workers, 'lookup worker')}")
        by_workers[str(workers)] = _fastest(settings, f"bench-{stamp}-w{workers}.", quick, workers)
    with _echo(settings, f"bench-{stamp}-echo.") as client:
        tell("empty echo as fast as it goes")
        echo_rps = _highest(client, quick.mix)
        tell(f"empty echo at {plan.rate:g}/s")
        echoed = _steady([told.latency_ms for told in client.ask(steady.mix, rate=plan.rate)], plan)
    figures: dict[str, Any] = {"echo_p50_ms": _p(echoed, 50), "echo_p99_ms": _p(echoed, 99)}
    with _model_server() as base_url:
        # The connector's own simulated model: an HTTP server beside it would take the processors of what is measured.
        model = _simulated(MODEL_MS)
        tell(f"path with the free embedder at {plan.rate:g}/s")
        free = _path(settings, f"bench-{stamp}-free.", plan, steady, {**model, "REFRAIN_EMBEDDING__BACKEND": "free"})
        figures |= {"hit_p50_ms": _p(free["hit"], 50), "hit_p99_ms": _p(free["hit"], 99)}
        tell(f"straight to the model over HTTP at {plan.rate:g}/s")
        direct = asyncio.run(_direct(base_url, plan, steady))
        figures |= {
            "miss_p50_ms": _p(free["miss"], 50),
            "direct_http_p50_ms": _p(direct, 50),
            "miss_overhead_p50_ms": round(_p(free["miss"], 50) - _p(direct, 50), 2),
        }
        if plan.real_embedder:
            tell(f"path with the real embedder at {plan.rate:g}/s")
            backend = settings.embedding.backend
            real = _path(
                settings, f"bench-{stamp}-real.", plan, steady, {**model, "REFRAIN_EMBEDDING__BACKEND": backend}
            )
            figures["hit_real_embedder_p50_ms"] = _p(real["hit"], 50)
    figures |= {
        "ratio_hit_p50": round(figures["hit_p50_ms"] / figures["echo_p50_ms"], 2),
        "echo_rps": echo_rps,
        "refrain_rps": by_workers["1"],
        "ratio_rps": round(by_workers["1"] / echo_rps, 3),
        "rps_by_workers": by_workers,
        "in_flight": IN_FLIGHT,
        "tenants": TENANTS,
        "shares": {name: len(times) for name, times in free.items()},
    }
    return figures


def _path(
    settings: Settings, prefix: str, plan: PathPlan, questions: Traffic, variables: dict[str, str]
) -> dict[str, list[float]]:
    """Latencies by outcome at the plan's rate."""
    with _running(settings, prefix, WORKERS, variables) as client:
        client.ask(questions.before, rate=plan.rate)
        told = client.ask(questions.mix, rate=plan.rate)
    by_outcome: dict[str, list[float]] = {}
    for each in _steady(told, plan):
        by_outcome.setdefault(Response.decode(each.value).outcome.value, []).append(each.latency_ms)
    return by_outcome


def _fastest(settings: Settings, prefix: str, questions: Traffic, workers: int) -> float:
    """The rate that the path holds with so many lookup workers; the simulated model sits in the connector."""
    variables = {**_simulated(QUICK_MS), "REFRAIN_EMBEDDING__BACKEND": "free"}
    names = [*WORKERS, *["lookup"] * (workers - 1)]
    with _running(settings, prefix, names, variables) as client:
        client.ask(questions.before, in_flight=IN_FLIGHT)
        return _highest(client, questions.mix)


def _simulated(latency_ms: float) -> dict[str, str]:
    """The simulated model, which takes that long for every answer."""
    return {
        "REFRAIN_UPSTREAM__CONNECTOR": "simulated",
        "REFRAIN_UPSTREAM__LATENCY_MEDIAN_MS": str(latency_ms),
        "REFRAIN_UPSTREAM__LATENCY_SIGMA": "0",
        "REFRAIN_UPSTREAM__CONCURRENCY": str(CONCURRENCY),
    }


def _highest(client: BenchClient, values: Sequence[bytes]) -> float:
    """Requests answered a second with a bounded number on their way; the first tenth warms up."""
    warm = len(values) // 10
    client.ask(values[:warm], in_flight=IN_FLIGHT)
    started = time.perf_counter()
    client.ask(values[warm:], in_flight=IN_FLIGHT)
    return round((len(values) - warm) / (time.perf_counter() - started), 1)


async def _direct(base_url: str, plan: PathPlan, questions: Traffic) -> list[float]:
    """Latencies of the questions that are new, asked of the model itself at the plan's rate."""
    bodies = [Request.decode(value).body for value in questions.mix]
    latencies = [0.0] * len(bodies)
    limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    async with httpx.AsyncClient(base_url=base_url, limits=limits, timeout=30) as client:

        async def one(number: int) -> None:
            started = time.perf_counter()
            (await client.post("/chat/completions", json=bodies[number])).raise_for_status()
            latencies[number] = (time.perf_counter() - started) * 1_000

        begin = time.perf_counter()
        tasks = []
        for number in range(len(bodies)):
            await asyncio.sleep(max(0.0, begin + number / plan.rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
    return _steady(latencies, plan)


@contextmanager
def _running(settings: Settings, prefix: str, names: Sequence[str], variables: dict[str, str]) -> Iterator[BenchClient]:
    """Run topics, workers and policy under a prefix of their own, removed afterwards; yields a client."""
    mine = settings.model_copy(update={"prefix": prefix, "state_dir": settings.state_dir / prefix.strip(".")})
    models = str((settings.state_dir / "models").absolute())
    admin = AdminClient(connection(mine))
    create_missing(admin, mine, PARTITIONS)
    try:
        mine.state_dir.mkdir(parents=True, exist_ok=True)
        link = mine.state_dir / "models"
        if not link.exists():
            Path(models).mkdir(parents=True, exist_ok=True)
            link.symlink_to(models)
        with refrain(mine, names, variables):
            order = ControlClient(mine)
            order.send(SetPolicy(who="bench", policy=policy()))
            order.wait(30)
            with closing(BenchClient(mine)) as client:
                yield client
    finally:
        _remove(admin, prefix)


@contextmanager
def _echo(settings: Settings, prefix: str) -> Iterator[BenchClient]:
    mine = settings.model_copy(update={"prefix": prefix})
    admin = AdminClient(connection(mine))
    topics = [NewTopic(prefix + name, PARTITIONS, 1) for name in ("requests", "middle", "responses")]
    for future in admin.create_topics(topics, operation_timeout=15).values():
        future.result()
    try:
        await_served(admin, [topic.topic for topic in topics])
        with echo(mine), closing(BenchClient(mine)) as client:
            yield client
    finally:
        _remove(admin, prefix)


def _remove(admin: AdminClient, prefix: str) -> None:
    names = [name for name in admin.list_topics(timeout=15).topics if name.startswith(prefix)]
    for future in admin.delete_topics(names, operation_timeout=15).values():
        future.result()


@contextmanager
def _model_server() -> Iterator[str]:
    """The simulated model as an HTTP server in a process of its own; gives its base URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join(10)
        if process.is_alive():
            process.kill()


def _serve(pipe: Any) -> None:
    from refrain.streams.upstream.simulated.server import SimulatedServer

    with SimulatedServer(Upstream(connector="simulated", latency_median_ms=MODEL_MS, latency_sigma=0.0)) as server:
        pipe.send(server.base_url)
        pipe.recv()


def _steady(values: Sequence[Any], plan: PathPlan) -> list[Any]:
    """Steady part: without the first seconds, in which caches and connections warm up."""
    return list(values[int(plan.rate * plan.warm_s) :])


def _p(latencies: Sequence[float], percent: int) -> float:
    return round(float(np.percentile(latencies, percent)), 2)
