"""What topics take is looked up now and then, never once a record, and what is not known is left to the broker."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.interface import Outgoing, Target
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.targets import FRESH_S, MISSING_S, OWN_MISSING_S, REPLY_FRESH_S, Targets, Unfit
from refrain.streams.kafka.wrapped import WrappedCluster


class Counting(WrappedCluster):
    """Counts lookups, and fails while it is told to."""

    def __init__(self, inner: MemoryCluster) -> None:
        super().__init__(inner)
        self.memory = inner
        self.asked: list[list[str]] = []
        self.fails = False

    def targets(self, topics: Collection[str]) -> Mapping[str, Target]:
        self.asked.append(sorted(topics))
        if self.fails:
            raise ClusterFailed("timed out")
        return super().targets(topics)


class World:
    """A cluster, what is known of its topics, and a clock (seconds)."""

    def __init__(self) -> None:
        memory = MemoryCluster(lambda: 0, {"responses": 2, "journal": 2, "documents": 1, "stats": 1})
        memory.create("/replies", 3, 2_000)
        memory.create("/kept", 1, compacted=True)
        self.cluster = Counting(memory)
        self.now_s = 0.0
        self.targets = Targets(self.cluster, "refrain.", lambda: self.now_s)

    def kind(self, record: Outgoing) -> Unfit | None:
        """Why a record does not fit, after a look."""
        self.targets.look_up({record.topic})
        misfit = self.targets.problem(record)
        return None if misfit is None else misfit.kind


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (Outgoing("/replies", b"k", b"v"), None),
        (Outgoing("/replies", b"k", b"v", (), 2), None),
        (Outgoing("/replies", b"k", b"v", (), 3), Unfit.PARTITION),
        (Outgoing("/replies", b"k", b"v", (), 4711), Unfit.PARTITION),
        (Outgoing("/replies", b"k", b"v", (), -1), Unfit.PARTITION),
        (Outgoing("/replies", b"k", b"v" * 2_000), Unfit.TOO_LARGE),
        (Outgoing("/replies", b"k" * 2_000, None), Unfit.TOO_LARGE),
        (Outgoing("/replies", b"k", b"v", (("h", b"v" * 2_000),)), Unfit.TOO_LARGE),
        (Outgoing("/replies", b"k", b"v", (("h" * 2_000, None),)), Unfit.TOO_LARGE),
        (Outgoing("/replies", b"k", b"v", (("", None),) * 200), Unfit.TOO_LARGE),
        (Outgoing("/kept", b"k", b"v"), None),
        (Outgoing("/kept", None, b"v"), Unfit.KEYLESS),
        (Outgoing("stats", None, b"v"), Unfit.KEYLESS),
        (Outgoing("documents", None, b"v" * 3_000_000), None),
        (Outgoing("/gone", b"k", b"v"), Unfit.MISSING),
        (Outgoing("/bad topic!", b"k", b"v"), Unfit.ILLEGAL),
        (Outgoing("/", b"k", b"v"), Unfit.ILLEGAL),
        (Outgoing("/.", b"k", b"v"), Unfit.ILLEGAL),
        (Outgoing("/..", b"k", b"v"), Unfit.ILLEGAL),
        (Outgoing("/" + "n" * 250, b"k", b"v"), Unfit.ILLEGAL),
        (Outgoing("/n\n", b"k", b"v"), Unfit.ILLEGAL),
        (Outgoing("elsewhere", b"k", b"v"), Unfit.ILLEGAL),
        (Outgoing("", b"k", b"v"), Unfit.ILLEGAL),
        (Outgoing("/refrain.control", b"k", b"v"), Unfit.OWN),
        (Outgoing("/refrain.responses", b"k", b"v"), Unfit.OWN),
        (Outgoing("/refrain.other", b"k", b"v"), Unfit.MISSING),
    ],
)
def test_a_record_that_its_topic_does_not_take_is_known_before_it_is_sent(
    world: World, record: Outgoing, kind: Unfit | None
) -> None:
    assert world.kind(record) is kind


def test_a_topic_is_looked_up_when_it_is_old_and_not_once_a_record(world: World) -> None:
    for now_s, lookups in ((0, 1), (FRESH_S - 1, 1), (FRESH_S, 2), (FRESH_S + 1, 2)):
        world.now_s = now_s
        for _ in range(3):
            world.targets.look_up({"journal"})
        assert len(world.cluster.asked) == lookups


def test_a_reply_topic_is_looked_up_sooner_and_a_missing_one_soonest(world: World) -> None:
    world.targets.look_up({"/replies", "/gone", "journal"})
    world.now_s = MISSING_S
    world.targets.look_up({"/replies", "/gone", "journal"})
    world.now_s = REPLY_FRESH_S
    world.targets.look_up({"/replies", "/gone", "journal"})
    assert world.cluster.asked == [["/gone", "/replies", "journal"], ["/gone"], ["/gone", "/replies"]]


def test_a_name_that_no_topic_can_have_is_never_looked_up(world: World) -> None:
    world.targets.look_up({"/bad topic!", "/", "/refrain.control", "elsewhere"})
    assert world.cluster.asked == []


def test_while_lookups_fail_nothing_is_asked_for_a_while_and_what_is_known_stays(world: World) -> None:
    large = Outgoing("/replies", b"k", b"v" * 2_000)
    assert world.kind(large) is Unfit.TOO_LARGE
    world.cluster.fails = True
    world.now_s = FRESH_S
    for _ in range(5):
        assert world.kind(large) is Unfit.TOO_LARGE
        assert world.kind(Outgoing("/kept", None, b"v")) is None, "nobody knows: the broker decides"
    assert len(world.cluster.asked) == 2
    world.cluster.fails = False
    world.now_s += MISSING_S
    assert world.kind(Outgoing("/kept", None, b"v")) is Unfit.KEYLESS


def test_a_topic_of_the_table_is_missing_only_when_a_record_was_refused_too(world: World) -> None:
    world.cluster.memory.delete("responses")
    record = Outgoing("responses", b"k", b"v")
    assert world.kind(record) is None, "a broker that has just started may not know its topics yet"
    world.targets.forget({"responses"})
    assert world.kind(record) is Unfit.MISSING
    world.cluster.memory.create("responses", 1)
    world.now_s = OWN_MISSING_S
    assert world.kind(record) is None


def test_what_is_forgotten_is_looked_up_again(world: World) -> None:
    large = Outgoing("/replies", b"k", b"v" * 2_000)
    assert world.kind(large) is Unfit.TOO_LARGE
    world.cluster.memory.configure("/replies", max_bytes=100_000)
    assert world.kind(large) is Unfit.TOO_LARGE
    world.targets.forget({"/replies"})
    assert world.kind(large) is None


def test_what_is_known_of_topics_is_bounded(world: World) -> None:
    for number in range(1_500):
        world.targets.look_up({f"/t{number}"})
    lookups = len(world.cluster.asked)
    world.targets.look_up({"/t1499"})
    assert len(world.cluster.asked) == lookups
    world.targets.look_up({"/t0"})
    assert len(world.cluster.asked) == lookups + 1
