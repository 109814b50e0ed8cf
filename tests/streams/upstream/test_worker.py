"""The connector as a whole, over the log in memory: every forward has a completion, none is called twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from refrain.schemas.base import Reply
from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON
from refrain.schemas.forwards import Completion, Forward, Status
from refrain.schemas.load import LoadSample
from refrain.schemas.responses import DecisionSummary
from refrain.streams.errors import SendFailed, WrongSetup
from refrain.streams.kafka.interface import EndOffsets, OffsetAndMetadata, Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.partitioner import partition_of
from refrain.streams.messaging.routes import DirectRoute, ShardRoute, encode_route
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.progress import Progress, progress_of
from refrain.streams.settings import Settings, Upstream
from refrain.streams.upstream.completions import completed
from refrain.streams.upstream.model import Answer
from refrain.streams.upstream.outbox import Outbox
from refrain.streams.upstream.worker import BOUNDS, Bounds, run_upstream
from tests.gate import Gate

NOW_MS = 1_000
ROUTE = encode_route(ShardRoute(forward_id="f", incarnation="i", partition=0))


class Model:
    """Answers at once, but holds back the ids that `held` names until it is let go."""

    def __init__(self, held: tuple[str, ...] = ()) -> None:
        self.held = held
        self.asked: list[str] = []
        self.open = self.open_most = 0
        self.closed = False
        self.let_go = Gate()

    async def answer(self, forward: Forward) -> Answer:
        self.asked.append(forward.forward_id)
        self.open += 1
        self.open_most = max(self.open, self.open_most)
        await asyncio.sleep(0)
        if forward.forward_id in self.held:
            await self.let_go.wait()
        self.open -= 1
        return Answer(body={"to": forward.forward_id})

    async def close(self) -> None:
        self.closed = True


def forward_of(name: str, deadline_at_ms: int = 2_000) -> Forward:
    return Forward(forward_id=name, model="m", body={"q": name}, deadline_at_ms=deadline_at_ms, route=ROUTE)


def give(cluster: MemoryCluster, *names: str, partition: int = 0) -> None:
    cluster.append([Outgoing("forwards", n.encode(), forward_of(n).encode(), partition=partition) for n in names])


def completions(cluster: MemoryCluster) -> list[Completion]:
    return [Completion.decode(record.value or b"") for record in cluster.records("completions")]


def upstream(
    cluster: MemoryCluster,
    model: Model,
    until: Callable[[], bool],
    metrics: Metrics | None = None,
    bounds: Bounds = BOUNDS,
    state: Path | None = None,
) -> None:
    def progress(group: str, topic: str) -> Progress:
        if state is None:
            return Progress(None, 0)
        return progress_of(state, group, cluster.topic_id(topic), cluster.partitions(topic))

    settings = Settings(upstream=Upstream(connector="simulated", concurrency=4, commit_interval_ms=1))
    run_upstream(
        WorkerContext(
            settings,
            cluster,
            metrics or Metrics(),
            stop=until,
            ready=lambda: None,
            now_ms=lambda: NOW_MS,
            progress=progress,
        ),
        make_model=lambda: model,
        bounds=bounds,
    )


def kept(cluster: MemoryCluster, partition: int = 0) -> OffsetAndMetadata | None:
    return cluster.group("forwards", "upstream").offsets.get(partition)


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(lambda: NOW_MS)


def test_every_forward_has_its_completion(cluster: MemoryCluster) -> None:
    names = [f"f{n}" for n in range(50)]
    give(cluster, *names)
    model = Model()
    upstream(cluster, model, lambda: len(cluster.records("completions")) == 50)
    assert sorted(c.forward_id for c in completions(cluster)) == sorted(names)
    assert all(c.body == {"to": c.forward_id} and c.route == ROUTE for c in completions(cluster))
    assert all(
        r.key == c.forward_id.encode()
        for r, c in zip(cluster.records("completions"), completions(cluster), strict=True)
    )
    assert model.open_most <= 4
    assert model.closed
    assert kept(cluster) == OffsetAndMetadata(50)


def test_a_repeated_forward_is_called_once(cluster: MemoryCluster) -> None:
    give(cluster, "a", "b", "a", "a")
    model = Model(held=("a",))
    metrics = Metrics()
    labels = {"processor": "upstream", "reason": "seen"}

    def done() -> bool:
        if metrics.registry.get_sample_value("refrain_dropped_total", labels) == 2:
            model.let_go.set()
        return len(cluster.records("completions")) == 2

    upstream(cluster, model, done, metrics)
    assert sorted(model.asked) == ["a", "b"]
    assert kept(cluster) == OffsetAndMetadata(4)
    assert metrics.registry.get_sample_value("refrain_dropped_total", labels) == 2


def test_a_forward_repeated_after_its_answer_is_dropped(cluster: MemoryCluster) -> None:
    give(cluster, "a")
    model = Model()
    again = threading.Event()

    def done() -> bool:
        if len(cluster.records("completions")) == 1 and not again.is_set():
            again.set()
            give(cluster, "a", "b")
        return len(cluster.records("completions")) == 2

    upstream(cluster, model, done)
    assert model.asked == ["a", "b"]


def test_a_forward_repeated_after_a_restart_is_dropped_when_its_completion_is_there(cluster: MemoryCluster) -> None:
    give(cluster, "a", partition=partition_of(b"a", 8))
    upstream(cluster, Model(), lambda: len(cluster.records("completions")) == 1)
    give(cluster, "a", "b", partition=partition_of(b"a", 8))
    model = Model()
    upstream(cluster, model, lambda: len(cluster.records("completions")) == 2)
    assert model.asked == ["b"]
    assert kept(cluster, partition_of(b"a", 8)) == OffsetAndMetadata(3)


def test_a_forward_past_its_deadline_is_not_called_and_its_requester_is_told(cluster: MemoryCluster) -> None:
    cluster.append([Outgoing("forwards", b"a", forward_of("a", NOW_MS).encode())])
    model = Model()
    metrics = Metrics()
    upstream(cluster, model, lambda: len(cluster.records("completions")) == 1, metrics)
    (completion,) = completions(cluster)
    assert completion.error is not None
    assert completion.error.code == "deadline_exceeded"
    assert model.asked == []
    labels = {"processor": "upstream", "reason": "deadline"}
    assert metrics.registry.get_sample_value("refrain_dropped_total", labels) == 1


def test_a_restart_calls_only_what_was_open(cluster: MemoryCluster) -> None:
    give(cluster, "a", "b", "c", "d")
    model = Model(held=("b",))
    seen: list[OffsetAndMetadata | None] = []

    def done() -> bool:
        committed = kept(cluster)
        seen.append(committed)
        if committed is not None and committed.next_offset == 1 and committed.metadata:
            # As the group would be found by another worker, if this one died here.
            frozen.setdefault("position", committed)
        if "position" in frozen and len(cluster.records("completions")) == 3:
            model.let_go.set()
        return len(cluster.records("completions")) == 4

    frozen: dict[str, OffsetAndMetadata] = {}
    upstream(cluster, model, done)
    assert sorted(model.asked) == ["a", "b", "c", "d"]
    cluster.group("forwards", "upstream").offsets[0] = frozen["position"]
    for rows in cluster.topic("completions").records:
        rows[:] = [record for record in rows if record.key != b"b"]
    second = Model()
    upstream(cluster, second, lambda: kept(cluster) == OffsetAndMetadata(4))
    assert "b" in second.asked
    assert "a" not in second.asked
    assert len(second.asked) < 4


def test_open_calls_are_waited_for_when_the_worker_stops(cluster: MemoryCluster) -> None:
    give(cluster, "a")
    model = Model(held=("a",))

    def done() -> bool:
        if model.asked:
            # The worker counts answers in its turns: when it is told to stop, this one is still open to it.
            model.let_go.set()
        return bool(model.asked)

    upstream(cluster, model, done)
    assert len(completions(cluster)) == 1
    assert kept(cluster) == OffsetAndMetadata(1)


def test_a_call_that_does_not_end_is_left_to_the_next_worker(cluster: MemoryCluster) -> None:
    give(cluster, "a", "b")
    model = Model(held=("a",))
    upstream(cluster, model, lambda: len(cluster.records("completions")) == 1, bounds=Bounds(drain_s=0.05))
    assert model.closed
    second = Model()
    upstream(cluster, second, lambda: len(cluster.records("completions")) == 2)
    assert second.asked == ["a"]


def test_partitions_wait_while_too_much_is_open(cluster: MemoryCluster) -> None:
    names = [f"f{n}" for n in range(40)]
    give(cluster, *names)
    model = Model(held=tuple(names))
    metrics = Metrics()
    most: list[float] = [0]

    def done() -> bool:
        most.append(metrics.registry.get_sample_value("refrain_model_calls_open") or 0)
        if len(most) > 50:
            model.let_go.set()
        return len(cluster.records("completions")) == 40

    upstream(cluster, model, done, metrics, Bounds(batch=5, open=10))
    assert 10 <= max(most) <= 15


def test_one_old_call_holds_its_partition_before_the_note_grows_too_long(cluster: MemoryCluster) -> None:
    give(cluster, *(f"f{n}" for n in range(60)))
    model = Model(held=("f0",))
    metrics = Metrics()
    taken: list[float] = []

    def done() -> bool:
        if not model.let_go.is_set():
            labels = {"processor": "upstream", "topic": "forwards"}
            taken.append(metrics.registry.get_sample_value("refrain_records_taken_total", labels) or 0)
        if taken.count(max(taken)) > 50 and len(cluster.records("completions")) == max(taken) - 1:
            model.let_go.set()
        return len(cluster.records("completions")) == 60

    upstream(cluster, model, done, metrics, Bounds(batch=5, span=20))
    assert 20 <= max(taken) <= 25


@pytest.mark.parametrize("value", [b"junk", b'{"v":1}', b"[" * 300])
def test_what_is_no_forward_is_kept_with_the_reason(cluster: MemoryCluster, value: bytes) -> None:
    cluster.append([Outgoing("forwards", b"k", value, partition=0)])
    upstream(cluster, Model(), lambda: kept(cluster) == OffsetAndMetadata(1))
    (letter,) = cluster.records("dead-letters")
    assert letter.value == value
    assert HEADER_REASON in dict(letter.headers)
    assert completions(cluster) == []


def direct_route() -> str:
    decision = DecisionSummary(id="f", reason="category_never")
    return encode_route(DirectRoute(forward_id="f", tenant="acme", reply=Reply(topic="responses"), decision=decision))


def test_a_request_that_was_read_twice_has_both_of_its_forwards_answered_each_once(cluster: MemoryCluster) -> None:
    by_shard = forward_of("f")
    by_classify = by_shard.model_copy(update={"route": direct_route()})
    place = partition_of(b"f", 8)
    both = [Outgoing("forwards", b"f", each.encode(), partition=place) for each in (by_shard, by_classify)]
    cluster.append([*both, *both])
    upstream(cluster, Model(), lambda: len(cluster.records("completions")) == 2)
    assert sorted(each.route for each in completions(cluster)) == sorted([by_shard.route, by_classify.route])
    cluster.append(both)
    give(cluster, "g", partition=place)
    model = Model()
    upstream(cluster, model, lambda: len(cluster.records("completions")) == 3)
    assert model.asked == ["g"]


@pytest.mark.parametrize(("route", "with_text"), [(ROUTE, True), (direct_route(), False), ("foreign", True)])
def test_who_waits_for_a_forward_that_cannot_be_taken_is_told(
    cluster: MemoryCluster, route: str, with_text: bool
) -> None:
    value = ('{"v":1,"forward_id":"f","model":"m","body":"secret","route":"' + route + '"}').encode()
    cluster.append([Outgoing("forwards", b"f", value)])
    upstream(cluster, Model(), lambda: bool(cluster.records("completions")))
    (completion,) = completions(cluster)
    assert completion.error is not None
    assert (completion.forward_id, completion.route, completion.error.code) == ("f", route, "bad_field")
    assert "secret" not in completion.error.message
    assert (b"secret" in (cluster.records("dead-letters")[0].value or b"")) is with_text


def test_an_answer_that_the_topic_would_not_take_becomes_a_failure(cluster: MemoryCluster) -> None:
    class Verbose(Model):
        async def answer(self, forward: Forward) -> Answer:
            return Answer(body={"text": "x" * 3_000_000})

    give(cluster, "a")
    upstream(cluster, Verbose(), lambda: bool(cluster.records("completions")))
    (completion,) = completions(cluster)
    assert completion.status is Status.FAILED
    assert completion.error is not None
    assert completion.error.code == "answer_too_large"


def test_load_is_reported_for_every_model(cluster: MemoryCluster) -> None:
    give(cluster, "a")
    upstream(cluster, Model(), lambda: bool(cluster.records("completions")) and len(cluster.records("load")) >= 1)
    record = cluster.records("load")[0]
    sample = LoadSample.decode(record.value or b"")
    assert (record.key, sample.model, sample.replica, sample.at_ms) == (b"m", "m", "default", NOW_MS)


class Refusing(MemoryCluster):
    """Takes no completions."""

    def append(self, records: Sequence[Outgoing]) -> EndOffsets:
        if any(record.topic == "completions" for record in records):
            raise SendFailed("no")
        return super().append(records)


def test_a_send_that_fails_stops_the_worker_and_commits_no_offset() -> None:
    cluster = Refusing(lambda: NOW_MS)
    give(cluster, "a")
    with pytest.raises(SendFailed):
        upstream(cluster, Model(), lambda: False)
    assert kept(cluster) in (None, OffsetAndMetadata(0))


def test_an_error_of_the_model_itself_costs_the_forward_alone_and_is_not_quoted(cluster: MemoryCluster) -> None:
    class Broken(Model):
        async def answer(self, forward: Forward) -> Answer:
            if forward.forward_id == "a":
                raise ZeroDivisionError("my secret")
            return await super().answer(forward)

    give(cluster, "a", "b")
    upstream(cluster, Broken(), lambda: len(cluster.records("completions")) == 2)
    failed = {each.forward_id: each.error for each in completions(cluster) if each.error is not None}
    assert failed.keys() == {"a"}
    assert failed["a"] is not None
    assert (failed["a"].code, "secret" in failed["a"].message) == ("internal", False)


def test_an_answer_that_cannot_be_written_costs_the_forward_alone(cluster: MemoryCluster) -> None:
    class Half(Model):
        async def answer(self, forward: Forward) -> Answer:
            return Answer(body={"text": "\ud800"}) if forward.forward_id == "a" else await super().answer(forward)

    give(cluster, "a", "b")
    upstream(cluster, Half(), lambda: len(cluster.records("completions")) == 2)
    assert {each.forward_id: each.error is None for each in completions(cluster)} == {"a": False, "b": True}


def test_a_lack_of_memory_stops_the_worker(cluster: MemoryCluster) -> None:
    class Full(Model):
        async def answer(self, forward: Forward) -> Answer:
            raise MemoryError

    give(cluster, "a")
    with pytest.raises(ExceptionGroup):
        upstream(cluster, Full(), lambda: False)


@pytest.mark.parametrize("poison", [("f3",), ("f0", "f7"), ("f9",)])
@pytest.mark.parametrize("late", [False, True])
def test_a_forward_at_whose_call_two_workers_ended_is_set_aside_and_its_requester_told(
    cluster: MemoryCluster, tmp_path: Path, poison: tuple[str, ...], late: bool
) -> None:
    class Deadly(Model):
        async def answer(self, forward: Forward) -> Answer:
            answer = await super().answer(forward)
            for _ in range(3 if late else 0):
                await asyncio.sleep(0)
            if forward.forward_id in poison:
                ended.append(forward.forward_id)
                raise MemoryError
            return answer

    names = [f"f{number}" for number in range(10)]
    give(cluster, *names)
    ended: list[str] = []
    for _ in range(2 * len(poison)):
        with pytest.raises(ExceptionGroup):
            upstream(cluster, Deadly(), lambda: False, state=tmp_path)
    upstream(
        cluster, Deadly(), lambda: {each.forward_id for each in completions(cluster)} == set(names), state=tmp_path
    )
    assert sorted(ended) == sorted(2 * poison)
    failed = {each.forward_id: each.error.code for each in completions(cluster) if each.error is not None}
    assert failed == dict.fromkeys(poison, "quarantined")
    letters = cluster.records("dead-letters")
    # A worker that dies at another forward between the letter and the completion of this one sends the letter again.
    places = {tuple(dict(letter.headers)[name] for name in (HEADER_PARTITION, HEADER_OFFSET)) for letter in letters}
    assert len(places) == len(poison)
    assert all(letter.value is None for letter in letters)


@pytest.mark.parametrize("poison", [("f3",), ("f0", "f7"), ("f9", "f8", "f1")])
@pytest.mark.parametrize("where", ["made", "sent"])
def test_a_forward_whose_completion_ends_the_worker_twice_is_set_aside_and_its_requester_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poison: tuple[str, ...], where: str
) -> None:
    class Producer:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def send(self, records: Sequence[Outgoing]) -> None:
            if where == "sent" and any(ends(each) for each in records):
                raise MemoryError
            self.inner.send(records)

        def send_singly(self, records: Sequence[Outgoing]) -> None:
            self.inner.send_singly(records)

        def close(self) -> None:
            self.inner.close()

    class Cluster(MemoryCluster):
        def producer(self, *, delivery_timeout_ms: int | None = None) -> Any:
            return Producer(super().producer(delivery_timeout_ms=delivery_timeout_ms))

    def ends(record: Outgoing) -> bool:
        return record.topic == "completions" and (record.key or b"").decode() in poison and b'"ok"' in (
            record.value or b""
        )  # fmt: skip

    def made(called: Any) -> list[Outgoing]:
        out = completed(called)
        if where == "made" and any(ends(each) for each in out):
            raise MemoryError
        return out

    monkeypatch.setattr("refrain.streams.upstream.call_handling.completed", made)
    cluster = Cluster(lambda: NOW_MS)
    names = [f"f{number}" for number in range(10)]
    give(cluster, *names)

    def done() -> bool:
        return {each.forward_id for each in completions(cluster)} == set(names)

    ended = 0
    while not done():
        try:
            upstream(cluster, Model(), done, state=tmp_path)
        except (ExceptionGroup, MemoryError):
            ended += 1
            assert ended <= 2 * len(poison)
    failed = {each.forward_id: each.error.code for each in completions(cluster) if each.error is not None}
    assert failed == dict.fromkeys(poison, "quarantined")
    assert len(cluster.records("dead-letters")) == len(poison)
    assert len(completions(cluster)) == len(names)


def test_a_broker_that_fails_in_the_outbox_leaves_no_note(tmp_path: Path) -> None:
    class Producer:
        def send(self, records: Sequence[Outgoing]) -> None:
            raise SendFailed("nobody is there")

        def close(self) -> None:
            return

    progress = Progress(tmp_path / "p", 1)
    progress.assigned([0])
    for _ in range(3):
        box: Outbox[int] = Outbox(cast(Any, Producer()), progress)
        box.put(lambda: [Outgoing("completions", b"k", b"v")], 1, (0, 5))
        box.close()
        assert isinstance(box.problem, SendFailed)
        progress.assigned([0])
        assert progress.set_aside(0) == ()


def test_what_moves_to_another_worker_while_it_is_sent_is_not_taken_for_its_end(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "p", 1)
    for ended in (False, True):
        # Once it ended in a batch; from then on the record is worked by itself.
        progress.assigned([0])
        progress.begin_step(0, 5)
        if ended:
            progress.withdraw([0])
            progress.end_step(0, 5)
    progress.assigned([0])
    assert progress.set_aside(0) == ()


def test_a_call_that_fails_or_is_cancelled_leaves_no_note(cluster: MemoryCluster, tmp_path: Path) -> None:
    class Broken(Model):
        async def answer(self, forward: Forward) -> Answer:
            if forward.forward_id == "a":
                raise ValueError("a bug")
            return await super().answer(forward)

    give(cluster, "a", "b")
    for _ in range(3):
        upstream(cluster, Broken(held=("b",)), lambda: "a" in {each.forward_id for each in completions(cluster)},
                 state=tmp_path, bounds=BOUNDS._replace(drain_s=0.01))  # fmt: skip
    upstream(cluster, Model(), lambda: len(completions(cluster)) == 2, state=tmp_path)
    assert cluster.records("dead-letters") == []


def test_without_a_server_it_says_what_to_set() -> None:
    with pytest.raises(WrongSetup, match=r"upstream\.base_url"):
        run_upstream(
            WorkerContext(
                Settings(),
                MemoryCluster(lambda: 0),
                Metrics(),
                stop=lambda: True,
                ready=lambda: None,
                now_ms=lambda: 0,
            )
        )
