"""What processes use: CPU time a request by stage, resident memory; of the workers, and of a broker on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import psutil

from refrain.ops.cluster.broker_process import broker_process, cpu_s
from refrain.ops.observe.cost import BROKER, MEGABYTE
from refrain.ops.run.state_files import read_run
from refrain.streams.settings import Settings


class Usage(NamedTuple):
    """CPU seconds by stage, and the seconds that passed."""

    cpu_s: Mapping[str, float]
    elapsed_s: float

    def ms_a_request(self, requests: int) -> dict[str, float]:
        """CPU milliseconds a request by stage."""
        return {stage: round(spent * 1_000 / requests, 3) for stage, spent in self.cpu_s.items()}

    def shares(self) -> dict[str, float]:
        """Share of one core by stage."""
        return {stage: round(spent / self.elapsed_s, 3) for stage, spent in self.cpu_s.items()}


class CpuMeter:
    """Meters processes by stage; several of one stage count together, with those that they started."""

    def __init__(self, stages: Mapping[str, Sequence[psutil.Process]]) -> None:
        self._stages = stages
        self._before: dict[str, float] = {}
        self._started_s = 0.0

    def start(self) -> None:
        """Start to meter."""
        self._before, self._started_s = self.cpu_s(), time.monotonic()

    def stop(self) -> Usage:
        """What was used since `start`."""
        elapsed_s = time.monotonic() - self._started_s
        return Usage({stage: spent - self._before[stage] for stage, spent in self.cpu_s().items()}, elapsed_s)

    def resident_mb(self) -> dict[str, float]:
        """Resident memory by stage, in megabytes."""
        return {
            stage: round(sum(each.memory_info().rss for each in _alive(processes)) / MEGABYTE, 1)
            for stage, processes in self._stages.items()
        }

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds by stage since the processes began."""
        return {stage: sum(map(cpu_s, _alive(processes))) for stage, processes in self._stages.items()}


def meter_of(settings: Settings, pids: Sequence[int] | None = None) -> CpuMeter:
    """The meter of the workers that run under the settings, or of other processes `pids`, and of their broker.

    A broker on another machine is not metered.
    """
    stages: dict[str, list[psutil.Process]] = {}
    if pids is None:
        for worker in (read_run(settings.state_dir) or {}).get("workers", []):
            stages.setdefault(worker["name"], []).append(psutil.Process(worker["pid"]))
    else:
        stages["hops"] = [psutil.Process(pid) for pid in pids]
    broker = broker_process(settings.kafka)
    return CpuMeter({**stages, **({} if broker is None else {BROKER: [broker]})})


def _alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [child for each in processes if each.is_running() for child in (each, *each.children(recursive=True))]
