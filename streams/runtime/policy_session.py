"""The policy session of a processor: the policy it acts by, and its acknowledgements in `acknowledgements`.

A policy is adopted before a batch, checked before the outcome of the batch is sent, and acknowledged when all that
was produced under earlier ones is acknowledged by the broker. A worker that was stopped in between, was taken for dead
and wakes does not send what it made of an old policy: its lease on it has run out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.control import PolicyInForce
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import LeasedPolicy, PolicyFollower, lease_s_of

TOPIC = "acknowledgements"


class PolicySession:
    """The policy that one worker acts by, batch by batch.

    `policy` changes only when a method is called, never while a batch is processed.
    """

    def __init__(
        self, processor: str, policies: PolicyFollower, now_ms: Callable[[], int], route_keys: Sequence[str] = ()
    ) -> None:
        """`route_keys` are the ids of the keys by which this worker signs or verifies routes."""
        self._processor = processor
        self._route_keys = tuple(route_keys)
        self._policies = policies
        self._now_ms = now_ms
        self._leased: LeasedPolicy = policies.last
        self._member = ""
        self._acknowledged: tuple[str, int] | None = None

    @property
    def policy(self) -> PolicyInForce | None:
        """The policy to act by now; None before the first."""
        return self._leased.policy

    def adopt(self) -> PolicyInForce | None:
        """Adopt the policy seen last. Call it before a poll, when all that was produced is acknowledged."""
        self._leased = self._policies.last
        return self.policy

    def acknowledgements(self, member: str) -> list[Outgoing]:
        """The acknowledgement of the policy when `member`, its id in the group, has not acknowledged it yet."""
        policy = self.policy
        if policy is None or not member or self._acknowledged == (member, policy.version):
            return []
        self._acknowledged = (member, policy.version)
        return [acknowledgement(self._processor, member, policy.version, self._now_ms(), self._route_keys)]

    def refresh(self, member: str) -> None:
        """Adopt the policy in force for a batch. Raises ClusterFailed when it cannot be known.

        A new member reads `policies` anew: before it was one, nobody waited for it to acknowledge anything.
        """
        self._leased = self._policies.leased() if member == self._member else self._policies.read()
        self._member = member

    def still_in_force(self) -> bool:
        """Whether the outcome of the batch may be sent; if not, another policy was adopted: process it again."""
        before = self._leased
        if self._policies.lease_runs(before):
            return True
        self._leased = self._policies.leased()
        return self._leased.policy is before.policy


@contextmanager
def policy_session(processor: str, context: WorkerContext, route_keys: Sequence[str] = ()) -> Iterator[PolicySession]:
    """A policy session of a worker: the policy is read on entry and followed until exit.

    Its acknowledgements tell `route_keys`, the ids of the worker's keys of routes, so that others can compare them.
    Raises WrongSetup for a missing topic, ClusterFailed when the broker does not say.
    """
    lease_s = lease_s_of(context.settings)
    with PolicyFollower(context.cluster, context.metrics, processor, lease_s=lease_s) as policies:
        yield PolicySession(processor, policies, context.now_ms, route_keys)


def acknowledgement(processor: str, worker: str, version: int, at_ms: int, route_keys: Sequence[str] = ()) -> Outgoing:
    """The acknowledgement of a policy version by a worker, as a record."""
    said = Acknowledgement(
        processor=processor, worker=worker, version=version, at_ms=at_ms, route_keys=tuple(route_keys)
    )
    return Outgoing(TOPIC, f"{processor}/{worker}".encode(), said.encode())
