"""`refrain bench path`: what the path costs beside an empty one, on one broker and in one go.

An empty two-hop echo, the path with the hashing embedder, the path with the real one, and the same questions straight
to the simulated model over HTTP, all at one rate; the rates that the echo and the path hold; and what the processes
use, those of the broker too, where it runs on this machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import httpx
import numpy as np

from refrain.ops.bench.path.client import BenchClient
from refrain.ops.bench.path.clusters import echoing, model_server, running
from refrain.ops.bench.path.questions import TENANTS, Traffic, traffic
from refrain.ops.bench.path.usage import CpuMeter
from refrain.ops.cluster.connection import reach
from refrain.ops.terminal.output import counted
from refrain.schemas.requests import Request
from refrain.schemas.responses import Response
from refrain.streams import time_of_day
from refrain.streams.settings import Settings

MODEL_MS = 50.0
"""The simulated model takes this for every answer, so that what is left of a miss is Refrain's."""
QUICK_MS = 5.0
"""What it takes while the highest rate is measured."""
KNOWN = 300
IN_FLIGHT = 2_000
"""Requests on their way while the highest rate is measured: more only wait."""
CONCURRENCY = 256
REAL_FEWER = 4
"""The real embedder is asked so many times fewer questions for its highest rate."""
SETTLE_S = 2.0
"""After the last request, until what is at rest is measured."""
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
    rest_s: float = 10.0
    """Seconds of what is used at rest."""


class Highest(NamedTuple):
    """The highest rate (requests answered a second), and what the processes used a request."""

    rps: float
    cpu_ms: dict[str, float]


class Steady(NamedTuple):
    """A path at the plan's rate."""

    latencies: dict[str, list[float]]
    """Milliseconds by outcome, of the seconds that are measured."""
    cpu_ms: dict[str, float]
    """A request, by stage."""
    at_rest: dict[str, float]
    """Share of a core by stage, when nobody asks."""
    resident_mb: dict[str, float]


def run(settings: Settings, plan: PathPlan, tell: Tell) -> dict[str, Any]:
    """Run the bench; latencies and CPU time in milliseconds, rates a second, memory in megabytes.

    Raises Unreachable when no broker answers.
    """
    reach(settings)
    names = _Prefixes(f"bench-{time_of_day.now_ms():x}-")
    steady = traffic(KNOWN, int(plan.rate * (plan.seconds + plan.warm_s)), plan.seed)
    quick = traffic(KNOWN, plan.requests, plan.seed)
    free = {"REFRAIN_EMBEDDING__BACKEND": "free"}
    # The highest rates come first: a broker that has just started is still compiling itself.
    by_workers = {}
    for workers in range(1, plan.lookups + 1):
        tell(f"path as fast as it goes with {counted(workers, 'lookup worker')}")
        by_workers[workers] = _fastest(settings, names.of(f"w{workers}"), quick, free, workers)
    figures = _echo_figures(settings, names.of("echo"), plan, steady, quick, tell)
    tell(f"path with the free embedder at {plan.rate:g}/s")
    path = _path(settings, names.of("free"), plan, steady, free)
    figures |= _path_figures(path) | _direct_figures(path, plan, steady, tell)
    if plan.real_embedder:
        real: Mapping[str, str] = {"REFRAIN_EMBEDDING__BACKEND": settings.embedding.backend}
        figures |= _real_figures(settings, names, plan, steady, quick, real, tell)
    one = by_workers[1]
    return figures | {
        "ratio_hit_p50": round(figures["hit_p50_ms"] / figures["echo_p50_ms"], 2),
        "refrain_rps": one.rps,
        "ratio_rps": round(one.rps / figures["echo_rps"], 3),
        "rps_by_workers": {str(workers): highest.rps for workers, highest in by_workers.items()},
        "cpu_ms_a_request_fastest": one.cpu_ms,
        "in_flight": IN_FLIGHT,
        "tenants": TENANTS,
        "shares": {name: len(times) for name, times in path.latencies.items()},
    }


class _Prefixes(NamedTuple):
    """Prefixes of the topics of one run."""

    start: str

    def of(self, name: str) -> str:
        return f"{self.start}{name}."


def _echo_figures(
    settings: Settings, prefix: str, plan: PathPlan, steady: Traffic, quick: Traffic, tell: Tell
) -> dict[str, Any]:
    with echoing(settings, prefix) as (client, meter):
        tell("empty echo as fast as it goes")
        echo_rps = _highest(client, meter, quick.mix).rps
        tell(f"empty echo at {plan.rate:g}/s")
        meter.start()
        told = client.ask(steady.mix, rate=plan.rate)
        used = meter.stop()
    echoed = _steady([each.latency_ms for each in told], plan)
    return {
        "echo_p50_ms": _p(echoed, 50),
        "echo_p99_ms": _p(echoed, 99),
        "echo_rps": echo_rps,
        "cpu_ms_a_request_echo": used.ms_a_request(len(told)),
    }


