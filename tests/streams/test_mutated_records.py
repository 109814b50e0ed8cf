"""Twenty thousand mutated records over all topics: none stops a processor, each is answered or set aside once."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from refrain.schemas.journal import Asked, Passed, decode_event
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from tests.fuzz.records import GOLDEN, is_command, mutated
from tests.streams.test_outsiders import BESIDE, CASES, FOLLOWERS, run, set_aside

RECORDS = 150
"""Of a run: the clock moves with each, and adapt takes no sample from before its window."""
SEEDS = range(1, 11)
SEEDS_OF = {"classify": range(1, 41), "populate": range(1, 21), "lookup": range(1, 21)}
"""More of what outsiders write, and what reaches the shards."""
RUNS = [(name, CASES[name].topic, seed) for name in CASES for seed in SEEDS_OF.get(name, SEEDS)]
RUNS += [(name, topic, seed) for name, (topic, _) in BESIDE.items() for seed in range(1, 5)]
RUNS += [(name, "policies", 1) for name in FOLLOWERS]


def records_of(topic: str, seed: int) -> list[Outgoing]:
    rng = random.Random(f"{topic}/{seed}")
    drawn = [mutated(rng, topic) for _ in range(RECORDS)]
    return [
        Outgoing(topic, raw.key, raw.value, tuple((n.decode("utf-8", "surrogateescape"), v) for n, v in raw.headers))
        for raw in drawn
    ]


@pytest.mark.parametrize(("name", "topic", "seed"), RUNS)
def test_mutated_records_stop_no_processor_and_are_set_aside_at_most_once(name: str, topic: str, seed: int) -> None:
    cluster = run(name, records_of(topic, seed))
    assert all(count == 1 for count in Counter(set_aside(cluster, topic)).values())
    if topic == "requests":
        assert sorted(taken(cluster) + set_aside(cluster, topic)) == list(range(RECORDS + 1))


def taken(cluster: MemoryCluster) -> list[int]:
    """The offsets of the requests that a shard knows, asked or passed."""
    events = [decode_event(record.value or b"") for record in cluster.records("journal")]
    return [event.origin.offset for event in events if isinstance(event, Asked | Passed)]


def test_the_runs_are_twenty_thousand_records_over_all_topics_that_processors_read() -> None:
    assert len(RUNS) * RECORDS >= 20_000
    assert {topic for _, topic, _ in RUNS} == {
        *(case.topic for case in CASES.values()), *(topic for topic, _ in BESIDE.values()), "policies",
    }  # fmt: skip


def test_a_seed_repeats_its_records() -> None:
    assert records_of("completions", 7) == records_of("completions", 7) != records_of("completions", 8)


def test_no_mutated_record_is_a_command_to_the_whole_service_or_of_a_version_to_come() -> None:
    rng = random.Random(3)
    drawn = [(topic, mutated(rng, topic).value) for topic in ("journal", "control", "policies") for _ in range(500)]
    assert not any(is_command(topic, value) for topic, value in drawn)
    assert is_command("journal", b'{"v":7,"kind":"Tick"}')
    for golden in ("journal.CacheSwitched", "journal.PolicySet"):
        assert is_command("journal", (GOLDEN / f"{golden}.v1.json").read_bytes())
    assert is_command("control", (GOLDEN / "control.Switch.v1.json").read_bytes())
    assert not is_command("control", (GOLDEN / "control.Judge.v1.json").read_bytes())
