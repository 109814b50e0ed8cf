"""A poster whose records expire goes on by a new client, and what is on its way by the old one is still reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError

from refrain.streams.kafka import poster as poster_module
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.poster import RENEW_S, KafkaPoster


class Client:
    """Holds what it was given until a test says what became of it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.held: list[tuple[bytes, Callable[[KafkaError | None, None], None]]] = []
        self.due: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self.held) + len(self.due)

    def produce(self, topic: str, value: bytes, *_: object, on_delivery: Any, **__: object) -> None:
        self.held.append((value, on_delivery))

    def poll(self, timeout_s: float) -> None:
        due, self.due = self.due, []
        for report in due:
            report()

    def settle(self, code: int | None) -> None:
        """The oldest record is written, or failed of this."""
        _, told = self.held.pop(0)
        error = None if code is None else KafkaError(code)
        self.due.append(lambda: told(error, None))


class World:
    """A poster of such clients, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clients: list[Client] = []
        self.now_s = 0.0
        self.failed: list[str] = []
        monkeypatch.setattr(poster_module, "ConfluentProducer", self._made)
        self.poster = KafkaPoster({}, "p.", 1_000, lambda: self.now_s)

    def _made(self, config: dict[str, Any]) -> Client:
        self.clients.append(Client(config))
        return self.clients[-1]

    def post(self, *values: str) -> None:
        for value in values:
            self.poster.post(Outgoing("requests", None, value.encode()), lambda why, value=value: self._fails(value))  # type: ignore[misc]

    def _fails(self, value: str) -> None:
        self.failed.append(value)

    def held(self) -> list[list[bytes]]:
        return [[value for value, _ in client.held] for client in self.clients]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_behind_one_that_expired_a_new_client_writes_and_the_old_one_is_heard_to_its_end(world: World) -> None:
    world.now_s = RENEW_S
    world.post("a", "b", "c")
    world.clients[0].settle(KafkaError._MSG_TIMED_OUT)
    world.poster.poll()
    world.post("d")
    assert world.held() == [[b"b", b"c"], [b"d"]]
    world.clients[0].settle(None)
    world.clients[0].settle(KafkaError._MSG_TIMED_OUT)
    world.poster.poll()
    assert world.failed == ["a", "c"]
    assert len(world.clients) == 2, "the new client's records did not expire"


def test_while_records_expire_one_after_another_clients_do_not(world: World) -> None:
    for _ in range(5):
        world.post("a")
        world.clients[-1].settle(KafkaError._MSG_TIMED_OUT)
        world.poster.poll()
    assert len(world.clients) == 1
    assert world.failed == ["a"] * 5


@pytest.mark.parametrize("code", [None, KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_what_is_written_or_refused_is_no_reason_for_a_new_client(world: World, code: int | None) -> None:
    world.now_s = RENEW_S
    world.post("a")
    world.clients[0].settle(code)
    world.poster.poll()
    assert len(world.clients) == 1
    assert world.failed == ([] if code is None else ["a"])
