"""The state that `bench restart` restores: a journal that was folded, and the entries that came of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from refrain.ops.bench.made_up import EMBEDDER, Layout, entry_of, policy_of
from refrain.schemas.documents import Meta, ShardPolicy, TableMode
from refrain.schemas.journal import Tick
from refrain.schemas.policy_limits import Limits
from refrain.streams import time_of_day
from refrain.streams.kafka.interface import Cluster, Outgoing
from refrain.streams.shard.behaviour import BEHAVIOUR
from refrain.streams.shard.columns import ENTRIES, META_KEY, POLICIES, POLICY_ID, TABLES, entry_id
from refrain.streams.shard.index.entries import namespace_of

DIM = 384
BATCH = 2_000
TTL_MS = 30 * 86_400_000
"""Entries stay while the bench lasts: workers that restore them must not begin to evict them."""


class RestartPlan(NamedTuple):
    """Plan of the state, and of who restores it."""

    entries: int
    """In all shards together."""
    partitions: int
    namespaces: int
    """Over which the entries of a shard are spread."""
    workers: int
    seed: int

    @property
    def layout(self) -> Layout:
        """That of one shard."""
        return Layout(self.namespaces, self.entries // self.partitions, Limits().hnsw_from)


def write_state(cluster: Cluster, plan: RestartPlan) -> None:
    """Write each shard's journal and `documents`, as a worker that has folded and committed all leaves them."""
    producer = cluster.producer()
    journal = cluster.topic_id("journal")
    for partition in range(plan.partitions):
        tick = Outgoing("journal", None, Tick().encode(), (), partition)
        for start in range(0, plan.layout.entries, BATCH):
            producer.send([tick] * min(BATCH, plan.layout.entries - start))
        batch: list[Outgoing] = []
        for key, value in _rows(plan, partition, journal):
            batch.append(Outgoing("documents", key, value, (), partition))
            if len(batch) == BATCH:
                producer.send(batch)
                batch = []
        producer.send(batch)
    producer.close()


def _rows(plan: RestartPlan, partition: int, journal: str) -> Iterator[tuple[bytes, bytes]]:
    """The rows of one shard; its progress comes last, as in every commit."""
    layout, now_ms = plan.layout, time_of_day.now_ms()
    policy = policy_of(layout)
    categories = {name: each.model_copy(update={"ttl_ms": TTL_MS}) for name, each in policy.categories.items()}
    lasting = policy.model_copy(update={"categories": categories})
    yield POLICIES.key(POLICY_ID), ShardPolicy(version=0, policy=lasting).encode()
    if layout.entries // layout.namespaces >= layout.hnsw_from:
        for number in range(layout.namespaces):
            space = namespace_of("acme", "code", EMBEDDER, layout.context(number))
            yield TABLES.key(space.hex()), TableMode(search="ann").encode()
    draw = np.random.default_rng((plan.seed, partition))
    for number in range(layout.entries):
        vector = draw.standard_normal(DIM, dtype=np.float32)
        entry = entry_of(number, vector / np.linalg.norm(vector), layout, admitted_at_ms=now_ms)
        yield ENTRIES.key(entry_id(number)), entry.encode()
    yield (
        META_KEY,
        Meta(
            partition=partition,
            incarnation=journal,
            shards=plan.partitions,
            next_offset=layout.entries,
            time_ms=now_ms,
            behaviour=BEHAVIOUR,
        ).encode(),
    )
