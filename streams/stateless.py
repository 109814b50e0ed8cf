"""The shell of processors without state: take a batch, work it, send what comes of it, keep the position.

A processor that acts by the policy says around its batches which one it is (`Policed`, see `streams.acting`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from streams.errors import Lapsed, Rebalanced
from streams.log import Outgoing, Position, Reader, Record, Writer
from streams.metrics import Metrics

logger = logging.getLogger(__name__)

POLL_S = 0.1
COMMIT_INTERVAL_S = 0.1
ATTEMPTS_MAX = 10
"""How often a batch is worked whose outcome lapses on its way, before the worker stops."""

Step = Callable[[Sequence[Record]], Sequence[Outgoing]]


class Policed(Protocol):
    """What a processor that acts by the policy in force does around its batches. `member` is its id in the group."""

    def between(self, member: str) -> Sequence[Outgoing]:
        """Before each poll, when all that was produced is acknowledged. Returns what to send first."""

    def begin(self, member: str) -> None:
        """Before a batch is worked on."""

    def holds(self) -> bool:
        """After a batch was worked on, before its outcome is sent: False when it must be worked on again."""


class Unpoliced:
    """No policy counts."""

    def between(self, member: str) -> Sequence[Outgoing]:
        return ()

    def begin(self, member: str) -> None:
        pass

    def holds(self) -> bool:
        return True


def run_stateless(
    name: str,
    reader: Reader,
    writer: Writer,
    step: Step,
    metrics: Metrics,
    *,
    batch_max: int,
    stop: Callable[[], bool],
    ready: Callable[[], None] = lambda: None,
    policed: Policed | None = None,
) -> None:
    """Run until `stop`. What a batch produced is acknowledged before its position is kept.

    `step` is pure as far as its outcome goes: it may be done again for the same batch.
    A crash repeats at most what came since the last position; the shard knows repeats by their ids.
    """
    acting = policed or Unpoliced()
    pending: dict[int, Position] = {}
    due = time.monotonic()
    try:
        while not stop():
            _say(acting.between(reader.member_id()), writer)
            batch = reader.poll(batch_max, POLL_S)
            if reader.assignment():
                ready()
            if batch:
                started = time.perf_counter()
                out = _carry_out(step, batch, acting, reader, writer)
                _count(metrics, name, batch, out, time.perf_counter() - started)
                for record in batch:
                    pending[record.partition] = Position(record.offset + 1)
            if pending and time.monotonic() >= due:
                pending = keep(reader, pending)
                due = time.monotonic() + COMMIT_INTERVAL_S
                for partition, behind in reader.lag().items():
                    metrics.lag.labels(name, str(partition)).set(behind)
        if pending:
            keep(reader, pending)
    finally:
        reader.close()
        writer.close()


def _say(out: Sequence[Outgoing], writer: Writer) -> None:
    """Send what is as true later: what lapsed on its way is sent again."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            writer.send(out)
            return
        except Lapsed as lapsed:
            if attempt == ATTEMPTS_MAX:
                raise
            logger.warning("an acknowledgement is sent again: %s", lapsed)


def _carry_out(
    step: Step, batch: Sequence[Record], acting: Policed, reader: Reader, writer: Writer
) -> Sequence[Outgoing]:
    """What came of the batch, once it is sent. What lapsed on its way is made again."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        acting.begin(reader.member_id())
        out = step(batch)
        while not acting.holds():
            out = step(batch)
        try:
            writer.send(out)
            break
        except Lapsed as lapsed:
            if attempt == ATTEMPTS_MAX:
                raise
            logger.warning("a batch is worked again: %s", lapsed)
    return out


def keep(reader: Reader, pending: dict[int, Position]) -> dict[int, Position]:
    """Commit the positions of partitions still owned; returns what is left to commit later."""
    owned = set(reader.assignment())
    mine = {partition: position for partition, position in pending.items() if partition in owned}
    try:
        reader.commit(mine)
    except Rebalanced as rebalance:
        logger.info("position kept for later: %s", rebalance)
        return mine
    return {}


def _count(metrics: Metrics, name: str, batch: Sequence[Record], out: Sequence[Outgoing], seconds: float) -> None:
    metrics.batch.labels(name).observe(seconds)
    metrics.taken.labels(name, batch[0].topic).inc(len(batch))
    metrics.count_sent(name, out)
