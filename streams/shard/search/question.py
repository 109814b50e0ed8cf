"""Question of a shard: the request, the terms in force for it, and its search keys."""

from __future__ import annotations

from typing import NamedTuple

from refrain.schemas.journal import Asked
from refrain.schemas.policy import CategoryPolicy
from refrain.schemas.policy_limits import Limits
from refrain.streams.messaging.shards import space_of
from refrain.streams.models.hit_head import PairHead
from refrain.streams.shard.adaptation import Adapted, TermsInForce
from refrain.streams.shard.index.entries import namespace_of, text_key
from refrain.streams.shard.index.vector_tables import QueryVector, query_of


class VerificationState(NamedTuple):
    """Verification state of a question: how often it has waited for a verifier."""

    rounds: int = 0
    """Scores that were waited for."""
    silent: bool = False
    """Whether the last one did not come: no other is waited for."""


class ShardQuestion(NamedTuple):
    """Question with its terms in force and search keys."""

    asked: Asked
    policy: CategoryPolicy
    limits: Limits
    effective: Adapted
    base: Adapted
    """What would hold at load 0."""
    verification: VerificationState
    namespace: bytes
    text: bytes
    query: QueryVector | None
    space: str
    """The space (tenant, or `shared`) whose entries may be served."""
    head: PairHead | None
    """The trained head of the category."""

    @classmethod
    def of(
        cls,
        asked: Asked,
        terms: TermsInForce,
        limits: Limits,
        verification: VerificationState = VerificationState(),  # noqa: B008 - frozen
        head: PairHead | None = None,
    ) -> ShardQuestion:
        """Prepare a question for the search. Raises ValueError for a vector that is none."""
        space = space_of(asked, terms.policy)
        return cls(
            asked,
            terms.policy,
            limits,
            terms.now,
            terms.base,
            verification,
            namespace_of(space, asked.category, asked.embedder, asked.context),
            text_key(space, asked.category, asked.text_digest),
            None if asked.vector is None else query_of(asked.vector),
            space,
            head,
        )
