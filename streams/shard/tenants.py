"""What each tenant uses of a shard, held against the limits that the policy sets for it.

Rates are told by the generic cell rate algorithm (ITU-T I.371) in whole microseconds: one number a tenant and rate, the
time at which a further use is due. Up to one window's uses may come at once.
"""

from __future__ import annotations

from refrain.schemas.documents import TenantUse
from refrain.schemas.policy_limits import TenantLimits

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
UNUSED = TenantUse()


class Tenants:
    """Use of a shard by tenant: rates of questions and of new entries, and the namespaces that hold any."""

    def __init__(self) -> None:
        self._uses: dict[str, TenantUse] = {}
        self._namespaces: dict[str, dict[bytes, int]] = {}

    def use(self, tenant: str, use: TenantUse) -> None:
        """Set what a tenant has used."""
        self._uses[tenant] = use

    def forget(self, tenant: str) -> None:
        """Drop what a tenant has used: it is too long ago to count."""
        self._uses.pop(tenant, None)

    def enter(self, tenant: str, namespace: bytes) -> None:
        """Count an entry into the tenant's namespaces."""
        namespaces = self._namespaces.setdefault(tenant, {})
        namespaces[namespace] = namespaces.get(namespace, 0) + 1

    def leave(self, tenant: str, namespace: bytes) -> None:
        """Count an entry out of the tenant's namespaces."""
        namespaces = self._namespaces[tenant]
        namespaces[namespace] -= 1
        if not namespaces[namespace]:
            del namespaces[namespace]
            if not namespaces:
                del self._namespaces[tenant]

    def may_enter(self, tenant: str, namespace: bytes, limits: TenantLimits) -> bool:
        """Whether an entry of the tenant may be in the namespace: it has some there, or may open another."""
        own = self._namespaces.get(tenant, {})
        return limits.namespaces is None or namespace in own or len(own) < limits.namespaces

    def after_question(self, tenant: str, limits: TenantLimits, time_ms: int) -> TenantUse | None:
        """The use after one more question at that time, None when there are too many."""
        before = self._uses.get(tenant, UNUSED)
        if limits.requests_per_s is None:
            return before
        interval_us = max(1, round(SECOND_US / limits.requests_per_s))
        due_us = _due_after(before.question_due_us, interval_us, SECOND_US, time_ms)
        return None if due_us is None else before.model_copy(update={"question_due_us": due_us})

    def after_entry(self, tenant: str, limits: TenantLimits, time_ms: int) -> TenantUse | None:
        """The use after one more new entry at that time, None when there are too many."""
        before = self._uses.get(tenant, UNUSED)
        if limits.entries_per_minute is None:
            return before
        interval_us = MINUTE_US // limits.entries_per_minute
        due_us = _due_after(before.entry_due_us, interval_us, MINUTE_US, time_ms)
        return None if due_us is None else before.model_copy(update={"entry_due_us": due_us})

    def idle(self, time_ms: int, most: int) -> list[str]:
        """Tenants whose use does not count any more at that time, at most so many, by name."""
        now_us = time_ms * 1_000
        return sorted(
            tenant for tenant, use in self._uses.items() if max(use.question_due_us, use.entry_due_us) <= now_us
        )[:most]


def _due_after(due_us: int, interval_us: int, window_us: int, time_ms: int) -> int | None:
    """When the use after this one is due (us), None when this one comes too early."""
    now_us = time_ms * 1_000
    after_us = max(due_us, now_us) + interval_us
    return after_us if after_us - now_us <= max(window_us, interval_us) else None
