"""Which categories' text may lie nowhere, by the policy."""

from __future__ import annotations

from schemas.policy import Cacheable, Policy


def is_never(policy: Policy, category: str) -> bool:
    """Whether the policy defines the category, and says `never`."""
    found = policy.of(category)
    return found is not None and found.cache is Cacheable.NEVER


def has_never(policy: Policy | None) -> bool:
    """Whether some category is `never`; without a policy any may be."""
    return policy is None or any(is_never(policy, name) for name in policy.categories)


def may_keep(policy: Policy | None, category: str) -> bool:
    """Whether text of the category may be kept: the policy defines it and does not say `never`."""
    return policy is not None and policy.of(category) is not None and not is_never(policy, category)
