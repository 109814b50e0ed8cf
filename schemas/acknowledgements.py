"""`acknowledgements`: up to which command each worker acts. `refrain policies apply` and the like wait for them."""

from __future__ import annotations

from refrain.schemas.base import Message, Millis


class Acknowledgement(Message):
    """From now on `worker` acts by the commands up to `version`.

    A processor of a consumer group is known by its member id and acknowledges policies; a shard by its number, and it
    acknowledges every command, when its fold is committed.
    """

    processor: str
    """The processor that the worker runs."""
    worker: str
    """The member id of a consumer group, or the number of a shard."""
    version: int
    """The offset in `control` of the last command that it acts by."""
    at_ms: Millis
    route_keys: tuple[str, ...] = ()
    """Ids of the keys of routes that the worker has, the signing one first; of classify and populate."""
