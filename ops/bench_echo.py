"""One hop of an empty path, in a process of its own: what comes goes on unread, through the shell of the processors.

`python -m ops.bench_echo SOURCE TARGET`, with the settings of the environment.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from ops.settings import load_settings
from streams.kafka_log import KafkaLog
from streams.log import Outgoing, Record
from streams.metrics import Metrics
from streams.stateless import run_stateless

BATCH = 500


def main(source: str, target: str) -> None:
    """Copy records from one topic to another until SIGTERM."""
    log = KafkaLog(load_settings(os.environ, None))
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

    def step(batch: Sequence[Record]) -> list[Outgoing]:
        return [Outgoing(target, record.key, record.value, record.headers) for record in batch]

    signal.signal(signal.SIGTERM, end)
    name = f"echo-{source}"
    run_stateless(
        name,
        log.reader(source, name),
        log.writer(),
        step,
        Metrics(),
        batch_max=BATCH,
        stop=lambda: ended,
        ready=ready,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
