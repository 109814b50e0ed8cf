"""Records of decided questions on a cluster in memory, as classify and lookup write them."""

from __future__ import annotations

from typing import Any

from refrain.schemas.base import Reply, Sealed
from refrain.schemas.decisions import Candidate, Decision, Reason
from refrain.schemas.documents import Entry
from refrain.schemas.journal import Asked, Origin, Seen, Tick
from refrain.schemas.observations import Comparison
from refrain.schemas.policy import Cacheable
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.ids import wire_id
from refrain.streams.shard.columns import ENTRIES, entry_id

KEY = {
    "tenant": "acme", "space": "acme", "model": "m", "embedder": "e", "context": "00", "text_digest": "00",
    "vector": None,
}  # fmt: skip
PARTITION = 3


class Traffic:
    """A cluster, and what came of questions on one shard of it."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster(lambda: 1)

    def kept(self, number: int, question: str, *, key: str = "plain") -> str:
        """An entry that is kept for a question; returns its id."""
        sealed = Sealed(data=question, key_id=key)
        entry = Entry(id=number, category="code", question=sealed, answer=Sealed(data="{}"), admitted_at_ms=1, **KEY)
        self._send("documents", ENTRIES.key(entry_id(number)), entry.encode(), PARTITION)
        return wire_id(PARTITION, number, self.cluster.topic_id("journal"))

    def left(self, number: int) -> None:
        """The entry of that number leaves."""
        self._send("documents", ENTRIES.key(entry_id(number)), None, PARTITION)

    def asked(self, id_: str, question: str, category: str = "code") -> int:
        """A question in the journal; returns its offset."""
        asked = Asked(
            id=id_,
            origin=Origin(topic="requests", topic_id="r", partition=0, offset=0),
            category=category,
            classifier="client",
            body=Sealed(data="{}"),
            question=Sealed(data=question),
            reply=Reply(topic="responses"),
            seen=Seen(policy_version=0, cache=Cacheable.ALLOW, threshold=0.9, ttl_ms=1),
            **KEY,
        )
        return self.journal(asked.encode())

    def journal(self, value: bytes | None = None) -> int:
        """A record of the journal, time without traffic where none is given; returns its offset."""
        offset = self.cluster.ends("journal")[PARTITION][1]
        self._send("journal", None, Tick().encode() if value is None else value, PARTITION)
        return offset

    def decided(self, id_: str, offset: int, entry: str, similarity: float, **fields: Any) -> None:
        """A hit by meaning at a threshold of 0.9, or what the fields say."""
        plain = {
            "partition": PARTITION, "time_ms": 1, "tenant": "acme", "category": "code", "model": "m",
            "outcome": Outcome.HIT, "reason": Reason.SIMILAR_TEXT, "threshold": 0.9,
        }  # fmt: skip
        if fields.get("reason", Reason.SIMILAR_TEXT) in (Reason.SIMILAR_TEXT, Reason.OBSERVED):
            plain |= {"entry_id": entry, "similarity": similarity}
        else:
            met = Candidate(entry_id=entry, similarity=similarity, age_ms=1, verdict="below_threshold")
            plain |= {"candidates": (met,)}
        decision = Decision(id=id_, offset=offset, **{**plain, **fields})
        self._send("decisions", id_.encode(), decision.encode())

    def met(self, id_: str, question: str, entry: str, similarity: float, **fields: Any) -> None:
        """A question that was asked and met an entry."""
        self.decided(id_, self.asked(id_, question, fields.get("category", "code")), entry, similarity, **fields)

    def compared(self, id_: str, **said: Any) -> None:
        """How the answers to an observed question compare."""
        about = {"tenant": "acme", "category": "code", "model": "m", "entry_id": "e", "time_ms": 1, "equal": False}
        self._send("comparisons", id_.encode(), Comparison(decision_id=id_, **{**about, **said}).encode())

    def _send(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        self.cluster.producer().send([Outgoing(topic, key, value, (), partition)])


MISSED: dict[str, Any] = {"outcome": Outcome.MISS, "reason": Reason.BELOW_THRESHOLD, "forward_id": "f"}
