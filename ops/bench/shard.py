"""`refrain bench shard`: one shard without a broker, its entries in one namespace and again in many.

Each layout is filled into a RocksDB, then a fresh process restores it, so that memory is the shard's alone, and folds
questions that hit, each timed beside a bare hnswlib query of an index over the same vectors, and beside a fold of
another question under all guards.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from refrain.ops.bench.made_up import (
    EMBEDDER,
    INCARNATION,
    Layout,
    asked_of,
    fill,
    policy_of,
    wording,
)
from refrain.schemas.decisions import Decision
from refrain.schemas.documents import Meta, ShardPolicy
from refrain.schemas.policy import Guard
from refrain.schemas.policy_limits import Limits
from refrain.schemas.responses import Outcome
from refrain.streams.errors import StoreDamaged
from refrain.streams.guards import GuardTerms, read, weigh
from refrain.streams.shard.columns import META_KEY
from refrain.streams.shard.fold import fold
from refrain.streams.shard.index.entries import namespace_of
from refrain.streams.shard.index.hnsw import EF_CONSTRUCTION, SEED, M
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.state import Shard
from refrain.streams.snapshots.filling import fill_newest
from refrain.streams.snapshots.location import Location
from refrain.streams.snapshots.making import write_snapshot
from refrain.streams.snapshots.shelf import Shelf
from refrain.streams.snapshots.snapshot import Place, Snapshot
from refrain.streams.store.interface import Checkpoint
from refrain.streams.store.rocksdb import RocksStore
from refrain.streams.vectors import Floats

NEAR = 0.25
"""How far a question is turned from an entry: a cosine of about 0.97."""
COMMIT_EVERY = 200
THREADS = 2


def measure(units: Floats, layout: Layout, queries: int, seed: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure one layout: all figures over unit vectors (entries, dim)."""
    folder = Path(tempfile.mkdtemp(prefix="refrain-bench-"))
    try:
        tell(f"filling {layout.entries} entries in {layout.namespaces} namespaces")
        fill(folder / "store", units, layout)
        np.save(folder / "units.npy", units)
        tell("restoring and folding")
        # A fresh process: its memory is the shard's, not that of the vectors it was filled from.
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(1) as pool:
            figures: dict[str, Any] = pool.apply(_in_fresh_process, (folder, layout, queries, seed))
        tell("restoring from a snapshot")
        with spawn.Pool(1) as pool:
            restored: dict[str, Any] = pool.apply(_from_snapshot, (folder,))
        cpu_s = figures["restore_cpu_s"]
        ratio = round(restored["snapshot_restore_cpu_s"] / cpu_s, 3) if cpu_s else None
        return {**figures, **restored, "snapshot_ratio": ratio}
    finally:
        shutil.rmtree(folder)


def _in_fresh_process(folder: Path, layout: Layout, queries: int, seed: int) -> dict[str, Any]:
    # What the first search and the first fold load is not the shard's.
    _warm(folder)
    store = RocksStore(folder / "store")
    before = _rss()
    started, cpu_s = time.perf_counter(), time.process_time()
    shard = load_shard(0, 1, INCARNATION, store, THREADS)
    restore_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    rss = _rss() - before
    # As a lookup worker does with what it has restored.
    gc.collect()
    gc.freeze()
    snapshot = _snapshot(shard, folder)
    units: Floats = np.load(folder / "units.npy", mmap_mode="r")
    times, right = _queries(shard, units, layout, queries, seed)
    folds, raws, guarded = times
    figures = {
        "raw_knn_us_p50": round(float(np.percentile(raws, 50)), 1),
        "fold_us_p50": round(float(np.percentile(folds, 50)), 1),
        "fold_us_p99": round(float(np.percentile(folds, 99)), 1),
        "guards_us_p50": round(float(np.percentile(guarded, 50) - np.percentile(folds, 50)), 1),
        **_guards(layout, queries),
        "ratio": round(float(np.percentile(folds, 50) / np.percentile(raws, 50)), 2),
        "recall_at_1": round(float(np.mean(right)), 4),
        "restore_s": round(restore_s, 2),
        "restore_cpu_s": round(cpu_s, 2),
        "snapshot_bytes_per_entry": round(snapshot.manifest.total_bytes / layout.entries),
        "rss_bytes_per_entry": round(rss / layout.entries),
    }
    store.close()
    return figures


def _snapshot(shard: Shard, folder: Path) -> Snapshot:
    meta = Meta.decode(shard.store.get(META_KEY) or b"")
    place = Place(0, 1, INCARNATION, "documents", (0, meta.next_offset), (0, 1), 1, 1)
    return write_snapshot(Shelf(Location(str(folder / "snapshots"))), place, shard, meta, 1, folder)


def _from_snapshot(folder: Path) -> dict[str, Any]:
    """Seconds in which a shard whose store is lost is restored from the snapshot, and its memory."""
    _warm(folder)
    shelf = Shelf(Location(str(folder / "snapshots")))
    store = RocksStore(folder / "restored")
    before = _rss()
    started, cpu_s = time.perf_counter(), time.process_time()
    snapshot = fill_newest(shelf, 0, store, lambda _: None)
    if snapshot is None:
        raise StoreDamaged("the snapshot that was just made is not used")
    with snapshot.graphs(folder) as graphs:
        shard = load_shard(0, 1, INCARNATION, store, THREADS, graphs=graphs)
    restore_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    rss = _rss() - before
    figures = {
        "snapshot_restore_s": round(restore_s, 2),
        "snapshot_restore_cpu_s": round(cpu_s, 2),
        "snapshot_rss_bytes_per_entry": round(rss / len(shard.entries)),
    }
    store.close()
    return figures


