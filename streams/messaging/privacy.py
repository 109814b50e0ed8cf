"""Which categories' text may be stored, by the policy."""

from __future__ import annotations

from refrain.schemas.policy import Cacheable, Policy


def is_uncacheable(policy: Policy, category: str) -> bool:
    """Whether the policy defines the category, and says `never`."""
    found = policy.of(category)
    return found is not None and found.cache is Cacheable.NEVER


def has_uncacheable(policy: Policy | None) -> bool:
    """Whether some category of the policy is `never`; without a policy any may be."""
    return policy is None or any(is_uncacheable(policy, name) for name in policy.categories)


def may_store(policy: Policy | None, category: str) -> bool:
    """Whether text of the category may be stored: the policy defines it and does not say `never`."""
    return policy is not None and policy.of(category) is not None and not is_uncacheable(policy, category)
