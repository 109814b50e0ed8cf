"""Answers whose topic is away or made anew: held, or written again, and never twice without need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from refrain.streams.errors import RecordsRefused, RefusedRecord, SendFailed
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.outages import Outages
from refrain.streams.upstream.awaited_topic import KEPT_BYTES, KEPT_S, AwaitsTopic


class AtOnce(Executor):
    """Carries out what it is given before it says that it took it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as problem:  # noqa: BLE001 - as every executor does
            done.set_exception(problem)
        return done


class World:
    """A cluster with a producer, and a clock that pauses move; `in_pause` is called at each."""

    def __init__(self, patience_s: float = math.inf) -> None:
        self.cluster = MemoryCluster(lambda: 0)
        self.now_s = 0.0
        self.pauses = 0
        self.in_pause: Callable[[], None] = lambda: None
        self.lasting: list[bool] = []
        outages = Outages(
            patience_s=patience_s, changed=self.lasting.append, clock=lambda: self.now_s, sleep=self._sleep
        )
        self.producer = AwaitsTopic(self.cluster.producer(), "completions", self.cluster, outages, AtOnce())

    def values(self, topic: str = "completions") -> list[bytes | None]:
        return [record.value for record in self.cluster.records(topic)]

    def make_anew(self) -> None:
        self.cluster.delete("completions")
        self.cluster.create("completions", 8)

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.pauses += 1
        self.in_pause()


def answer(text: str, topic: str = "completions") -> Outgoing:
    return Outgoing(topic, b"k", text.encode())


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("singly", [False, True])
def test_an_answer_waits_until_its_topic_is_there_and_others_are_written_meanwhile(world: World, singly: bool) -> None:
    world.cluster.delete("completions")

    def come_back() -> None:
        assert world.values("load") == [b"sample"]
        if world.pauses == 20:
            world.cluster.create("completions", 8)

    world.in_pause = come_back
    send = world.producer.send_singly if singly else world.producer.send
    send([answer("a"), answer("sample", "load"), answer("b")])
    assert (world.values(), world.values("load")) == ([b"a", b"b"], [b"sample"])
    assert world.lasting == [True]


def test_what_is_refused_for_another_reason_is_told_by_its_place_and_waits_for_nothing(world: World) -> None:
    world.cluster.configure("completions", max_bytes=1_000)
    world.cluster.delete("load")
    with pytest.raises(RecordsRefused) as refusal:
        world.producer.send([answer("a"), answer("b" * 2_000), answer("sample", "load"), answer("c")])
    assert sorted(refusal.value.refused) == [1, 2]
    assert (world.values(), world.pauses) == ([b"a", b"c"], 0)


def test_what_is_refused_after_the_wait_is_told_by_its_place() -> None:
    world = World()
    world.cluster.delete("completions")
    world.in_pause = lambda: world.cluster.create("completions", 8, 1_000)
    with pytest.raises(RecordsRefused) as refusal:
        world.producer.send([answer("sample", "load"), answer("a"), answer("b" * 2_000)])
    assert sorted(refusal.value.refused) == [2]
    assert world.values() == [b"a"]


def test_who_is_to_stop_waits_no_longer() -> None:
    world = World(patience_s=10.0)
    world.cluster.delete("completions")
    with pytest.raises(SendFailed, match="refrain topics create"):
        world.producer.send([answer("a")])


def test_answers_of_the_last_moments_are_given_again_once_where_the_topic_was_made_anew(world: World) -> None:
    assert world.producer.lost() == []
    world.producer.send([answer("old")])
    world.now_s = KEPT_S + 1
    world.producer.send([answer("a"), answer("sample", "load"), answer("b")])
    assert world.producer.lost() == [], "the topic is the same"
    world.make_anew()
    assert [record.value for record in world.producer.lost()] == [b"a", b"b"]
    assert world.producer.lost() == []


def test_while_the_topic_is_away_nothing_is_given_again_and_then_it_is(world: World) -> None:
    assert world.producer.lost() == []
    world.producer.send([answer("a")])
    world.cluster.delete("completions")
    assert world.producer.lost() == []
    world.cluster.create("completions", 8)
    assert [record.value for record in world.producer.lost()] == [b"a"]


def test_no_answer_waits_for_a_cluster_that_does_not_say_which_topic_is_there(world: World) -> None:
    class Never(AtOnce):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            return Future()

    producer = AwaitsTopic(world.cluster.producer(), "completions", world.cluster, Outages(), Never())
    assert producer.lost() == []
    world.make_anew()
    producer.send([answer("a")])
    assert (producer.lost(), world.values()) == ([], [b"a"])


def test_no_more_is_kept_than_has_room(world: World) -> None:
    assert world.producer.lost() == []
    large = "x" * 900_000
    for _ in range(2 * KEPT_BYTES // len(large)):
        world.producer.send([answer(large)])
    world.make_anew()
    assert 0 < sum(len(record.value or b"") for record in world.producer.lost()) <= KEPT_BYTES


def test_what_was_refused_is_not_given_again(world: World) -> None:
    class Refusing:
        def send(self, records: Sequence[Outgoing]) -> None:
            raise RecordsRefused({0: RefusedRecord("no")})

        send_singly = send

        def close(self) -> None:
            return

    producer = AwaitsTopic(Refusing(), "completions", world.cluster, Outages(), AtOnce())
    assert producer.lost() == []
    with pytest.raises(RecordsRefused):
        producer.send([answer("a"), answer("b")])
    world.make_anew()
    assert [record.value for record in producer.lost()] == [b"b"]
