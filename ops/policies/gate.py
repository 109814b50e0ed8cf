"""The gate before a policy is put in force: bounds that it has to keep on recorded traffic.

What folds recorded traffic stands above the policies and is set here, so that `policies apply` needs not know it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from refrain.schemas.policy import Policy
    from refrain.streams.settings import Settings


class Limits(NamedTuple):
    """What a policy may cost at most; None: as much as it does."""

    lost_hits: str | None = None
    """Recorded hits that it loses: a share (`5%`) or a count."""
    judged_wrong: int | None = None
    """Hits that it serves and that were judged wrong."""


Check = Callable[["Settings", "Policy", Limits], None]
"""Raises CommandRefused, with the figures, for a policy that breaks the limits."""

_CHECKS: list[Check] = []


def set_check(check: Check) -> None:
    """Set what checks a policy on recorded traffic."""
    _CHECKS[:] = [check]


def check_on_recorded(settings: Settings, policy: Policy, limits: Limits) -> None:
    """Check a policy on recorded traffic. Raises CommandRefused with the figures where it breaks the limits."""
    for check in _CHECKS:
        check(settings, policy, limits)
