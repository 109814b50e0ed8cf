"""`refrain bench evict`: what each order of eviction saves, on one stream of questions.

The stream goes through `fold`: each question is asked by its exact text, each miss answered at once by a model whose
latency is the question's cost, so that the shard itself decides what goes. Vectors, lifetimes and other tenants are
left out: they would decide too.

What is saved is a share of what a cache without bounds would save, from a cold start. The bound is what no order can
pass, and none can reach: each span between two requests of a question is worth its cost and takes its length of one
slot, and room x time is filled with spans by worth over length, the last in part, as if slots could be cut and shared.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.schemas.base import Message, Reply, Sealed
from refrain.schemas.journal import Answered, Asked, Origin, PolicySet, Seen
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy, Quota
from refrain.schemas.policy_limits import Eviction, Limits
from refrain.schemas.responses import Outcome
from refrain.streams.errors import WrongValue
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import decision_id
from refrain.streams.shard.fold import fold
from refrain.streams.shard.state import Shard
from refrain.streams.store.memory import MemoryStore

TENANT, CATEGORY = "acme", "code"
COST_MEDIAN_MS = 1_000
GAP_MS = 100
"""Between two questions: it matters to an order that counts age."""
FOREVER_MS = 10**15
TAG = "feedfeedfeed"
WANTED = {"lru": 1.10, "lfu": 1.0, "paper": 1.0}
"""What value must save at least (lru), and more than (the others), as a multiple of each."""
ORDERS = tuple(each.value for each in Eviction)
BOUND = "bound"
LEAST_SHARE = 1e-6
"""Less is saved by nobody: so that every figure is a number."""
RUNS_PER_SEED = len(ORDERS) + 1
COLUMNS = ("order", "cost saved", "over the seeds", "hits", "value / it", "as wanted")
ANSWER = Sealed(
    data=json.dumps(
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "a" * 600}, "finish_reason": "stop"}]}
    )
)
"""Of one size for all: what is compared is how orders weigh costs and use."""


class Workload(NamedTuple):
    """Workload: `catalogue` questions by Zipf's law, and among them questions that come once."""

    catalogue: int = 2_000
    requests: int = 20_000
    room_share: float = 0.1
    """Entries that fit, as a share of the catalogue."""
    zipf: float = 1.2
    once_share: float = 0.2
    """Requests whose question was never asked before and never is again."""
    sigma: float = 1.0
    """Of the costs' logarithm."""

    @property
    def room(self) -> int:
        """Capacity: entries that fit."""
        return max(1, round(self.catalogue * self.room_share))


class Stream(NamedTuple):
    """Stream: which question each request asks, and what the model takes for each question (milliseconds)."""

    questions: npt.NDArray[np.int64]
    costs_ms: npt.NDArray[np.int64]


def stream(workload: Workload, seed: int) -> Stream:
    """The stream of a seed. Questions from `catalogue` on come once; costs do not depend on how often one is asked."""
    draw = np.random.default_rng(seed)
    odds = np.arange(1, workload.catalogue + 1, dtype=np.float64) ** -workload.zipf
    questions = draw.choice(workload.catalogue, size=workload.requests, p=odds / odds.sum())
    once = np.flatnonzero(draw.random(workload.requests) < workload.once_share)
    questions[once] = workload.catalogue + np.arange(len(once))
    costs = COST_MEDIAN_MS * draw.lognormal(0.0, workload.sigma, workload.catalogue + len(once))
    return Stream(questions, np.maximum(1, np.rint(costs)).astype(np.int64))


class Saved(NamedTuple):
    """Savings of an eviction order over a stream."""

    cost_ms: int
    hits: int


def replay(order: str, workload: Workload, asked: Stream) -> Saved:
    """Replay a stream through a shard that evicts by `order`."""
    shard = Shard(0, 1, "bench", MemoryStore())
    fold(shard, _record(shard, 0, PolicySet(version=0, policy=_policy(order, workload))))
    cost_ms = hits = 0
    for number, question in enumerate(asked.questions.tolist()):
        latency_ms = int(asked.costs_ms[question])
        if _is_hit(shard, number, question, latency_ms):
            cost_ms, hits = cost_ms + latency_ms, hits + 1
    return Saved(cost_ms, hits)


def without_bounds(asked: Stream) -> Saved:
    """Savings without evictions: all but the first request of each question."""
    repeats = len(asked.questions) - len(np.unique(asked.questions))
    first = asked.costs_ms[np.unique(asked.questions)].sum()
    return Saved(int(asked.costs_ms[asked.questions].sum() - first), repeats)


def bound_ms(workload: Workload, asked: Stream) -> float:
    """Upper bound (ms) of what any order can save at this capacity; see above. O(n log n)."""
    order = np.argsort(asked.questions, kind="stable")
    same = asked.questions[order][1:] == asked.questions[order][:-1]
    lengths = np.diff(order)[same].astype(np.float64)
    worths = asked.costs_ms[asked.questions[order][1:][same]].astype(np.float64)
    best = np.argsort(-worths / lengths, kind="stable")
    filled = np.cumsum(lengths[best])
    left = workload.room * len(asked.questions) - (filled - lengths[best])
    return float((worths[best] * np.clip(left / lengths[best], 0.0, 1.0)).sum())


