"""Recovers a shard that an operator let go on behind a part of the journal that is gone."""

from __future__ import annotations

from refrain.schemas.base import RecoveryWay
from refrain.schemas.journal import RecoveryOrdered
from refrain.streams.errors import RefusalCode
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.handlers.answered import fail_all
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard

MESSAGE = "the answer may have been in a part of the journal that is gone: ask again"


def on_recovery_ordered(shard: Shard, event: RecoveryOrdered, record: Record, out: FoldResult) -> None:
    """Give up the flights whose answers may have been in the part that is gone; nothing where it was not obeyed."""
    obeyed = shard.skips.row(event.position, "records") is not None
    if event.how is not RecoveryWay.WATERMARK or not obeyed:
        return
    for flight in shard.flights.opened_before(event.position):
        fail_all(shard, flight.forward_id, RefusalCode.SHARD_RECOVERED, MESSAGE, out)
