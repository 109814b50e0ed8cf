"""`refrain doctor --cost`: what the workers of this machine use, stage by stage, and which holds the others up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

from refrain.ops.cluster.broker_process import broker_process, cpu_s
from refrain.ops.observe.cost import BROKER, StageCost, WorkerSample, advice, bottleneck, costs, crowded, sample_of
from refrain.ops.run.probe import NoAnswer, page
from refrain.ops.run.state_files import read_run
from refrain.ops.terminal import output
from refrain.streams.errors import WrongSetup
from refrain.streams.models.threads import cores
from refrain.streams.settings import Settings

PROBE_S = 2.0


def measure(settings: Settings, seconds: float) -> list[StageCost]:
    """Sample the workers twice, so many seconds apart. Raises WrongSetup when none of them answers."""
    started = time.monotonic()
    before = _samples(settings)
    time.sleep(seconds)
    found = costs(before, _samples(settings), time.monotonic() - started)
    if not any(each.stage != BROKER for each in found):
        raise WrongSetup(
            f"no worker of the state folder {settings.state_dir} answers: `refrain run all` starts them; those of other"
            " machines are measured there"
        )
    return found


def show(found: Sequence[StageCost]) -> None:
    """Show the table, and what to do about the bottleneck."""
    output.table(
        ("stage", "workers", "records/s", "CPU ms each", "cores", "batch", "busy", "embedding", "threads", "MB"),
        [
            (
                each.stage,
                each.workers,
                f"{each.records_s:g}",
                "-" if each.cpu_ms is None else f"{each.cpu_ms:.2f}",
                f"{each.cores:.2f}",
                "-" if each.batch is None else f"{each.batch:g}",
                f"{each.busy:.0%}",
                f"{each.embedding:.0%}",
                each.threads or "-",
                f"{each.resident_mb:.0f}",
            )
            for each in found
        ],
    )
    too_many = crowded(found, cores())
    if too_many is not None:
        output.hint(too_many)
    narrow = bottleneck(found)
    if narrow is None:
        output.hint("no stage is busy all the time: there is room for more requests")
    else:
        output.hint(f"{narrow.stage} is busy {narrow.busy:.0%} of the time: {advice(narrow.stage)}")


def _samples(settings: Settings) -> dict[int, WorkerSample]:
    """Sample of each worker that answers, and of the broker where it runs here, by process."""
    found: dict[int, WorkerSample] = {}
    for worker in (read_run(settings.state_dir) or {}).get("workers", []):
        text = _metrics(settings.http.host, worker["port"])
        if text is not None:
            found[int(worker["pid"])] = sample_of(worker["name"], text)
    broker = broker_process(settings.kafka)
    if broker is not None:
        with suppress(psutil.NoSuchProcess):
            found[broker.pid] = WorkerSample(BROKER, cpu_s(broker), resident_bytes=broker.memory_info().rss)
    return found


def _metrics(host: str, port: int | None) -> str | None:
    if port is None:
        return None
    try:
        answer = page(host, port, "/metrics", PROBE_S)
    except NoAnswer:
        return None
    return answer.text if answer.status == 200 else None
