"""`refrain bench load`: what adaptation to load gains and costs, in virtual time, without a broker.

A model is driven over its capacity and back, three times over the same questions: without adaptation, with it, and
relaxed all the time. The shard, the decisions of `adapt` and the embedder are the real ones; see `run`.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from refrain.ops.bench.load import scenario
from refrain.ops.bench.load.figures import OVERLOAD, seed_figures, spread
from refrain.ops.bench.load.questions import Questions
from refrain.ops.bench.load.run import Mode, asked_records, simulate
from refrain.ops.bench.load.scenario import CATEGORIES, NEAR_MISSES, PHASES, Phase
from refrain.ops.bench.load.traffic import Arrival, traffic
from refrain.streams.models.embedder import Embedder
from refrain.streams.settings import Adapt
from refrain.streams.vectors import encode, quantise

BATCH = 256
TURNS_MAX = 0.5
"""Turns a minute of a load that does not swing: a loop that did, with half a window and a call's time of delay, would
turn three times a minute; what turns less follows the arrivals.
"""
PROCESSES_MAX = 5
Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and of how much."""


class LoadPlan(NamedTuple):
    """Plan of the bench: seeds, phases, traffic mix."""

    seeds: int = 5
    phases: tuple[Phase, ...] = PHASES
    known: int = scenario.KNOWN
    near_misses: float = NEAR_MISSES
    processes: int = 1

    def shortened(self, share: float) -> LoadPlan:
        """Shorter plan, with phases of that share of their length, and as much less that is known before."""
        phases = tuple(phase._replace(seconds=phase.seconds * share) for phase in self.phases)
        return self._replace(phases=phases, known=max(1, round(self.known * share)))


class _Job(NamedTuple):
    """Job of one seed: all that its process needs."""

    questions: Questions
    vectors: dict[int, str]
    embedder: str
    plan: LoadPlan
    seed: int


def run(questions: Questions, embedder: Embedder, plan: LoadPlan, progress: Progress) -> dict[str, Any]:
    """Run the bench: all figures. Raises WrongSetup when there are too few questions."""
    seeds = range(1, plan.seeds + 1)
    used = sorted({each.text for seed in seeds for each in _traffic(questions, plan, seed)})
    vectors = _embedded(questions.texts, used, embedder, progress)
    jobs = [_Job(questions, vectors, embedder.identity, plan, seed) for seed in seeds]
    found = []
    for done, figures in enumerate(_seeds(jobs, plan), 1):
        found.append(figures)
        progress("simulated seeds", done, plan.seeds)
    over = spread(found)
    return {"wanted": wanted(over), **over, "settings": _settings(questions, embedder, plan, len(used))}


def wanted(figures: dict[str, Any]) -> dict[str, Any]:
    """Expectations of the bench, each with whether it is met by the mean over the seeds."""
    overload = OVERLOAD
    cut = figures["against_base"]["adaptive"][overload]["cut_pct"]["mean"]
    wrong = figures["runs"]["adaptive"]["all"]["load_only_wrong_pct"]["mean"]
    back = [each["windows_after_overload"] for each in figures["back_to_base"].values()]
    turns = figures["load"][f"{overload}, then"]["turns_per_min"]["mean"]
    return {
        "cut_pct_at_least_9": {"found": cut, "met": cut is not None and cut >= 9},
        "load_only_wrong_pct_at_most_10": {"found": wrong, "met": wrong is not None and wrong <= 10},
        "back_to_base_within_windows_2": {
            "found": max((each["mean"] for each in back if each["mean"] is not None), default=None),
            "met": all(each["mean"] is not None and each["mean"] <= 2 and "missing" not in each for each in back),
        },
        "turns_of_settled_load_per_min_at_most_half": {"found": turns, "met": turns is not None and turns <= TURNS_MAX},
    }


def _traffic(questions: Questions, plan: LoadPlan, seed: int) -> Sequence[Arrival]:
    return traffic(questions, seed, plan.phases, plan.known, plan.near_misses)


def _embedded(texts: Sequence[str], used: Sequence[int], embedder: Embedder, progress: Progress) -> dict[int, str]:
    """The vectors of record of the texts that are used, by number."""
    vectors: dict[int, str] = {}
    # Of a like length together: the longest of a batch sets its time.
    ordered = sorted(used, key=lambda number: len(texts[number]))
    for start in range(0, len(ordered), BATCH):
        batch = ordered[start : start + BATCH]
        rows = embedder.embed([texts[number] for number in batch])
        vectors |= {number: encode(quantise(np.asarray(row))) for number, row in zip(batch, rows, strict=True)}
        progress("embedded texts", len(vectors), len(used))
    return vectors


def _seeds(jobs: Sequence[_Job], plan: LoadPlan) -> Iterator[dict[str, Any]]:
    processes = min(plan.processes, len(jobs), os.cpu_count() or 1)
    if processes == 1:
        yield from map(_seed, jobs)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_seed, jobs)


def _seed(job: _Job) -> dict[str, Any]:
    arrivals = _traffic(job.questions, job.plan, job.seed)
    records = asked_records(arrivals, job.questions.texts, job.vectors, job.embedder)
    runs = {mode: simulate(arrivals, records, mode, job.seed) for mode in Mode}
    return seed_figures(runs, job.plan.phases)


def _settings(questions: Questions, embedder: Embedder, plan: LoadPlan, used: int) -> dict[str, Any]:
    return {
        "data": questions.data,
        "embedder": embedder.identity,
        "texts_embedded": used,
        "seeds": plan.seeds,
        "phases": [phase._asdict() for phase in plan.phases],
        "categories": [category._asdict() for category in CATEGORIES],
        "known_at_start": plan.known,
        "hits_a_repeat": scenario.HITS_A_REPEAT,
        "reworded_of_repeats": round(scenario.REWORDED, 3),
        "near_misses_a_reworded": plan.near_misses,
        "zipf": scenario.ZIPF,
        "day_s": scenario.DAY_S,
        "capacity_rps": round(scenario.capacity_rps(), 3),
        "model": {
            "slots": scenario.SLOTS,
            "open_calls": scenario.SLOTS * scenario.CALLS_A_SLOT,
            "median_ms": scenario.MEDIAN_MS,
            "sigma": scenario.SIGMA,
            "timeout_ms": scenario.TIMEOUT_MS,
            **scenario.policy().models[scenario.CODER].model_dump(),
        },
        "adapt": Adapt().model_dump(),
    }
