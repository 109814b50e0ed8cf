"""What is in hand of `forwards`, by the thread that has it: a worker may end at one that is polled, called or sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from refrain.streams.kafka.interface import Record
from refrain.streams.runtime.progress import Progress
from refrain.streams.upstream.completions import SOURCE
from refrain.streams.upstream.metrics import NAME


class InHand:
    """The progress of the three threads of a connector."""

    def __init__(self, progress: Callable[[str, str], Progress]) -> None:
        """`progress` gives that of a group on a topic."""
        self.polled = progress(NAME, SOURCE)
        self.called = progress(f"{NAME}.calls", SOURCE)
        self.sent = progress(f"{NAME}.outbox", SOURCE)

    def follow(self, owned: Collection[int]) -> None:
        """Take over what is owned and was not, and give back what is owned no more."""
        for each in (self.polled, self.called, self.sent):
            each.follow(owned)

    def is_set_aside(self, record: Record) -> bool:
        """Whether the record has ended its worker twice, on whatever thread."""
        return any(each.is_set_aside(record) for each in (self.polled, self.called, self.sent))

    def forget(self, partitions: Sequence[int]) -> None:
        """Give back partitions that another worker owns, whatever of them is still called or sent here."""
        self.called.released(partitions)
        self.sent.withdraw(partitions)
