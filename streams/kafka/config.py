"""The settings that every client of the cluster starts from."""

from __future__ import annotations

from typing import Any

from refrain.streams.settings import Settings

ADMIN_TIMEOUT_S = 15.0


def connection(settings: Settings) -> dict[str, Any]:
    """What every client needs to reach the cluster."""
    return {
        "bootstrap.servers": settings.kafka,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "retry.backoff.ms": 2,
        "retry.backoff.max.ms": 100,
        "log_level": 3,
        **{key: value.get_secret_value() for key, value in settings.connection.items()},
    }