def _path_figures(path: Steady) -> dict[str, Any]:
    hits = path.latencies["hit"]
    return {
        "hit_p50_ms": _p(hits, 50),
        "hit_p99_ms": _p(hits, 99),
        "cpu_ms_a_request": path.cpu_ms,
        "cpu_at_rest": path.at_rest,
        "resident_mb": path.resident_mb,
    }


def _direct_figures(path: Steady, plan: PathPlan, steady: Traffic, tell: Tell) -> dict[str, Any]:
    with model_server(MODEL_MS) as base_url:
        tell(f"straight to the model over HTTP at {plan.rate:g}/s")
        direct = _p(asyncio.run(_direct(base_url, plan, steady)), 50)
    miss = _p(path.latencies["miss"], 50)
    return {"miss_p50_ms": miss, "direct_http_p50_ms": direct, "miss_overhead_p50_ms": round(miss - direct, 2)}


def _real_figures(
    settings: Settings,
    names: _Prefixes,
    plan: PathPlan,
    steady: Traffic,
    quick: Traffic,
    variables: Mapping[str, str],
    tell: Tell,
) -> dict[str, Any]:
    tell("path with the real embedder as fast as it goes")
    fewer = Traffic(quick.before, quick.mix[: max(100, len(quick.mix) // REAL_FEWER)])
    fastest = _fastest(settings, names.of("real-fast"), fewer, variables)
    tell(f"path with the real embedder at {plan.rate:g}/s")
    real = _path(settings, names.of("real"), plan, steady, variables)
    hits = real.latencies["hit"]
    return {
        "hit_real_embedder_p50_ms": _p(hits, 50),
        "hit_real_embedder_p99_ms": _p(hits, 99),
        "real_embedder_rps": fastest.rps,
        "cpu_ms_a_request_real_embedder": real.cpu_ms,
        "cpu_ms_a_request_real_embedder_fastest": fastest.cpu_ms,
        "resident_real_embedder_mb": real.resident_mb,
    }


def _path(settings: Settings, prefix: str, plan: PathPlan, questions: Traffic, variables: Mapping[str, str]) -> Steady:
    """The path at the plan's rate, by workers with these variables."""
    # The connector's own simulated model: an HTTP server beside it would take the processors of what is measured.
    with running(settings, prefix, WORKERS, {**_simulated(MODEL_MS), **variables}) as (client, meter):
        client.ask(questions.before, rate=plan.rate)
        meter.start()
        told = client.ask(questions.mix, rate=plan.rate)
        used = meter.stop()
        time.sleep(SETTLE_S)
        meter.start()
        time.sleep(plan.rest_s)
        rests = meter.stop()
        resident_mb = meter.resident_mb()
    by_outcome: dict[str, list[float]] = {}
    for each in _steady(told, plan):
        by_outcome.setdefault(Response.decode(each.value).outcome.value, []).append(each.latency_ms)
    return Steady(by_outcome, used.ms_a_request(len(told)), rests.shares(), resident_mb)


def _fastest(
    settings: Settings, prefix: str, questions: Traffic, variables: Mapping[str, str], workers: int = 1
) -> Highest:
    """The rate that the path holds with so many lookup workers; the simulated model sits in the connector."""
    names = [*WORKERS, *["lookup"] * (workers - 1)]
    with running(settings, prefix, names, {**_simulated(QUICK_MS), **variables}) as (client, meter):
        client.ask(questions.before, in_flight=IN_FLIGHT)
        return _highest(client, meter, questions.mix)


def _simulated(latency_ms: float) -> dict[str, str]:
    """The simulated model, which takes that long for every answer."""
    return {
        "REFRAIN_UPSTREAM__CONNECTOR": "simulated",
        "REFRAIN_UPSTREAM__LATENCY_MEDIAN_MS": str(latency_ms),
        "REFRAIN_UPSTREAM__LATENCY_SIGMA": "0",
        "REFRAIN_UPSTREAM__CONCURRENCY": str(CONCURRENCY),
    }


def _highest(client: BenchClient, meter: CpuMeter, values: Sequence[bytes]) -> Highest:
    """Requests answered a second with a bounded number on their way; the first tenth warms up."""
    warm = len(values) // 10
    client.ask(values[:warm], in_flight=IN_FLIGHT)
    started = time.perf_counter()
    meter.start()
    client.ask(values[warm:], in_flight=IN_FLIGHT)
    rps = round((len(values) - warm) / (time.perf_counter() - started), 1)
    return Highest(rps, meter.stop().ms_a_request(len(values) - warm))


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


def _steady(values: Sequence[Any], plan: PathPlan) -> list[Any]:
    """Steady part: without the first seconds, in which caches and connections warm up."""
    return list(values[int(plan.rate * plan.warm_s) :])


def _p(latencies: Sequence[float], percent: int) -> float:
    return round(float(np.percentile(latencies, percent)), 2)
