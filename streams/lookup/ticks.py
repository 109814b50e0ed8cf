"""When shards need a Tick: time passes for a shard by records alone, and so at the same place in every fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from refrain.streams.shard.fold import next_timer_ms
from refrain.streams.shard.state import Shard
from refrain.streams.spans import has_passed, is_due

TIMERS_EVERY_MS = 10
"""How often the timers of the shards are looked at."""
TICK_AGAIN_MS = 1_000
"""A tick that was not folded by then is sent again."""
TICK_ANYWAY_MS = 3_600_000
"""How often a shard gets a tick that it does not need. The end of a transaction takes an offset and is no record: a
shard that stands before one, when retention takes it, could not tell it from a record that is gone."""


class Ticks:
    """Tells which shards are to get a tick. `now_ms` is the time of day, `elapsed_s` a clock that only goes forward."""

    def __init__(self, now_ms: Callable[[], int], elapsed_s: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self._elapsed_s = elapsed_s
        self._due_ms = 0
        self._sent_ms: dict[int, int] = {}
        """By partition: when the tick that is on its way was sent."""
        self._anyway_ms: dict[int, int] = {}
        """By partition: when it last got one that it did not need."""
        self._moved: dict[int, tuple[int, float]] = {}
        """Shards whose time is ahead of this clock: their time, and when it was first seen."""

    def due(self, shards: Mapping[int, Shard]) -> list[int]:
        """The partitions whose next timer is due and that have no tick on its way: each is to get one now."""
        now_ms = self._now_ms()
        if not is_due(self._due_ms, now_ms, TIMERS_EVERY_MS):
            return []
        self._due_ms = now_ms + TIMERS_EVERY_MS
        due = [partition for partition, shard in shards.items() if self._is_due(partition, shard, now_ms)]
        self._sent_ms.update(dict.fromkeys(due, now_ms))
        return due

    def soon(self, partition: int) -> None:
        """The next tick of a partition need not wait for one that was sent."""
        self._sent_ms.pop(partition, None)

    def drop(self, partition: int) -> None:
        """Forget a partition that is another worker's."""
        self._sent_ms.pop(partition, None)
        self._moved.pop(partition, None)

    def _is_due(self, partition: int, shard: Shard, now_ms: int) -> bool:
        if has_passed(self._anyway_ms.setdefault(partition, now_ms), TICK_ANYWAY_MS, now_ms):
            self._anyway_ms[partition] = now_ms
            return True
        timer = next_timer_ms(shard)
        needed = timer is not None and timer <= self._now_of(shard, now_ms)
        return needed and has_passed(self._sent_ms.get(partition, 0), TICK_AGAIN_MS, now_ms)

    def _now_of(self, shard: Shard, now_ms: int) -> int:
        """The time of day for a shard's timers, which go by the broker's clock, where this one is behind it."""
        if now_ms >= shard.time_ms:
            self._moved.pop(shard.partition, None)
            return now_ms
        elapsed_s = self._elapsed_s()
        time_ms, moved_s = self._moved.get(shard.partition, (0, 0.0))
        if time_ms != shard.time_ms:
            self._moved[shard.partition] = time_ms, moved_s = shard.time_ms, elapsed_s
        return time_ms + int((elapsed_s - moved_s) * 1_000)