def run_order(order: str, seed: int, workload: Workload) -> dict[str, Any]:
    """Run one order over the stream of one seed, `bound` among them: shares of what a cache without bounds saves."""
    asked = stream(workload, seed)
    most = without_bounds(asked)
    if order == BOUND:
        return {"order": order, "seed": seed, "cost_saved": bound_ms(workload, asked) / max(1, most.cost_ms)}
    got = replay(order, workload, asked)
    shares = {"cost_saved": got.cost_ms / max(1, most.cost_ms), "hits": got.hits / max(1, most.hits)}
    return {"order": order, "seed": seed, **shares}


def run(workload: Workload, seeds: Iterable[int], jobs: int, advance: Callable[[], None]) -> dict[str, Any]:
    """Run the bench: all figures; the same for the same workload and seeds. `advance` hears of each of the runs done.

    Raises WrongValue for streams in which nothing is asked twice.
    """
    seeds = list(seeds)
    for seed in seeds:
        if not without_bounds(stream(workload, seed)).hits:
            raise WrongValue(f"with seed {seed} nothing is asked twice: ask more, or fewer questions that come once")
    plan = [(order, seed) for seed in seeds for order in (*ORDERS, BOUND)]
    results = []
    # A fresh interpreter each: nothing of this process is shared with them.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for each in pool.map(partial(_run_one, workload), plan):
            results.append(each)
            advance()
    return figures(workload, seeds, results)


def figures(workload: Workload, seeds: list[int], results: list[dict[str, Any]]) -> dict[str, Any]:
    """Means and spreads over the seeds, `value` as a multiple of each other order, and whether that is as wanted."""
    share = {(each["order"], each["seed"]): each for each in results}
    orders = {
        order: {
            "cost_saved": _spread([share[order, seed]["cost_saved"] for seed in seeds]),
            **({} if order == BOUND else {"hits": _spread([share[order, seed]["hits"] for seed in seeds])}),
        }
        for order in (*ORDERS, BOUND)
    }
    ratios = {other: _spread([_ratio(share["value", seed], share[other, seed]) for seed in seeds]) for other in WANTED}
    met = {
        other: ratios[other]["mean"] >= least if least > 1 else ratios[other]["mean"] > least
        for other, least in WANTED.items()
    }
    return {
        "workload": {**workload._asdict(), "room": workload.room, "cost_median_ms": COST_MEDIAN_MS},
        "through": "fold, exact text, one tenant and category whose cap is the room",
        "seeds": seeds,
        "orders": orders,
        "value_over": ratios,
        "wanted": WANTED,
        "met": met,
    }


def rows(found: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    """Table rows: order, cost saved, its spread, hits, how much `value` saves of it."""
    for order, each in found["orders"].items():
        saved, hits, ratio = each["cost_saved"], each.get("hits"), found["value_over"].get(order)
        yield (
            order,
            f"{saved['mean']:.1%}",
            f"{saved['min']:.1%} - {saved['max']:.1%}",
            "-" if hits is None else f"{hits['mean']:.1%}",
            "-" if ratio is None else f"{ratio['mean']:.3f} ({ratio['min']:.3f} - {ratio['max']:.3f})",
            "-" if order not in found["met"] else "yes" if found["met"][order] else "no",
        )


def _run_one(workload: Workload, run: tuple[str, int]) -> dict[str, Any]:
    return run_order(*run, workload)


def _ratio(value: dict[str, Any], other: dict[str, Any]) -> float:
    return float(value["cost_saved"]) / max(float(other["cost_saved"]), LEAST_SHARE)


def _spread(shares: list[float]) -> dict[str, float]:
    deviation = statistics.stdev(shares) if len(shares) > 1 else 0.0
    found = {"mean": statistics.fmean(shares), "stdev": deviation, "min": min(shares), "max": max(shares)}
    return {name: round(share, 4) for name, share in found.items()}


def _is_hit(shard: Shard, number: int, question: int, latency_ms: int) -> bool:
    folded = fold(shard, _record(shard, number, _asked(number, question)))
    if folded.decisions[0].outcome is Outcome.HIT:
        return True
    fold(shard, _record(shard, number, Answered(forward_id=_id(number), body=ANSWER, latency_ms=latency_ms)))
    return False


def _record(shard: Shard, number: int, message: Message) -> Record:
    return Record("journal", 0, shard.next_offset, (number + 1) * GAP_MS, None, message.encode())


def _asked(number: int, question: int) -> Asked:
    return Asked(
        id=_id(number),
        origin=Origin(topic="requests", topic_id="r", partition=0, offset=number),
        tenant=TENANT,
        space=TENANT,
        category=CATEGORY,
        classifier="request",
        model="m",
        embedder="none",
        context="c",
        text_digest=f"{question:032x}",
        vector=None,
        question=Sealed(data=f"question {question:08d}"),
        body=Sealed(data="{}"),
        reply=Reply(topic="responses"),
        seen=Seen(policy_version=0, cache=Cacheable.ALLOW, threshold=1.0, ttl_ms=FOREVER_MS),
    )


def _id(number: int) -> str:
    return decision_id(0, number, TAG)


def _policy(order: str, workload: Workload) -> Policy:
    category = CategoryPolicy(ttl_ms=FOREVER_MS, quota=Quota(cap=workload.room), coalesce=False)
    limits = Limits(eviction=Eviction(order), entries_max=max(workload.room, Limits().entries_max))
    return Policy(categories={CATEGORY: category}, limits=limits)
