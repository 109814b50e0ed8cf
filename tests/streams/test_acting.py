"""A worker says by which policy it acts, once for each and each time it joins, and sends nothing made by an old one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.acknowledgements import Acknowledgement
from schemas.control import POLICY_KEY, PolicyInForce
from schemas.policy import CategoryPolicy, Policy
from streams.acting import Acting
from streams.errors import Lapsed
from streams.in_force import LEASE_S, PolicyFollower
from streams.log import Outgoing, Record
from streams.memory_log import MemoryLog
from streams.metrics import Metrics
from streams.stateless import ATTEMPTS_MAX, run_stateless

NOW_MS = 12


class World:
    """A log with a policy topic, a clock, and a processor that acts by the policy."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.log = MemoryLog(lambda: NOW_MS)
        self.policies = PolicyFollower(self.log, Metrics(), "p", clock=lambda: self.now_s)
        self.publish(1)
        self.policies.read()
        self.betweens = 0
        self.acting = Acting("p", self.policies, lambda: NOW_MS, self.between)

    def between(self) -> None:
        self.betweens += 1

    def publish(self, version: int) -> None:
        policy = PolicyInForce(version=version, who="w", at_ms=0, policy=Policy(categories={"code": CategoryPolicy()}))
        self.log.append([Outgoing("policies", POLICY_KEY, policy.encode())])

    def version(self) -> int:
        policy = self.acting.policy()
        assert policy is not None
        return policy.version


@pytest.fixture
def world() -> World:
    return World()


def said(out: Sequence[Outgoing]) -> list[tuple[bytes | None, int]]:
    return [(one.key, Acknowledgement.decode(one.value or b"").version) for one in out]


def test_a_policy_is_acknowledged_once_and_by_the_member_that_acts_by_it(world: World) -> None:
    (out,) = world.acting.between("me")
    assert (out.topic, out.key) == ("acknowledgements", b"p/me")
    assert Acknowledgement.decode(out.value or b"") == Acknowledgement(
        processor="p", worker="me", version=1, at_ms=NOW_MS
    )
    assert world.acting.between("me") == []
    world.publish(2)
    world.policies.read()
    assert said(world.acting.between("me")) == [(b"p/me", 2)]
    assert said(world.acting.between("me again")) == [(b"p/me again", 2)]
    assert world.betweens == 4


def test_who_is_no_member_acknowledges_nothing_and_does_so_when_it_is(world: World) -> None:
    assert world.acting.between("") == []
    assert said(world.acting.between("me")) == [(b"p/me", 1)]


def test_without_a_policy_nothing_is_acknowledged() -> None:
    log = MemoryLog(lambda: 0)
    follower = PolicyFollower(log, Metrics(), "p")
    follower.read()
    acting = Acting("p", follower, lambda: 0)
    assert acting.between("me") == []
    acting.begin("me")
    assert acting.policy() is None
    assert acting.holds()


def test_the_policy_does_not_change_while_a_batch_is_worked_on(world: World) -> None:
    world.acting.begin("me")
    world.publish(2)
    world.policies.read()
    assert world.version() == 1
    assert world.acting.holds()
    world.acting.begin("me")
    assert world.version() == 2


def test_an_outcome_older_than_the_lease_is_sent_when_the_policy_is_still_the_same(world: World) -> None:
    world.acting.begin("me")
    world.now_s += LEASE_S
    assert world.acting.holds()


def test_an_outcome_older_than_the_lease_is_not_sent_when_the_policy_changed(world: World) -> None:
    world.acting.begin("me")
    world.publish(2)
    world.now_s += LEASE_S
    # Whichever thread looks first after the worker wakes.
    world.policies.read()
    assert not world.acting.holds()
    assert world.version() == 2
    assert world.acting.holds()


def test_a_new_member_looks_anew_before_its_first_batch(world: World) -> None:
    world.publish(2)
    world.acting.begin("me")
    assert world.version() == 2
    world.publish(3)
    world.acting.begin("me")
    assert world.version() == 2
    world.acting.begin("me again")
    assert world.version() == 3


