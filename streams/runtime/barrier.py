"""The barrier around a record: whatever goes wrong inside costs that record alone.

What is read is bytes until it is inside. Inside, its size is checked before anything is read of it; a refusal, or an
error that nobody foresaw, becomes a dead letter, a metric, a log line without what was sent, and an error for whoever
waits. What is no record's fault passes through: the broker, the store, the setup, memory, and the wish to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import walk_tb

from refrain.streams.errors import RefrainError, Refusal, RefusalCode
from refrain.streams.kafka.faults import CLIENT_ERRORS
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.dead_letters import reject
from refrain.streams.messaging.decoding import check_size
from refrain.streams.metrics import Metrics


class Barrier:
    """The barrier of one processor. `refuse` makes the outcome of a record that is refused.

    Without it, and where it fails itself, that is a dead letter without text: nothing tells whose text it is.
    """

    def __init__(
        self, processor: str, metrics: Metrics, refuse: Callable[[Record, Refusal], Sequence[Outgoing]] | None = None
    ) -> None:
        self._processor = processor
        self._metrics = metrics
        self._refuse = refuse or self._letter

    def take(self, record: Record, work: Callable[[Record], Sequence[Outgoing]]) -> Sequence[Outgoing]:
        """The outcome of `work`, or that of a refused record. Raises what is no record's fault (`passes`)."""
        try:
            check_size(record)
            return work(record)
        except Exception as error:  # noqa: BLE001 - the barrier: one record must not stop those behind it
            return self.outcome_of(record, error)

    def outcome_of(self, record: Record, error: Exception) -> Sequence[Outgoing]:
        """The outcome of a record that raised an error. Raises the error when it is no record's fault."""
        if passes(error):
            raise error
        refusal = error if isinstance(error, Refusal) else unforeseen(error)
        try:
            return self._refuse(record, refusal)
        except Exception as second:
            if passes(second):
                raise
            return self._letter(record, refusal)

    def _letter(self, record: Record, refusal: Refusal) -> Sequence[Outgoing]:
        return [reject(record, refusal, self._processor, self._metrics, with_text=False)]


def passes(error: Exception) -> bool:
    """Whether an error passes through the barrier: it is no record's fault, and the next one would not fare better."""
    return isinstance(error, (RefrainError, MemoryError, *CLIENT_ERRORS)) and not isinstance(error, Refusal)


def unforeseen(error: Exception) -> Refusal:
    """The refusal of a record that raised what nobody foresaw: the kind of error and its place, never what it says.

    The text of an error may quote what was sent.
    """
    frames = [frame.f_code.co_filename + f":{line}" for frame, line in walk_tb(error.__traceback__)]
    place = f" at {Path(frames[-1]).name}" if frames else ""
    return Refusal(RefusalCode.INTERNAL, f"{type(error).__name__}{place}")
