"""Dependence in the shard: what the policy makes of an answer that depends on now or on who asks. Pure."""

from __future__ import annotations

from refrain.schemas.base import Dependence
from refrain.schemas.decisions import Reason
from refrain.schemas.policy import CategoryPolicy, Required, ShortLived
from refrain.streams.shard.adaptation import TermsInForce


def not_kept_reason(policy: CategoryPolicy, depends: Dependence | None) -> Reason | None:
    """Why the answer is neither kept nor taken from the cache, None when what it depends on does not forbid it."""
    if depends is None:
        return None
    if depends.personal and not _may_keep_personal(policy, depends):
        return Reason.PERSONAL
    return Reason.VOLATILE if depends.volatile and policy.volatile == "never" else None


def shortened(terms: TermsInForce, depends: Dependence | None) -> TermsInForce:
    """The terms for a question: an answer that depends on now lives for the policy's shorter time, and is never stale.

    Load does not stretch it.
    """
    volatile = terms.policy.volatile
    if depends is None or not depends.volatile or not isinstance(volatile, ShortLived):
        return terms
    return terms._replace(
        policy=terms.policy.model_copy(update={"stale_while_revalidate_ms": 0}),
        now=terms.now._replace(ttl_ms=min(terms.now.ttl_ms, volatile.ttl_ms)),
        base=terms.base._replace(ttl_ms=min(terms.base.ttl_ms, volatile.ttl_ms)),
    )


def _may_keep_personal(policy: CategoryPolicy, depends: Dependence) -> bool:
    personal = policy.personal
    if isinstance(personal, Required):
        return any(name in personal.require for name in depends.named)
    return personal == "allow"
