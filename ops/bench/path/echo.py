"""Echo processor: one hop of an empty path, through the same shell as the real processors.

`python -m refrain.ops.bench.path.echo SOURCE TARGET`, with the settings of the environment.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from refrain.ops.config.settings import load_settings
from refrain.schemas.topics import BY_NAME
from refrain.streams import time_of_day
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.stateless import Step, run_stateless

BATCH = 500


class Echo(Step):
    """Echo: each record goes on to another topic as it came."""

    def __init__(self, target: str) -> None:
        self._target = target

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        return [Outgoing(self._target, record.key, record.value, record.headers) for record in batch]


def main(source: str, target: str) -> None:
    """Copy records from one topic to another until SIGTERM."""
    settings = load_settings(os.environ, None)
    ended = False
    told = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        ended = True

    def ready() -> None:
        nonlocal told
        if not told:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            told = True

    signal.signal(signal.SIGTERM, end)
    name = f"echo-{source}"
    cluster = KafkaCluster(settings)
    context = WorkerContext(settings, cluster, Metrics(), lambda: ended, ready, time_of_day.now_ms)
    # A topic that is not of the table goes by its whole name.
    target = target if target in BY_NAME else f"/{settings.prefix}{target}"
    run_stateless(name, cluster.consumer(source, name), cluster.producer(), Echo(target), context, batch_max=BATCH)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
