"""Runs `bench edge`: hits through HTTP and through Kafka in turns, then the first pieces of streamed misses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refrain.ops.bench.edge.gateway import Gateway, free_port, litellm, with_cache
from refrain.ops.bench.edge.http_client import ask, first_pieces
from refrain.ops.bench.path.client import BenchClient
from refrain.ops.bench.path.clusters import model_server, running
from refrain.ops.bench.path.questions import CATEGORY, question_body, some_questions
from refrain.ops.cluster.connection import reach
from refrain.schemas.requests import Request
from refrain.schemas.responses import Outcome, Response
from refrain.streams import time_of_day
from refrain.streams.errors import ClusterFailed
from refrain.streams.settings import Settings

MODEL_MS = 50.0
"""The simulated model takes this for every answer; the first piece of a stream comes after half of it."""
KNOWN = 200
ROUNDS = 3
"""Kafka, HTTP and the other gateway are asked in turns, so that none has the quieter machine."""
WORKERS = ("classify", "lookup", "populate", "upstream", "govern", "edge")
HEADERS = {"x-refrain-category": CATEGORY}
Body = Mapping[str, Any]


class EdgePlan(NamedTuple):
    """Plan of the bench."""

    rate: float
    """Requests a second."""
    seconds: float
    """Of each of the rounds that are measured."""
    streams: int
    """Streamed misses, and as many streams straight from the model."""
    seed: int
    litellm: Path | None
    """The other gateway's command, None to leave it out."""


def run(settings: Settings, plan: EdgePlan, tell: Callable[[str], None]) -> dict[str, Any]:
    """Run the bench; latencies in milliseconds. Raises Unreachable when no broker answers."""
    reach(settings)
    draw = random.Random(plan.seed)
    known = [question_body(text) for text in some_questions(draw, KNOWN)]
    port = free_port()
    prefix = f"bench-{time_of_day.now_ms():x}-edge."
    with model_server(MODEL_MS) as base_url:
        variables = _variables(base_url, port)
        with running(settings, prefix, WORKERS, variables) as (client, _):
            edge = f"http://127.0.0.1:{port}/v1"
            tell(f"asking {KNOWN} questions, to have their answers kept")
            client.ask([_value(body) for body in known], rate=plan.rate)
            if plan.litellm is None:
                figures = _hits(client, edge, None, known, plan, draw, tell)
            else:
                tell("starting LiteLLM's proxy")
                with litellm(plan.litellm, with_cache(base_url), {}) as gateway:
                    _by_gateway(gateway, known, plan.rate)
                    figures = _hits(client, edge, gateway, known, plan, draw, tell)
            tell(f"streaming {plan.streams} new questions, and as many straight from the model")
            figures |= _streams(edge, base_url, plan, draw)
    return figures | {"rate": plan.rate, "model_ms": MODEL_MS}


def _hits(
    client: BenchClient,
    edge: str,
    gateway: Gateway | None,
    known: Sequence[Body],
    plan: EdgePlan,
    draw: random.Random,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    count = max(10, int(plan.rate * plan.seconds))
    times: dict[str, list[float]] = {"kafka": [], "http": [], "litellm": []}
    for number in range(ROUNDS + 1):
        tell("warming up" if number == 0 else f"hits at {plan.rate:g}/s, round {number} of {ROUNDS}")
        bodies = [draw.choice(known) for _ in range(count)]
        found = {
            "kafka": _by_kafka(client, bodies, plan.rate),
            "http": _by_http(edge, bodies, plan.rate),
            "litellm": [] if gateway is None else _by_gateway(gateway, bodies, plan.rate),
        }
        if number > 0:
            for name, latencies in found.items():
                times[name] += latencies
    figures: dict[str, Any] = {
        "hit_kafka_p50_ms": _p(times["kafka"], 50),
        "hit_kafka_p99_ms": _p(times["kafka"], 99),
        "hit_http_p50_ms": _p(times["http"], 50),
        "hit_http_p99_ms": _p(times["http"], 99),
        "hits": len(times["http"]),
    }
    figures["ratio_hit_http_kafka"] = round(figures["hit_http_p50_ms"] / figures["hit_kafka_p50_ms"], 2)
    if gateway is not None:
        figures["hit_litellm_p50_ms"] = _p(times["litellm"], 50)
        figures["hit_litellm_p99_ms"] = _p(times["litellm"], 99)
        figures["ratio_hit_http_litellm"] = round(figures["hit_http_p50_ms"] / figures["hit_litellm_p50_ms"], 2)
    return figures


def _by_kafka(client: BenchClient, bodies: Sequence[Body], rate: float) -> list[float]:
    told = client.ask([_value(body) for body in bodies], rate=rate)
    _all_hits([Response.decode(each.value).outcome.value for each in told])
    return [each.latency_ms for each in told]


def _by_http(edge: str, bodies: Sequence[Body], rate: float) -> list[float]:
    told = asyncio.run(ask(edge, bodies, rate, HEADERS))
    _all_hits([each.outcome for each in told])
    return [each.latency_ms for each in told]


def _by_gateway(gateway: Gateway, bodies: Sequence[Body], rate: float) -> list[float]:
    return [each.latency_ms for each in asyncio.run(ask(gateway.base_url, bodies, rate, gateway.headers))]


def _streams(edge: str, base_url: str, plan: EdgePlan, draw: random.Random) -> dict[str, Any]:
    """First pieces of new questions, half of them through the endpoint, in turns with the other half."""
    through: list[float] = []
    direct: list[float] = []
    for _ in range(plan.streams):
        mine, other = (question_body(text) for text in some_questions(draw, 2))
        told = asyncio.run(first_pieces(edge, [mine], HEADERS))
        if told[0].outcome != Outcome.MISS:
            raise ClusterFailed(f"a new question was no miss but {told[0].outcome!r}: the figures say nothing")
        through.append(told[0].latency_ms)
        direct += [each.latency_ms for each in asyncio.run(first_pieces(base_url, [other], {}))]
    return {
        "first_piece_p50_ms": _p(through, 50),
        "first_piece_p99_ms": _p(through, 99),
        "first_piece_direct_p50_ms": _p(direct, 50),
        "first_piece_overhead_p50_ms": round(_p(through, 50) - _p(direct, 50), 2),
        "streams": len(through),
    }


def _all_hits(outcomes: Sequence[str]) -> None:
    others = sum(outcome != Outcome.HIT for outcome in outcomes)
    if others:
        raise ClusterFailed(f"{others} of {len(outcomes)} known questions were no hits: the figures say nothing")


def _variables(base_url: str, port: int) -> dict[str, str]:
    return {
        "REFRAIN_EMBEDDING__BACKEND": "free",
        # On a busy machine questions would pass by, and their answers not be kept.
        "REFRAIN_CLASSIFY__WAIT_MAX_MS": "0",
        "REFRAIN_UPSTREAM__CONNECTOR": "http",
        "REFRAIN_UPSTREAM__BASE_URL": base_url,
        "REFRAIN_EDGE__AUTH": "none",
        "REFRAIN_EDGE__PORT": str(port),
        "REFRAIN_EDGE__CACHE_WAIT_MS": "30000",
    }


def _value(body: Body) -> bytes:
    return Request(category=CATEGORY, body=dict(body)).encode()


def _p(latencies: Sequence[float], percent: int) -> float:
    return round(float(np.percentile(latencies, percent)), 2)
