"""The Faust app fails and another one takes its place: what ends the process is what only a new process mends."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from refrain.schemas.control import POLICY_KEY, PolicyInForce, ReportLoad, decode_command
from refrain.schemas.load import LoadSample
from refrain.schemas.policy import CategoryPolicy, ModelPolicy, Policy
from refrain.streams.adapt import worker as adapt
from refrain.streams.adapt.faust_app import is_member
from refrain.streams.adapt.load_controller import LoadController
from refrain.streams.adapt.worker import FAILURES_MAX, run_adapt
from refrain.streams.errors import ClusterFailed, Unanswered
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.outages import Outages
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.progress import Progress, progress_of
from refrain.streams.settings import Adapt, Settings
from tests.streams.adapt.fake_faust_app import App

NOW_MS = 100_000
POLICY = Policy(
    categories={"chat": CategoryPolicy()}, models={"m": ModelPolicy(latency_target_ms=100, queue_target=10)}
)
ROUNDS_MAX = 2_000


class World:
    """Apps one after another on a cluster in memory; `fails` says what becomes of each as it is started."""

    def __init__(self, fails: Callable[[int], Exception | None]) -> None:
        self.cluster = MemoryCluster(lambda: NOW_MS)
        self.fails = fails
        self.apps: list[App] = []
        self.ready = 0
        self.changes: list[bool] = []
        self.now_s = 0.0
        self.member = True
        self.rounds = itertools.count()
        policy = PolicyInForce(version=1, who="w", at_ms=0, policy=POLICY)
        sample = LoadSample(model="m", replica="a", latency_p95_ms=180, queue_depth=18, at_ms=NOW_MS)
        self.cluster.append(
            [Outgoing("policies", POLICY_KEY, policy.encode()), Outgoing("load", b"m", sample.encode())]
        )

    def stop(self) -> bool:
        """Until the load is reported, or too many rounds were made."""
        return next(self.rounds) > ROUNDS_MAX or bool(self.cluster.records("control"))

    def make_app(self, settings: Settings, name: str) -> App:
        world, number = self, len(self.apps)

        class Failing(App):
            """Fails as the world says."""

            async def start(self) -> None:
                problem = world.fails(number)
                if isinstance(problem, KafkaConnectionError):
                    raise problem
                if problem is not None:
                    self.crash_reason, self.should_stop = problem, True
                    return
                await super().start()

        self.apps.append(Failing(self.cluster, settings.prefix, settings.prefix + name))
        return self.apps[-1]

    def is_member(self, app: Any) -> bool:
        self.now_s += 1
        return self.member or len(self.apps) > 1

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds

    def run(self, state: Path | None = None) -> None:
        def progress(group: str, topic: str) -> Progress:
            if state is None:
                return Progress(None, 0)
            return progress_of(state, group, self.cluster.topic_id(topic), self.cluster.partitions(topic))

        outages = Outages(self.stop, changed=self.changes.append, clock=lambda: self.now_s, sleep=self.pass_s)
        context = WorkerContext(
            Settings(adapt=Adapt(interval_ms=100, window_ms=60_000)), self.cluster, Metrics(),
            stop=self.stop, ready=self._ready, now_ms=lambda: NOW_MS, outages=outages,
            progress=progress,
        )  # fmt: skip
        run_adapt(context, self.make_app, self.is_member)

    def _ready(self) -> None:
        self.ready += 1

    def reported(self) -> float:
        (record,) = self.cluster.records("control")
        command = decode_command(record.value or b"")
        assert isinstance(command, ReportLoad)
        return command.load


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps are looked at often."""
    monkeypatch.setattr(adapt, "STOP_CHECK_S", 0.001)


@pytest.mark.parametrize("problem", [KafkaConnectionError("no broker"), Unanswered("away"), RuntimeError("a producer")])
def test_an_app_that_fails_is_followed_by_another_one(problem: Exception) -> None:
    world = World(lambda number: problem if number < 2 else None)
    world.run()
    assert len(world.apps) == 3
    assert world.ready == 1
    assert world.changes == [True], "one outage"
    assert world.reported() == 0.8


