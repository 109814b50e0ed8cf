"""Takes a verifier's score: it is stored, and the question that waited for it is decided."""

from __future__ import annotations

from typing import NamedTuple

from refrain.schemas.documents import Opinion
from refrain.schemas.journal import Asked, Verified
from refrain.streams.shard.columns import DOUBTS, OPINIONS, opinion_id
from refrain.streams.shard.search.question import VerificationState
from refrain.streams.shard.state import Shard


class Resumed(NamedTuple):
    """Resumed question: its verification came, or timed out."""

    asked: Asked
    verification: VerificationState


def remember(shard: Shard, event: Verified) -> Resumed | None:
    """Store a verifier's score; returns the question to decide now, None when none waits: a late score, or a repeat."""
    doubt = shard.pending_verifications.get(event.id)
    if doubt is None or doubt.entry != event.entry:
        return None
    asked = Asked.decode(doubt.asked)
    changes = [DOUBTS.delete(event.id)]
    if shard.entries.by_id(event.entry) is not None:
        opinion = Opinion(score=event.score, verifier=event.verifier)
        changes.append(OPINIONS.put(opinion_id(event.entry, asked.text_digest), opinion))
    shard.apply(changes)
    return Resumed(asked, VerificationState(rounds=doubt.rounds))


def give_up(shard: Shard, id_: str) -> Resumed | None:
    """Time out a verification: returns the question, to be decided without a score, as a miss."""
    doubt = shard.pending_verifications.get(id_)
    if doubt is None:
        return None
    shard.apply([DOUBTS.delete(id_)])
    return Resumed(Asked.decode(doubt.asked), VerificationState(rounds=doubt.rounds, silent=True))
