"""Steps of the demo behind the waves: a load that relaxes a threshold, and a withdrawal.

Each asks the same question twice, and waits in between until every shard acts by what was told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from infra.demo.asked import AskedQuestion, ask_questions
from infra.demo.script import LoadStep, WithdrawalStep
from refrain.ops.ask.client import Client
from refrain.ops.cluster.tail import Span, follow
from refrain.ops.control.acknowledged import Acknowledged
from refrain.ops.control.client import ControlClient
from refrain.schemas.control import Invalidate, ReportLoad, decode_command
from refrain.schemas.load import LoadSample
from refrain.streams import time_of_day
from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.settings import Settings
from refrain.streams.upstream.load_meter import to_topic

WHO = "infra/up demo"
REPLICA = "demo-overloaded"
REPORT_S = 5.0
"""After so long without an effect the load is reported again, as connectors do."""
WAIT_S = 60.0
SATURATED = 1.0
FROM_START = Span(from_start=True)


class TwoAsks(NamedTuple):
    """The same request, before and after."""

    before: AskedQuestion
    after: AskedQuestion


def show_load(settings: Settings, client: Client, model: str, step: LoadStep, wave: int) -> TwoAsks:
    """Ask, report that the model is overloaded, and ask again when every shard acts by it. Raises ClusterFailed."""
    [before] = ask_questions(client, model, [step.before(wave)])
    with KafkaCluster(settings) as cluster:
        report_overload(settings, cluster, model, step)
    [under] = ask_questions(client, model, [step.under(wave)])
    return TwoAsks(before, under)


def show_withdrawal(settings: Settings, client: Client, model: str, step: WithdrawalStep, wave: int) -> TwoAsks:
    """Ask, withdraw what draws on the source, and ask again. Raises ClusterFailed when a shard does not follow."""
    [before] = ask_questions(client, model, [step.before(wave)])
    control = ControlClient(settings)
    try:
        control.send(Invalidate(who=WHO, why="the document has changed", source_id=step.source))
        control.wait(WAIT_S)
    finally:
        control.cluster.close()
    [after] = ask_questions(client, model, [step.after(wave)])
    return TwoAsks(before, after)


def report_overload(settings: Settings, cluster: KafkaCluster, model: str, step: LoadStep) -> None:
    """Report to `load`, as a connector does, until every shard acts by a saturated model. Raises ClusterFailed."""
    until = time.monotonic() + WAIT_S
    version = None
    while version is None:
        if time.monotonic() > until:
            raise ClusterFailed(f"no load was told of {model} within {WAIT_S:g} s: does `adapt` run?")
        sample = LoadSample(
            model=model,
            replica=REPLICA,
            latency_p95_ms=step.latency_p95_ms,
            queue_depth=step.queue_depth,
            at_ms=time_of_day.now_ms(),
        )
        cluster.producer().send([to_topic(sample)])
        version = _told(settings, model, _later(REPORT_S))
    _await_shards(settings, cluster, version, _later(until - time.monotonic()))


def _told(settings: Settings, model: str, is_late: Callable[[], bool]) -> int | None:
    """The version of the command that tells a load of 1 which still holds; None when none comes in time."""
    for message in follow(settings, "control", FROM_START, stop=is_late):
        command = decode_command(message.value() or b"")
        if (
            isinstance(command, ReportLoad)
            and command.model == model
            and command.load >= SATURATED
            and command.valid_until_ms > time_of_day.now_ms()
        ):
            return message.offset()
    return None


def _await_shards(settings: Settings, cluster: KafkaCluster, version: int, is_late: Callable[[], bool]) -> None:
    acknowledged, shards = Acknowledged(version), range(cluster.partitions("journal"))
    for message in follow(settings, "acknowledgements", FROM_START, stop=is_late):
        acknowledged.add(message.value())
        if acknowledged.progress(shards, {}).complete:
            return
    raise ClusterFailed(f"the load is not in force everywhere: {acknowledged.progress(shards, {}).missing()}")


def _later(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until