def test_an_app_that_leaves_a_task_which_takes_no_cancellation_is_followed_by_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adapt, "STOP_S", 0.05)
    over: list[asyncio.Event] = []
    left: list[asyncio.Task[None]] = []

    async def go_on() -> None:
        over.append(asyncio.Event())
        while not over[-1].is_set():
            with suppress(asyncio.CancelledError):
                await over[-1].wait()

    def fails(number: int) -> Exception | None:
        if number == 0:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda *_: None)
            left.append(loop.create_task(go_on()))
            return RuntimeError("a producer")
        return None

    world = World(fails)
    world.run()
    assert [task.done() for task in left] == [False]
    assert world.reported() == 0.8


def test_a_policy_of_a_newer_version_leaves_the_one_before_in_use(caplog: pytest.LogCaptureFixture) -> None:
    world = World(lambda number: None)
    newer = b'{"v": 9}'
    world.cluster.append([Outgoing("policies", POLICY_KEY, newer)])
    world.run()
    assert len(world.apps) == 1
    assert world.reported() == 0.8
    assert "the one before it stays in use" in caplog.text


def test_an_app_whose_topic_was_made_anew_is_followed_by_another_one(caplog: pytest.LogCaptureFixture) -> None:
    world = World(lambda number: None)
    records = world.cluster.topic("load").records[0]
    sample = records.pop()

    def changed(app: Any) -> bool:
        world.now_s += 1
        if len(world.apps) == 1 and world.now_s == adapt.SOURCE_LOOK_S // 2:
            world.cluster.create("load", 1)
        if len(world.apps) > 1 and not world.cluster.records("load"):
            world.cluster.append([Outgoing("load", b"m", sample.value)])
        return True

    world.is_member = changed  # type: ignore[method-assign]
    world.run()
    assert len(world.apps) == 2
    assert world.reported() == 0.8
    assert world.changes == [], "no outage"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "topic load was made anew, or has more partitions: a new app reads it"
    ]


def test_apps_that_fail_again_and_again_though_the_cluster_answers_end_the_worker() -> None:
    world = World(lambda number: RuntimeError("a bug"))
    passes = world.pass_s
    world.pass_s = lambda seconds: passes(60)  # type: ignore[method-assign]
    with pytest.raises(ClusterFailed, match="RuntimeError"):
        world.run()
    assert len(world.apps) == FAILURES_MAX


def test_an_app_that_is_no_member_any_more_is_followed_by_another_one() -> None:
    world = World(lambda number: None)
    world.member = False
    world.cluster.delete("load")
    world.cluster.create("load", 1)
    made = world.make_app

    def make_app(settings: Settings, name: str) -> App:
        if world.apps:
            sample = LoadSample(model="m", replica="a", latency_p95_ms=180, queue_depth=18, at_ms=NOW_MS)
            world.cluster.append([Outgoing("load", b"m", sample.encode())])
        return made(settings, name)

    world.make_app = make_app  # type: ignore[method-assign]
    world.run()
    assert len(world.apps) == 2
    assert world.reported() == 0.8


def test_an_app_that_does_not_stop_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapt, "STOP_S", 0.01)
    world = World(lambda number: RuntimeError("crashed") if number == 0 else None)
    made = world.make_app

    def make_app(settings: Settings, name: str) -> App:
        app = made(settings, name)
        if len(world.apps) == 1:
            app.stop = lambda: asyncio.sleep(3_600)  # type: ignore[method-assign]
        return app

    world.make_app = make_app  # type: ignore[method-assign]
    world.run()
    assert world.reported() == 0.8


def test_an_app_without_a_consumer_is_no_member() -> None:
    world = World(lambda number: None)
    assert not is_member(world.make_app(Settings(), "adapt"))


def test_a_sample_that_ends_its_worker_twice_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(lambda number: None)
    take, ended = LoadController.take, []

    def deadly(self: LoadController, record: Record, now_ms: int) -> Outgoing | None:
        if record.value == b"deadly":
            ended.append(record.offset)
            raise MemoryError
        return take(self, record, now_ms)

    monkeypatch.setattr(LoadController, "take", deadly)
    samples = [record.value for record in world.cluster.records("load")]
    world.cluster.create("load", 1, topic_id=world.cluster.topic_id("load"))
    world.cluster.append([Outgoing("load", b"m", value, (), 0) for value in (b"deadly", *samples)])
    world.run(tmp_path)
    assert ended == [0, 0]
    assert world.reported() == 0.8
    (letter,) = world.cluster.records("dead-letters")
    assert (dict(letter.headers)["refrain.dead.reason"] or b"").startswith(b"quarantined: ")
    assert b"deadly" not in (letter.value or b"")
