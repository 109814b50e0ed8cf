"""A question as the shard sees it: what was asked, under which policy, and how it is found."""

from __future__ import annotations

from typing import NamedTuple

from refrain.schemas.journal import Asked
from refrain.schemas.policy import CategoryPolicy, Limits
from refrain.streams.shard.adaptation import Adapted, TermsInForce
from refrain.streams.shard.index.entries import namespace_of, text_key
from refrain.streams.shard.index.vector_tables import Query
from refrain.streams.vectors import decode


class VerificationState(NamedTuple):
    """How far a question has come with second opinions."""

    rounds: int = 0
    """Opinions that were waited for."""
    silent: bool = False
    """Whether the last one did not come: no other is waited for."""


class ShardQuestion(NamedTuple):
    """A question as the shard sees it."""

    asked: Asked
    policy: CategoryPolicy
    limits: Limits
    effective: Adapted
    base: Adapted
    """What would hold at load 0."""
    second: VerificationState
    namespace: bytes
    text: bytes
    query: Query | None
    space: str
    """Whose entries may serve."""

    @classmethod
    def of(
        cls,
        asked: Asked,
        terms: TermsInForce,
        limits: Limits,
        second: VerificationState = VerificationState(),  # noqa: B008 - frozen
    ) -> ShardQuestion:
        """Raises ValueError for a vector that is none."""
        space = "*" if terms.policy.scope == "shared" and asked.space == "*" else asked.tenant
        return cls(
            asked,
            terms.policy,
            limits,
            terms.now,
            terms.base,
            second,
            namespace_of(space, asked.category, asked.embedder, asked.context),
            text_key(space, asked.category, asked.text_digest),
            query_of(asked.vector),
            space,
        )


def query_of(vector: str | None) -> Query | None:
    """A vector on the wire as a query. Raises ValueError for one that is none."""
    return None if vector is None else Query.of(decode(vector))
