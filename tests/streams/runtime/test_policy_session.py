"""A worker says by which policy it acts, once for each and each time it joins, and sends nothing made by an old one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.errors import DeliveryExpired, Unanswered
from refrain.streams.kafka.interface import Outgoing, Producer, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.outages import Outages
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import LEASE_S, PolicyFollower
from refrain.streams.runtime.policy_session import PolicySession
from refrain.streams.runtime.stateless import Step, run_stateless
from refrain.streams.settings import Settings

NOW_MS = 12


class World:
    """A log with a policy topic, a clock, and a processor that acts by the policy."""

    def __init__(self, cluster: MemoryCluster | None = None, hold_s: float = math.inf) -> None:
        self.now_s = 0.0
        self.sleep = self.pass_s
        self.cluster = cluster or MemoryCluster(lambda: NOW_MS)
        self.policies = PolicyFollower(self.cluster, Metrics(), "p", clock=lambda: self.now_s)
        self.publish(1)
        self.policies.read()
        self.outages = Outages(
            lambda: self.stopped, clock=lambda: self.now_s, sleep=lambda seconds: self.sleep(seconds)
        )
        self.session = PolicySession("p", self.policies, lambda: NOW_MS, outages=self.outages, hold_s=hold_s)
        self.stopped = False

    def stop(self, stopped: bool) -> None:
        self.stopped = stopped

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds

    def publish(self, version: int) -> None:
        policy = PolicyInForce(version=version, who="w", at_ms=0, policy=Policy(categories={"code": CategoryPolicy()}))
        self.cluster.append([Outgoing("policies", POLICY_KEY, policy.encode())])

    def version(self) -> int:
        policy = self.session.policy
        assert policy is not None
        return policy.version

    def acknowledged(self, member: str) -> list[Outgoing]:
        """What is sent before a poll."""
        self.session.adopt()
        return self.session.acknowledgements(member)

    def run(self, step: Step, rounds: int, producer: Producer | None = None) -> None:
        """Run the processor for so many rounds of its main loop."""
        left = iter(range(rounds + 1))
        context = WorkerContext(
            Settings(),
            self.cluster,
            Metrics(),
            stop=lambda: next(left) == rounds,
            ready=lambda: None,
            now_ms=lambda: NOW_MS,
            outages=self.outages,
        )
        consumer, producer = self.cluster.consumer("requests", "p"), producer or self.cluster.producer()
        run_stateless("p", consumer, producer, step, context, batch_max=10, session=self.session)


class Telling(Step):
    """Answers with the version of the policy that it follows. `before` is called first, with the batches so far."""

    def __init__(self, before: Callable[[int], None] = lambda batches: None) -> None:
        self.before = before
        self.version = 0
        self.made: list[int] = []
        self.acknowledged = 0

    def follow(self, policy: PolicyInForce | None) -> None:
        self.version = 0 if policy is None else policy.version

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        self.made.append(self.version)
        self.before(len(self.made))
        return [Outgoing("responses", b"k", str(self.version).encode())]

    def sent(self) -> None:
        self.acknowledged += 1


class Hooked:
    """A producer that calls `before` and `after` with what is sent."""

    def __init__(
        self,
        inner: Producer,
        before: Callable[[Sequence[Outgoing]], None] = lambda records: None,
        after: Callable[[Sequence[Outgoing]], None] = lambda records: None,
    ) -> None:
        self._inner, self._before, self._after = inner, before, after

    def send(self, records: Sequence[Outgoing]) -> None:
        self._before(records)
        self._inner.send(records)
        self._after(records)

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        self.send(records)

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def world() -> World:
    return World()


def said(out: Sequence[Outgoing]) -> list[tuple[bytes | None, int]]:
    return [(one.key, Acknowledgement.decode(one.value or b"").version) for one in out]


def test_a_policy_is_acknowledged_once_and_by_the_member_that_acts_by_it(world: World) -> None:
    (out,) = world.acknowledged("me")
    assert (out.topic, out.key) == ("acknowledgements", b"p/me")
    assert Acknowledgement.decode(out.value or b"") == Acknowledgement(
        processor="p", worker="me", version=1, at_ms=NOW_MS
    )
    assert world.acknowledged("me") == []
    world.publish(2)
    world.policies.read()
    assert said(world.acknowledged("me")) == [(b"p/me", 2)]
    assert said(world.acknowledged("me again")) == [(b"p/me again", 2)]


def test_who_is_no_member_acknowledges_nothing_and_does_so_when_it_is(world: World) -> None:
    assert world.acknowledged("") == []
    assert said(world.acknowledged("me")) == [(b"p/me", 1)]


def test_without_a_policy_nothing_is_acknowledged() -> None:
    cluster = MemoryCluster(lambda: 0)
    follower = PolicyFollower(cluster, Metrics(), "p")
    follower.read()
    session = PolicySession("p", follower, lambda: 0)
    assert session.adopt() is None
    assert session.acknowledgements("me") == []
    session.refresh("me")
    assert session.policy is None
    assert session.still_in_force()


def test_the_policy_does_not_change_while_a_batch_is_worked_on(world: World) -> None:
    world.session.refresh("me")
    world.publish(2)
    world.policies.read()
    assert world.version() == 1
    assert world.session.still_in_force()
    world.session.refresh("me")
    assert world.version() == 2


def test_an_outcome_older_than_the_lease_is_sent_when_the_policy_is_still_the_same(world: World) -> None:
    world.session.refresh("me")
    world.now_s += LEASE_S
    assert world.session.still_in_force()


def test_an_outcome_older_than_the_lease_is_not_sent_when_the_policy_changed(world: World) -> None:
    world.session.refresh("me")
    world.publish(2)
    world.now_s += LEASE_S
    # Whichever thread looks first after the worker wakes.
    world.policies.read()
    assert not world.session.still_in_force()
    assert world.version() == 2
    assert world.session.still_in_force()


def test_a_new_member_looks_anew_before_its_first_batch(world: World) -> None:
    world.publish(2)
    world.session.refresh("me")
    assert world.version() == 2
    world.publish(3)
    world.session.refresh("me")
    assert world.version() == 2
    world.session.refresh("me again")
    assert world.version() == 3


def test_what_was_made_of_an_old_policy_is_made_again(world: World) -> None:
    world.cluster.append([Outgoing("requests", b"k", b"x")])

    def outlived(batches: int) -> None:
        if batches == 1:
            world.publish(2)
            world.now_s += LEASE_S

    step = Telling(outlived)
    world.run(step, rounds=2)
    assert step.made == [1, 2]
    assert step.acknowledged == 1
    assert [record.value for record in world.cluster.records("responses")] == [b"2"]
    assert [record.key for record in world.cluster.records("acknowledgements")] == [b"p/p-1"]


def test_an_acknowledgement_follows_what_was_made_before(world: World) -> None:
    world.cluster.append([Outgoing("requests", b"k", b"x")])
    order: list[str] = []

    def note(records: Sequence[Outgoing]) -> None:
        order.extend(f"{one.topic} {Acknowledgement.decode(one.value or b'').version}"
                     if one.topic == "acknowledgements" else f"{one.topic} {(one.value or b'').decode()}"
                     for one in records)  # fmt: skip

    def changed(batches: int) -> None:
        world.publish(2)
        world.policies.read()

    world.run(Telling(changed), rounds=4, producer=Hooked(world.cluster.producer(), after=note))
    assert order == ["responses 1", "acknowledgements 2"]


def test_what_lapsed_on_its_way_is_made_again_by_the_policy_of_then(world: World) -> None:
    world.cluster.append([Outgoing("requests", b"k", b"x")])
    expiries = iter([True])

    def expire(records: Sequence[Outgoing]) -> None:
        if any(record.topic == "responses" for record in records) and next(expiries, False):
            world.publish(2)
            world.now_s += LEASE_S
            raise DeliveryExpired("not written in time")

    step = Telling()
    world.run(step, rounds=2, producer=Hooked(world.cluster.producer(), before=expire))
    assert [record.value for record in world.cluster.records("responses")] == [b"2"]
    assert step.acknowledged == 1, "what expired was not sent"


def test_an_acknowledgement_that_lapsed_is_sent_again(world: World) -> None:
    expiries = iter([True])

    def expire(records: Sequence[Outgoing]) -> None:
        if len(records) > 0 and next(expiries, False):
            raise DeliveryExpired("not written in time")

    world.run(Telling(), rounds=3, producer=Hooked(world.cluster.producer(), before=expire))
    assert [record.value is not None for record in world.cluster.records("acknowledgements")] == [True]


def test_what_lapses_again_and_again_is_made_again_until_the_worker_is_to_stop(world: World) -> None:
    world.cluster.append([Outgoing("requests", b"k", b"x")])

    def expire(records: Sequence[Outgoing]) -> None:
        if any(record.topic == "responses" for record in records):
            raise DeliveryExpired("not written in time")

    step = Telling(lambda batches: world.stop(batches >= 30))
    with pytest.raises(DeliveryExpired):
        world.run(step, rounds=9, producer=Hooked(world.cluster.producer(), before=expire))
    assert len(step.made) == 30
    assert step.acknowledged == 0
    assert not world.cluster.records("responses")


class Unreadable(MemoryCluster):
    """A cluster in memory whose topic of policies nobody can read while it is `away`."""

    away = False

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        if self.away:
            raise Unanswered("the leader of policies is away")
        return super().ends(topic)


def world_that_holds(hold_s: float, back_at_s: float) -> World:
    """A world whose policies can be read again from `back_at_s` on."""
    world = World(Unreadable(lambda: NOW_MS), hold_s)
    cluster = world.cluster
    assert isinstance(cluster, Unreadable)
    cluster.away = True
    passes = world.pass_s

    def pass_s(seconds: float) -> None:
        passes(seconds)
        cluster.away = world.now_s < back_at_s

    world.sleep = pass_s
    return world


def test_questions_are_held_until_the_policy_can_be_read_again() -> None:
    world = world_that_holds(hold_s=1_000, back_at_s=90)
    world.publish(2)
    world.now_s += LEASE_S
    world.session.refresh("me")
    assert world.version() == 2
    assert 90 <= world.now_s < 95


def test_questions_pass_through_without_a_policy_when_they_were_held_for_long_enough() -> None:
    world = world_that_holds(hold_s=10, back_at_s=90)
    world.now_s += LEASE_S
    world.session.refresh("me")
    assert world.session.policy is None
    assert world.now_s == pytest.approx(LEASE_S + 10)
    assert world.session.still_in_force(), "it is no policy that could change"
    before_s = world.now_s
    world.session.refresh("me")
    world.session.adopt()
    assert world.session.policy is None
    assert world.now_s == before_s, "the next ones are not held again"
    assert world.session.acknowledgements("me") == [], "what is not known is not acknowledged"


def test_the_policy_is_acted_by_again_when_somebody_has_read_it() -> None:
    world = world_that_holds(hold_s=10, back_at_s=90)
    world.session.refresh("me")
    world.now_s += LEASE_S
    world.session.refresh("me")
    assert world.session.policy is None
    world.sleep(100)
    world.publish(2)
    world.policies.read()
    assert world.session.adopt() is not None
    world.session.refresh("me")
    assert world.version() == 2


def test_what_was_made_by_a_policy_that_cannot_be_looked_up_is_made_again_without_one() -> None:
    world = world_that_holds(hold_s=10, back_at_s=10**9)
    world.cluster.append([Outgoing("requests", b"k", b"x")])

    def outlived(batches: int) -> None:
        if batches == 1:
            world.now_s += LEASE_S

    cluster = world.cluster
    assert isinstance(cluster, Unreadable)
    cluster.away = False
    world.session.refresh("p-1")
    cluster.away = True
    step = Telling(outlived)
    world.run(step, rounds=2)
    assert [record.value for record in world.cluster.records("responses")] == [b"0"]


def test_a_worker_that_is_to_stop_holds_nothing_any_longer() -> None:
    world = world_that_holds(hold_s=10**9, back_at_s=10**9)
    world.now_s += LEASE_S
    passes = world.sleep

    def pass_s(seconds: float) -> None:
        passes(seconds)
        world.stop(world.now_s > 50)

    world.sleep = pass_s
    with pytest.raises(Unanswered):
        world.session.refresh("me")
    assert world.now_s < 51


def test_what_must_not_be_made_without_a_policy_waits_for_ever() -> None:
    world = world_that_holds(hold_s=10, back_at_s=90)
    world.now_s += LEASE_S
    world.session.refresh("me")
    assert world.session.policy is None
    world.session.refresh("me", for_ever=True)
    assert world.version() == 1
    assert world.now_s >= 90