def _queries(
    shard: Shard, units: Floats, layout: Layout, queries: int, seed: int
) -> tuple[tuple[list[float], list[float], list[float]], list[bool]]:
    """Times (us) of folds, of bare queries and of folds under guards, in turn, and whether each served the nearest."""
    generator = np.random.default_rng(seed)
    bare = _bare_index(shard, units, layout)
    bare_policy, guarding_policy = _in_force(layout, ()), _in_force(layout, tuple(Guard))
    folds: list[float] = []
    raws: list[float] = []
    guarded: list[float] = []
    asked: list[tuple[Decision, Floats, int]] = []
    for number in range(queries + queries // 10):
        # Of two entries: the texts are new to the guards.
        pair = [
            (bare_policy, folds, *_reworded(generator, units)),
            (guarding_policy, guarded, *_reworded(generator, units)),
        ]
        # Another question, so that neither finds in the processor's cache what the other left there.
        _, other = _reworded(generator, units)
        started = time.perf_counter()
        bare.knn_query(other, k=1)
        raw_us = (time.perf_counter() - started) * 1e6
        # In turn the one and the other first: whatever comes second finds more in the processor's cache.
        for place, (policy, times, of, vector) in enumerate(pair if number % 2 else reversed(pair)):
            record = asked_of(2 * number + place, vector, of, layout)
            shard.policy = policy
            started = time.perf_counter()
            folded = fold(shard, record)
            took_us = (time.perf_counter() - started) * 1e6
            if number >= queries // 10:  # the first ones warm caches
                times.append(took_us)
                asked.append((folded.decisions[0], vector, of))
        if number % COMMIT_EVERY == 0:
            shard.begin_commit()
            shard.finish_commit(Checkpoint(1, 1))
        if number >= queries // 10:
            raws.append(raw_us)
    # Searched exactly only now: between the folds it would take their place in the processor's cache.
    right = [decision.outcome is Outcome.HIT and _is_nearest(decision, units, q, t, layout) for decision, q, t in asked]
    return (folds, raws, guarded), right


def _guards(layout: Layout, queries: int) -> dict[str, float]:
    """Medians (us) of the guards alone: of reading a question, and of weighing it against another wording of it."""
    reads: list[float] = []
    weighs: list[float] = []
    terms = GuardTerms.of(policy_of(layout, tuple(Guard)).categories["code"])
    # Numbers that no entry has: the texts are new to the guards.
    for number in range(layout.entries, layout.entries + queries):
        cached = read(wording(number, "How do I"))
        started = time.perf_counter()
        asked = read(wording(number, "How can I"))
        read_at = time.perf_counter()
        weigh(terms, asked, cached)
        reads.append((read_at - started) * 1e6)
        weighs.append((time.perf_counter() - read_at) * 1e6)
    return {
        "guards_read_us_p50": round(float(np.percentile(reads, 50)), 1),
        "guards_weigh_us_p50": round(float(np.percentile(weighs, 50)), 1),
    }


def _in_force(layout: Layout, guards: tuple[Guard, ...]) -> ShardPolicy:
    return ShardPolicy(version=0, policy=policy_of(layout, guards))


def _reworded(generator: np.random.Generator, units: Floats) -> tuple[int, Floats]:
    """An entry's number and a question near it."""
    target = int(generator.integers(len(units)))
    noise = generator.normal(size=units.shape[1])
    question = units[target] + noise * NEAR / np.linalg.norm(noise)
    return target, (question / np.linalg.norm(question)).astype(np.float32)


def _bare_index(shard: Shard, units: Floats, layout: Layout) -> Any:
    """The hnswlib index over all entries: the shard's own when it has one, so that both are as large."""
    if layout.namespaces == 1:
        own = shard.entries.namespaces.hnsw(namespace_of("acme", "code", EMBEDDER, layout.context(0)))
        if own is not None:
            return own
    bare = hnswlib.Index(space="ip", dim=units.shape[1])
    bare.init_index(max_elements=layout.entries, M=M, ef_construction=EF_CONSTRUCTION, random_seed=SEED)
    bare.set_num_threads(THREADS)
    bare.add_items(units)
    bare.set_num_threads(1)
    bare.set_ef(Limits().ef)
    return bare


def _is_nearest(decision: Decision, units: Floats, question: Floats, target: int, layout: Layout) -> bool:
    """Whether no entry of the namespace is nearer than the one that was served (within the sixth place)."""
    same = units[target % layout.namespaces :: layout.namespaces]
    return decision.similarity is not None and float(np.max(same @ question)) - decision.similarity < 2e-5


def _warm(folder: Path) -> None:
    shutil.rmtree(folder / "warm", ignore_errors=True)
    units = np.random.default_rng(1).normal(size=(32, 384)).astype(np.float32)
    layout = Layout(1, len(units), 16)
    fill(folder / "warm", units, layout)
    store = RocksStore(folder / "warm")
    shard = load_shard(0, 1, INCARNATION, store, THREADS)
    fold(shard, asked_of(0, units[0], 0, layout))
    store.close()


def _rss() -> int:
    """Resident memory (bytes) now; where the system does not tell, the most there ever were."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
