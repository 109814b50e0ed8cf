"""Which requests pass by the cache, and what becomes of one that does: a forward, or an error for its requester."""

from __future__ import annotations

from refrain.schemas.control import PolicyInForce
from refrain.schemas.decisions import Reason
from refrain.schemas.policy_limits import Limits
from refrain.schemas.requests import CacheMode
from refrain.streams.classify.attempts import Passage
from refrain.streams.classify.bypass import Bypass
from refrain.streams.classify.origins import Origins
from refrain.streams.classify.pending import PendingRequest
from refrain.streams.classify.record_size import bounded
from refrain.streams.classify.rejection import NAME
from refrain.streams.errors import RefusalCode
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.responses import NOT_IN_TIME
from refrain.streams.metrics import Metrics


def early_reason(item: PendingRequest, *, has_policy: bool) -> Reason | None:
    """Why a request passes by the cache, as far as it is known without a vector; None when it does not."""
    request, match = item.request, item.match
    if request.deadline_at_ms is not None and request.deadline_at_ms <= item.record.timestamp_ms:
        return Reason.DEADLINE_PASSED
    if match is not None and match.never:
        return Reason.CATEGORY_NEVER
    if request.cache is CacheMode.BYPASS:
        return Reason.BYPASS_ASKED
    if not has_policy:
        return Reason.NO_POLICY
    return Reason.CATEGORY_UNKNOWN if match is not None and match.terms is None else None


class PassingBy:
    """Makes the records of requests that pass by the cache."""

    def __init__(self, origins: Origins, metrics: Metrics) -> None:
        self._origins = origins
        self._metrics = metrics

    def records_of(self, item: PendingRequest, passage: Passage, policy: PolicyInForce | None) -> list[Outgoing]:
        """The records of one request; `policy` is the one in force now. Raises Refusal for one that is too large."""
        reason = passage.reason
        bypass = Bypass(
            id=self._origins.id_of(item.record),
            origin=self._origins.origin_of(item.record),
            request=item.request,
            reply=item.reply,
            asked_at_ms=item.record.timestamp_ms,
            category=passage.category,
            reason=reason,
            policy_version=passage.policy_version,
        )
        if reason is Reason.DEADLINE_PASSED:
            self._metrics.refused.labels(NAME, RefusalCode.DEADLINE.value).inc()
            text = (
                "the deadline was over when the request arrived, by the broker's clock: is the one that set it right?"
            )
            return bypass.refuse(RefusalCode.DEADLINE, text)
        if item.request.cache is CacheMode.ONLY:
            not_kept = "answers to this question are not kept: ask without `only`"
            in_time = reason not in (Reason.OVERLOAD, Reason.READ_AGAIN)
            return bypass.refuse(RefusalCode.NOT_CACHED, not_kept if in_time else NOT_IN_TIME)
        return bounded(bypass.forward(Limits() if policy is None else policy.policy.limits))
