"""The policy session of a processor: the policy it acts by, and its acknowledgements in `acknowledgements`.

A policy is adopted before a batch, checked before the outcome of the batch is sent, and acknowledged when all that
was produced under earlier ones is acknowledged by the broker. A worker that was stopped in between, was taken for dead
and wakes does not send what it made of an old policy: its lease on it has run out.

When a lease has run out and the policy cannot be read, questions are held until it can, or passed through after a time:
without a policy nothing is looked up and nothing is kept, whatever the policy is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.control import PolicyInForce
from refrain.streams.errors import Unanswered
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.outages import Outages, pauses
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import LeasedPolicy, PolicyFollower, lease_s_of

TOPIC = "acknowledgements"
NOT_KNOWN = LeasedPolicy(None, math.inf)
"""No policy, for as long as none can be read: so everything passes through."""


class PolicySession:
    """The policy that one worker acts by, batch by batch.

    `policy` changes only when a method is called, never while a batch is processed. A policy that cannot be read is
    waited for `hold_s` (seconds); then there is none, until it can be read.
    """

    def __init__(
        self,
        processor: str,
        policies: PolicyFollower,
        now_ms: Callable[[], int],
        route_keys: Sequence[str] = (),
        *,
        outages: Outages | None = None,
        hold_s: float = math.inf,
    ) -> None:
        """`route_keys` are the ids of the keys by which this worker signs or verifies routes."""
        self._processor = processor
        self._route_keys = tuple(route_keys)
        self._policies = policies
        self._now_ms = now_ms
        self._outages = outages or Outages()
        self._hold_s = hold_s
        self._leased: LeasedPolicy = policies.last
        self._member = ""
        self._acknowledged: tuple[str, int] | None = None

    @property
    def policy(self) -> PolicyInForce | None:
        """The policy to act by now; None before the first."""
        return self._leased.policy

    def adopt(self) -> PolicyInForce | None:
        """Adopt the policy seen last. Call it before a poll, when all that was produced is acknowledged."""
        if not self._is_away():
            self._leased = self._policies.last
        return self.policy

    def acknowledgements(self, member: str) -> list[Outgoing]:
        """The acknowledgement of the policy when `member`, its id in the group, has not acknowledged it yet."""
        policy = self.policy
        if policy is None or not member or self._acknowledged == (member, policy.version):
            return []
        self._acknowledged = (member, policy.version)
        return [acknowledgement(self._processor, member, policy.version, self._now_ms(), self._route_keys)]

    def refresh(self, member: str, *, for_ever: bool = False) -> None:
        """Adopt the policy in force for a batch. Raises Unanswered when the worker is to stop before it is known.

        A new member reads `policies` anew: before it was one, nobody waited for it to acknowledge anything. A batch
        that must not be made without a policy waits `for_ever`.
        """
        if self._is_away() and not for_ever:
            return
        read = self._policies.leased if member == self._member else self._policies.read
        self._leased = self._held(read, math.inf if for_ever else self._hold_s)
        if self._leased is not NOT_KNOWN:
            self._member = member

    def still_in_force(self, *, for_ever: bool = False) -> bool:
        """Whether the outcome of the batch may be sent; if not, another policy was adopted: process it again."""
        before = self._leased
        if self._policies.lease_runs(before):
            return True
        self._leased = self._held(self._policies.leased, math.inf if for_ever else self._hold_s)
        return self._leased.policy is before.policy

    def _is_away(self) -> bool:
        """Whether the policy is not known and nobody has read it since: reading it takes time until it fails."""
        return self._leased is NOT_KNOWN and not self._policies.lease_runs(self._policies.last)

    def _held(self, read: Callable[[], LeasedPolicy], hold_s: float) -> LeasedPolicy:
        """The policy, read again until it can be; `NOT_KNOWN` when it was waited for long enough."""
        with self._outages.waiting("the policy in force") as wait:
            pause = pauses()
            while True:
                try:
                    return read()
                except Unanswered as problem:
                    wait.failed(problem)
                    if wait.lasted_s >= hold_s:
                        return NOT_KNOWN
                    if wait.is_over():
                        raise
                self._outages.pause(min(next(pause), max(0.0, hold_s - wait.lasted_s)))


@contextmanager
def policy_session(processor: str, context: WorkerContext, route_keys: Sequence[str] = ()) -> Iterator[PolicySession]:
    """A policy session of a worker: the policy is read on entry and followed until exit.

    Its acknowledgements tell `route_keys`, the ids of the worker's keys of routes, so that others can compare them.
    Raises WrongSetup for a missing topic.
    """
    with policy_sessions(processor, context, 1, route_keys) as sessions:
        yield sessions[0]


@contextmanager
def policy_sessions(
    processor: str, context: WorkerContext, count: int, route_keys: Sequence[str] = (), *, hold_s: float = math.inf
) -> Iterator[list[PolicySession]]:
    """`count` policy sessions of a worker, for several members of its group; as `policy_session` otherwise.

    A policy that cannot be read later is waited for `hold_s` (seconds).
    """
    lease_s, outages = lease_s_of(context.settings), context.outages
    with PolicyFollower(context.cluster, context.metrics, processor, lease_s=lease_s, outages=outages) as policies:
        yield [
            PolicySession(processor, policies, context.now_ms, route_keys, outages=outages, hold_s=hold_s)
            for _ in range(count)
        ]


def acknowledgement(processor: str, worker: str, version: int, at_ms: int, route_keys: Sequence[str] = ()) -> Outgoing:
    """The acknowledgement of a policy version by a worker, as a record."""
    said = Acknowledgement(
        processor=processor, worker=worker, version=version, at_ms=at_ms, route_keys=tuple(route_keys)
    )
    return Outgoing(TOPIC, f"{processor}/{worker}".encode(), said.encode())
