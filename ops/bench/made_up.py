"""Made-up entries, questions and the policy that benches fill shards with, the same for the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from refrain.schemas.base import Reply, Sealed
from refrain.schemas.documents import Entry, Meta, ShardPolicy, TableMode
from refrain.schemas.journal import Asked, Origin, Seen
from refrain.schemas.policy import Cacheable, CategoryPolicy, Guard, Policy, Quota
from refrain.schemas.policy_limits import Limits
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import decision_id
from refrain.streams.messaging.responses import compact, digest_of_answer
from refrain.streams.shard.behaviour import BEHAVIOUR
from refrain.streams.shard.columns import ENTRIES, META_KEY, POLICIES, POLICY_ID, TABLES, entry_id
from refrain.streams.shard.index.entries import namespace_of
from refrain.streams.store.interface import Checkpoint
from refrain.streams.store.rocksdb import RocksStore
from refrain.streams.vectors import Floats, encode, quantise

THRESHOLD = 0.9
ANSWER_CHARS = 600
BATCH = 2_000
EMBEDDER = "bench"
INCARNATION = "bench"
VERBS = ("sort", "delete", "rename", "export", "share", "archive", "restore", "print")
THINGS = ("report", "invoice", "photo", "contract", "playlist", "backup", "form", "ticket")
PLACES = ("the cloud folder", "my mailbox", "the team space", "our archive", "the new phone", "a shared drive")


class Layout(NamedTuple):
    """Layout: how many namespaces the entries are spread over."""

    namespaces: int
    entries: int
    hnsw_from: int

    def context(self, number: int) -> str:
        """The context of an entry: entries go round the namespaces."""
        return f"c{number % self.namespaces}"


def policy_of(layout: Layout, guards: tuple[Guard, ...] = ()) -> Policy:
    """One category with room for all entries of the layout, and for an answer that a question leaves."""
    room = layout.entries + 1
    quota = Quota(cap=room)
    category = CategoryPolicy(threshold=THRESHOLD, ttl_ms=1_000_000, quota=quota, guards=guards)
    return Policy(categories={"code": category}, limits=Limits(hnsw_from=layout.hnsw_from, entries_max=room))


def entry_of(number: int, unit: Floats, layout: Layout, admitted_at_ms: int = 1_000) -> Entry:
    """The entry of that number, of a unit vector."""
    answer = {"model": "m", "message": {"role": "assistant", "content": "a" * ANSWER_CHARS}, "finish_reason": "stop"}
    return Entry(
        id=number,
        tenant="acme",
        space="acme",
        category="code",
        model="m",
        embedder=EMBEDDER,
        context=layout.context(number),
        fields={"model": "00000000"},
        text_digest=f"{number:032x}",
        vector=encode(quantise(unit)),
        question=Sealed(data=wording(number, "How do I")),
        answer=Sealed(data=compact(answer)),
        answer_digest=digest_of_answer(answer),
        admitted_at_ms=admitted_at_ms,
    )


def wording(number: int, opening: str) -> str:
    """The question of an entry; another opening asks the same."""
    verb, thing, place = (words[number // 7**at % len(words)] for at, words in enumerate((VERBS, THINGS, PLACES)))
    return f"{opening} {verb} the {thing} number {number} from {place} before the end of the month?"


def asked_of(number: int, question: Floats, target: int, layout: Layout) -> Record:
    """The question of that number, of a unit vector, in the words of the entry `target` and another opening."""
    text = wording(target, "How can I")
    asked = Asked(
        id=decision_id(0, number, "feedfeedfeed"),
        origin=Origin(topic="requests", topic_id="r", partition=0, offset=number),
        tenant="acme",
        space="acme",
        category="code",
        classifier="request",
        model="m",
        embedder=EMBEDDER,
        context=layout.context(target),
        fields={"model": "00000000"},
        text_digest=f"q{number}",
        vector=encode(quantise(question)),
        question=Sealed(data=text),
        body=Sealed(data=json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})),
        reply=Reply(topic="responses"),
        seen=Seen(policy_version=0, cache=Cacheable.ALLOW, threshold=THRESHOLD, ttl_ms=1_000_000),
    )
    return Record("journal", 0, layout.entries + number, 1_000, None, asked.encode())


def fill(path: Path, units: Floats, layout: Layout) -> None:
    """Write a store of one entry a vector."""
    store = RocksStore(path)
    changes: dict[bytes, bytes | None] = {
        POLICIES.key(POLICY_ID): ShardPolicy(version=0, policy=policy_of(layout)).encode()
    }
    for number, unit in enumerate(units):
        entry = entry_of(number, unit, layout)
        changes[ENTRIES.key(entry_id(number))] = entry.encode()
        if len(changes) >= BATCH:
            store.write(changes, Checkpoint(1, 1))
            changes = {}
    per_namespace = -(-layout.entries // layout.namespaces)
    if per_namespace >= layout.hnsw_from:
        for number in range(layout.namespaces):
            space = namespace_of("acme", "code", EMBEDDER, layout.context(number))
            changes[TABLES.key(space.hex())] = TableMode(search="ann").encode()
    changes[META_KEY] = Meta(
        partition=0, incarnation=INCARNATION, shards=1, next_offset=layout.entries, time_ms=1_000, behaviour=BEHAVIOUR
    ).encode()
    store.write(changes, Checkpoint(1, 1))
    store.close()
