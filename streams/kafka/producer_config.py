"""What every producer of Refrain has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MESSAGE_BYTES_MAX = 2_200_000
"""The largest message of any topic, with its headers and its place in a batch."""


def producer_config(base: Mapping[str, Any]) -> dict[str, Any]:
    """Properties of a producer that waits for all replicas, sends at once, and puts a key where Java's clients do.

    `base` is what every client needs to reach the cluster.
    """
    return {
        **base,
        "acks": "all",
        "linger.ms": 0,
        "partitioner": "murmur2_random",
        "message.max.bytes": MESSAGE_BYTES_MAX,
    }
