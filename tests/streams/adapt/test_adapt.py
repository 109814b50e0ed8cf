"""What adapt decides, without Faust: samples in, commands out."""

from __future__ import annotations

import pytest

from refrain.schemas.control import ReportLoad, decode_command
from refrain.schemas.load import LoadSample
from refrain.schemas.policy import ModelPolicy
from refrain.streams.adapt.load_controller import AdaptMetrics, LoadController
from refrain.streams.adapt.worker import run_adapt
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Adapt, Settings

NOW_MS = 100_000
TARGETS = {"m": ModelPolicy(latency_target_ms=100, queue_target=10)}


def record(value: bytes) -> Record:
    return Record("load", 0, 0, NOW_MS, b"m", value)


def sample(model: str = "m", latency: float = 180, queue: float = 18, at_ms: int = NOW_MS) -> Record:
    one = LoadSample(model=model, replica="a", latency_p95_ms=latency, queue_depth=queue, at_ms=at_ms)
    return record(one.encode())


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def controller(metrics: Metrics) -> LoadController:
    return LoadController(Adapt(window_ms=10_000, interval_ms=1_000, valid_for_ms=30_000), AdaptMetrics(metrics))


def dropped(metrics: Metrics, reason: str) -> float | None:
    return metrics.registry.get_sample_value("refrain_dropped_total", {"processor": "adapt", "reason": reason})


def commands(out: list[Outgoing]) -> list[object]:
    assert all((one.topic, one.partition) == ("control", 0) for one in out)
    return [decode_command(one.value or b"") for one in out]


def test_an_overloaded_model_is_reported(controller: LoadController) -> None:
    controller.set_targets(TARGETS)
    assert controller.take(sample(), NOW_MS) is None
    (command,) = commands(controller.commands(NOW_MS))
    assert isinstance(command, ReportLoad)
    assert (command.who, command.model, command.load, command.valid_until_ms) == ("adapt", "m", 0.8, NOW_MS + 30_000)
    assert controller.commands(NOW_MS + 1) == []


def test_models_without_targets_are_ignored_and_counted(controller: LoadController, metrics: Metrics) -> None:
    controller.set_targets(TARGETS)
    controller.take(sample("unknown"), NOW_MS)
    assert controller.commands(NOW_MS) == []
    assert dropped(metrics, "no_targets") == 1


def test_a_model_that_falls_silent_or_loses_its_targets_is_left_to_run_out(
    controller: LoadController, metrics: Metrics
) -> None:
    controller.set_targets(TARGETS)
    controller.take(sample(), NOW_MS)
    assert len(controller.commands(NOW_MS)) == 1
    assert metrics.registry.get_sample_value("refrain_model_load", {"model": "m"}) == 0.8
    assert controller.commands(NOW_MS + 10_001) == []
    assert metrics.registry.get_sample_value("refrain_model_load", {"model": "m"}) == 0
    controller.set_targets({})
    assert controller.commands(NOW_MS + 25_000) == []


def test_without_a_policy_nothing_is_reported(controller: LoadController) -> None:
    controller.take(sample(), NOW_MS)
    assert controller.commands(NOW_MS) == []
    controller.set_targets(TARGETS)
    assert len(controller.commands(NOW_MS)) == 1


def test_late_future_and_repeated_samples_are_counted_and_move_nothing(
    controller: LoadController, metrics: Metrics
) -> None:
    controller.set_targets(TARGETS)
    controller.take(sample(at_ms=NOW_MS - 10_001), NOW_MS)
    controller.take(sample(at_ms=NOW_MS + 60_001), NOW_MS)
    assert controller.commands(NOW_MS) == []
    controller.take(sample(latency=0, queue=0), NOW_MS)
    controller.take(sample(), NOW_MS)
    assert controller.commands(NOW_MS) == []
    assert [dropped(metrics, reason) for reason in ("late", "future", "duplicate")] == [1, 1, 1]


def test_samples_out_of_order_count(controller: LoadController) -> None:
    controller.set_targets(TARGETS)
    controller.take(sample(at_ms=NOW_MS), NOW_MS)
    controller.take(sample(latency=0, queue=0, at_ms=NOW_MS - 9_000), NOW_MS)
    assert controller.commands(NOW_MS) == []


GOOD = sample().value or b""


@pytest.mark.parametrize(
    "value",
    [
        b"junk",
        b'{"v":2}',
        b"x" * 20_000,
        GOOD.replace(b"180.0", b"-180"),
        GOOD.replace(b"180.0", b"3600001"),
        GOOD.replace(b"180.0", b"1e999"),
        GOOD.replace(b"180.0", b"NaN"),
        GOOD.replace(b"18.0", b"-1"),
        GOOD.replace(b"18.0", b"1e7"),
        GOOD.replace(b"100000", b"-1"),
        GOOD.replace(b'"m"', b'""'),
    ],
)
def test_what_is_no_sample_is_a_dead_letter_and_counted(
    controller: LoadController, metrics: Metrics, value: bytes
) -> None:
    assert value != GOOD
    controller.set_targets(TARGETS)
    letter = controller.take(record(value), NOW_MS)
    assert letter is not None
    assert letter.topic == "dead-letters"
    assert letter.value == value
    assert controller.commands(NOW_MS) == []
    reason = dict(letter.headers)["refrain.dead.reason"] or b""
    labels = {"processor": "adapt", "reason": reason.decode().partition(":")[0]}
    assert metrics.registry.get_sample_value("refrain_refused_total", labels) == 1


def test_it_does_not_start_without_its_topics() -> None:
    with pytest.raises(WrongSetup, match="topics create"):
        run_adapt(
            WorkerContext(
                Settings(),
                MemoryCluster(lambda: 0, {}),
                Metrics(),
                stop=lambda: True,
                ready=lambda: None,
                now_ms=lambda: 0,
            )
        )
