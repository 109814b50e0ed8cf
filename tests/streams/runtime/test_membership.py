"""A worker that stood still sends nothing of what may have another owner by now, and leaves nothing out."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from refrain.streams.errors import Rebalanced, Unanswered
from refrain.streams.kafka.interface import OffsetAndMetadata, Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.outages import Outages
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.membership import Membership
from refrain.streams.runtime.stateless import Step, run_stateless
from refrain.streams.settings import Settings

SESSION_S = 10.0
RECORDS = 20


class Group:
    """A member of a group, by a clock of its own: who stands still for a session is a member no more."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.now_s = 0.0
        self.member = "a"
        self.out = False
        """Whether the coordinator has taken this member for dead."""
        self.asked = 0
        self.silent = 0
        """How many commits get no answer."""

    def pass_s(self, seconds: float) -> None:
        """Time passes while the process runs: its heartbeats go on."""
        self.now_s += seconds

    def stand_still(self, seconds: float) -> None:
        self.now_s += seconds
        self.out = self.out or seconds > SESSION_S

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        if self.out:
            self.member, self.out = self.member + "b", False
        batch: list[Record] = self.inner.poll(max_records, timeout_s)
        return batch

    def member_id(self) -> str:
        return self.member

    def commit(self, offsets: Mapping[int, OffsetAndMetadata]) -> None:
        self.asked += 1
        if self.silent:
            self.silent -= 1
            raise Unanswered("nobody is there")
        if self.out:
            raise Rebalanced("UNKNOWN_MEMBER_ID")
        self.inner.commit(offsets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Session:
    """A policy session whose policy stays in force."""

    policy = None

    def adopt(self) -> None:
        return

    def acknowledgements(self, member: str) -> list[Outgoing]:
        return []

    def refresh(self, member: str, *, for_ever: bool = False) -> None:
        return

    def still_in_force(self, *, for_ever: bool = False) -> bool:
        return True


class Echo(Step):
    """Sends what it is given; at some offsets the process stands still in the middle."""

    def __init__(self, group: Group, stops: Mapping[int, float]) -> None:
        self._group = group
        self._stops = dict(stops)
        self.sent_by: dict[int, str] = {}
        self.out_when_sent: list[int] = []

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        for record in batch:
            self._group.stand_still(self._stops.pop(record.offset, 0.0))
        return [Outgoing("forwards", b"k", str(record.offset).encode()) for record in batch]


def run(stops: Mapping[int, float], batch_max: int, silent: int = 0) -> tuple[list[int], Group, list[bool]]:
    """What was sent, in order; and of each send whether the member was taken for dead by then."""
    cluster = MemoryCluster(lambda: 0, {"requests": 1, "forwards": 1})
    cluster.append([Outgoing("requests", b"k", b"x")] * RECORDS)
    group = Group(cluster.consumer("requests", "p"))
    group.silent = silent
    dead: list[bool] = []

    class Producer:
        def __init__(self) -> None:
            self.inner = cluster.producer()

        def send(self, records: Sequence[Outgoing]) -> None:
            if records:
                dead.append(group.out)
            self.inner.send(records)

        def send_singly(self, records: Sequence[Outgoing]) -> None:
            self.send(records)

        def close(self) -> None:
            self.inner.close()

    def sent() -> list[int]:
        return [int(record.value or b"") for record in cluster.records("forwards")]

    context = WorkerContext(
        Settings(session_timeout_ms=int(SESSION_S * 1_000)),
        cluster,
        Metrics(),
        stop=lambda: set(sent()) == set(range(RECORDS)),
        ready=lambda: None,
        now_ms=lambda: 0,
        outages=Outages(clock=lambda: group.now_s, sleep=group.pass_s),
    )
    producer, session, consumer = Producer(), Session(), group
    run_stateless("p", consumer, producer, Echo(group, stops), context, batch_max=batch_max, session=session)  # type: ignore[arg-type]
    return sent(), group, dead


@pytest.mark.parametrize("seed", range(20))
def test_whoever_was_taken_for_dead_sends_nothing_of_it_and_every_record_is_worked(seed: int) -> None:
    draw = random.Random(seed)
    stops = {at: draw.choice([1.0, 3.0, 11.0, 60.0]) for at in draw.sample(range(RECORDS), 4)}
    sent, _, dead = run(stops, batch_max=draw.randint(1, 8))
    assert dead
    assert not any(dead)
    assert sent == list(range(RECORDS)), "in order, and none twice: nothing was sent of what is read again"


def test_a_worker_that_goes_on_asks_nobody_and_one_that_stood_still_for_a_moment_once() -> None:
    _, group, _ = run({}, batch_max=5)
    in_order = group.asked
    _, group, _ = run({7: 3.0}, batch_max=5)
    assert group.asked == in_order + 1


def test_while_the_coordinator_is_away_nothing_is_sent_and_then_all() -> None:
    sent, _, _ = run({0: 3.0}, batch_max=5, silent=3)
    assert sent == list(range(RECORDS))


def in_doubt() -> tuple[Group, Membership]:
    """A member that stood still since its poll for longer than it is trusted without a question."""
    group = Group(MemoryCluster(lambda: 0, {"requests": 1}).consumer("requests", "p"))
    membership = Membership(group, SESSION_S, Outages(), lambda: group.now_s)
    membership.polled()
    group.now_s += 4.0
    return group, membership


def test_a_member_that_joined_anew_since_the_poll_does_not_send_what_it_read_before() -> None:
    group, membership = in_doubt()
    group.member = "b"
    for _ in range(2):
        with pytest.raises(Rebalanced):
            membership.confirm({0: 3})
    assert group.asked == 0
    membership.polled()
    membership.confirm({0: 3})
    assert group.asked == 1


def test_who_stands_still_while_he_asks_asks_again() -> None:
    group, membership = in_doubt()
    commit = group.commit

    def slow(offsets: Mapping[int, OffsetAndMetadata]) -> None:
        commit(offsets)
        group.now_s += 5.0 if group.asked < 3 else 0.0

    group.commit = slow  # type: ignore[method-assign]
    membership.confirm({0: 0})
    assert group.asked == 3
