"""Bypasses the cache: a request becomes a forward with a direct route, and a decision without text."""

from __future__ import annotations

from typing import NamedTuple

from refrain.schemas.base import Reply
from refrain.schemas.decisions import Reason
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Origin, Passed
from refrain.schemas.policy_limits import Limits
from refrain.schemas.requests import Request
from refrain.schemas.responses import DecisionSummary, Outcome
from refrain.streams.errors import RefusalCode
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging import progress
from refrain.streams.messaging.forwards import deadline_at_ms, unstreamed
from refrain.streams.messaging.responses import error_for, respond
from refrain.streams.messaging.routes import DirectRoute, encode_route


class Bypass(NamedTuple):
    """A request that bypasses the cache, and why."""

    id: str
    origin: Origin
    request: Request
    reply: Reply
    asked_at_ms: int
    category: str | None
    reason: Reason
    policy_version: int | None

    def forward(self, limits: Limits) -> list[Outgoing]:
        """Forward the request to the model; the answer goes straight to the requester."""
        request = self.request
        forward = Forward(
            forward_id=self.id,
            model=request.body["model"],
            body=unstreamed(request.body),
            deadline_at_ms=deadline_at_ms(self.asked_at_ms, request.deadline_at_ms, limits),
            route=encode_route(
                DirectRoute(
                    forward_id=self.id,
                    request_id=request.request_id,
                    tenant=request.tenant,
                    reply=self.reply,
                    decision=self._summary(),
                    asked_at_ms=self.asked_at_ms,
                )
            ),
            progress=progress.place_of(self.reply),
        )
        return [
            *progress.decided(self.reply, Outcome.BYPASS, self._summary()),
            Outgoing("forwards", self.id.encode(), forward.encode()),
            self._passed_event(Outcome.BYPASS),
        ]

    def refuse(self, code: RefusalCode, message: str) -> list[Outgoing]:
        """Answer the requester with an error; no model is called."""
        response = error_for(self.request, code.value, message, self._summary())
        return [respond(self.reply, response), self._passed_event(Outcome.ERROR)]

    def _summary(self) -> DecisionSummary:
        return DecisionSummary(
            id=self.id, category=self.category, policy_version=self.policy_version, reason=self.reason.value
        )

    def _passed_event(self, outcome: Outcome) -> Outgoing:
        passed = Passed(
            id=self.id,
            origin=self.origin,
            request_id=self.request.request_id,
            tenant=self.request.tenant,
            category=self.category,
            model=self.request.body["model"],
            reason=self.reason.value,
            policy_version=self.policy_version,
            outcome=outcome,
        )
        return Outgoing("journal", f"{passed.tenant}/{passed.category or '-'}/0".encode(), passed.encode())