def test_what_was_made_of_an_old_policy_is_made_again(world: World) -> None:
    world.log.append([Outgoing("requests", b"k", b"x")])
    made: list[int] = []

    def step(batch: Sequence[Record]) -> list[Outgoing]:
        made.append(world.version())
        if len(made) == 1:
            world.publish(2)
            world.now_s += LEASE_S
        return [Outgoing("responses", b"k", str(world.version()).encode())]

    rounds = iter(range(3))
    run_stateless(
        "p",
        world.log.reader("requests", "p"),
        world.log.writer(),
        step,
        Metrics(),
        batch_max=10,
        stop=lambda: next(rounds) == 2,
        policed=world.acting,
    )
    assert made == [1, 2]
    assert [record.value for record in world.log.records("responses")] == [b"2"]
    assert [record.key for record in world.log.records("acknowledgements")] == [b"p/p-1"]


def test_an_acknowledgement_follows_what_was_made_before(world: World) -> None:
    world.log.append([Outgoing("requests", b"k", b"x")])
    order: list[str] = []
    writer = world.log.writer()
    send = writer.send

    def watched(records: Sequence[Outgoing]) -> None:
        send(records)
        order.extend(f"{one.topic} {Acknowledgement.decode(one.value or b'').version}"
                     if one.topic == "acknowledgements" else f"{one.topic} {(one.value or b'').decode()}"
                     for one in records)  # fmt: skip

    def step(batch: Sequence[Record]) -> list[Outgoing]:
        made = str(world.version()).encode()
        world.publish(2)
        world.policies.read()
        return [Outgoing("responses", b"k", made)]

    writer.send = watched  # type: ignore[method-assign]
    rounds = iter(range(5))
    run_stateless(
        "p",
        world.log.reader("requests", "p"),
        writer,
        step,
        Metrics(),
        batch_max=10,
        stop=lambda: next(rounds) == 4,
        policed=world.acting,
    )
    assert order == ["responses 1", "acknowledgements 2"]


def test_what_lapsed_on_its_way_is_made_again_by_the_policy_of_then(world: World) -> None:
    world.log.append([Outgoing("requests", b"k", b"x")])
    writer = world.log.writer()
    send = writer.send
    lapses = iter([True])

    def lapsing(records: Sequence[Outgoing]) -> None:
        if any(record.topic == "responses" for record in records) and next(lapses, False):
            world.publish(2)
            world.now_s += LEASE_S
            raise Lapsed("not written in time")
        send(records)

    writer.send = lapsing  # type: ignore[method-assign]
    rounds = iter(range(3))
    run_stateless(
        "p",
        world.log.reader("requests", "p"),
        writer,
        lambda batch: [Outgoing("responses", b"k", str(world.version()).encode())],
        Metrics(),
        batch_max=10,
        stop=lambda: next(rounds) == 2,
        policed=world.acting,
    )
    assert [record.value for record in world.log.records("responses")] == [b"2"]


def test_an_acknowledgement_that_lapsed_is_sent_again(world: World) -> None:
    writer = world.log.writer()
    send = writer.send
    lapses = iter([True])

    def lapsing(records: Sequence[Outgoing]) -> None:
        if next(lapses, False):
            raise Lapsed("not written in time")
        send(records)

    writer.send = lapsing  # type: ignore[method-assign]
    rounds = iter(range(4))
    run_stateless(
        "p",
        world.log.reader("requests", "p"),
        writer,
        lambda batch: [],
        Metrics(),
        batch_max=10,
        stop=lambda: next(rounds) == 3,
        policed=world.acting,
    )
    assert [record.value is not None for record in world.log.records("acknowledgements")] == [True]


def test_what_lapses_again_and_again_stops_the_worker(world: World) -> None:
    world.log.append([Outgoing("requests", b"k", b"x")])
    made: list[int] = []
    writer = world.log.writer()

    def lapsing(records: Sequence[Outgoing]) -> None:
        if records:
            raise Lapsed("not written in time")

    def step(batch: Sequence[Record]) -> list[Outgoing]:
        made.append(world.version())
        return [Outgoing("responses", b"k", b"x")]

    writer.send = lapsing  # type: ignore[method-assign]
    reader = world.log.reader("requests", "p")
    with pytest.raises(Lapsed):
        run_stateless("p", reader, writer, step, Metrics(), batch_max=10, stop=lambda: False)
    assert len(made) == ATTEMPTS_MAX
