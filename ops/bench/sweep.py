"""At which size of a table a scan takes as long as an HNSW: what `limits.hnsw_from` goes by."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from refrain.ops.bench.made_up import THRESHOLD
from refrain.schemas.policy_limits import Limits
from refrain.streams.shard.index.vector_tables import QueryVector, Table, Tables
from refrain.streams.vectors import Floats, quantise

SWITCH_SIZES = (500, 1_000, 2_000, 4_000, 8_000)
"""Entries of a table for which `sweep` compares a scan with an HNSW."""


def sweep(units: Floats, seed: int, sizes: Sequence[int] = SWITCH_SIZES) -> Iterator[dict[str, float]]:
    """For each size up to that of the unit vectors (entries, dim): the median (us) of a scan and of an HNSW query."""
    generator = np.random.default_rng(seed)
    for size in (each for each in sizes if each <= len(units)):
        times: dict[str, list[float]] = {"scan": [], "hnsw": []}
        scan, graph = (Tables(units.shape[1]), Table()), (Tables(units.shape[1]), Table())
        graph[0].become_ann(graph[1], Limits().ef)
        for row in range(size):
            for tables, table in (scan, graph):
                tables.add(table, row, QueryVector.of(quantise(units[row])))
        for _ in range(300):
            query = QueryVector.of(quantise(units[int(generator.integers(size))]))
            for name, (tables, table) in (("scan", scan), ("hnsw", graph)):
                started = time.perf_counter()
                tables.search(table, query, Limits().candidates, THRESHOLD, Limits().ef)
                times[name].append((time.perf_counter() - started) * 1e6)
        yield {"entries": size, **{f"{name}_us_p50": round(float(np.median(t)), 1) for name, t in times.items()}}
