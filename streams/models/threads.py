"""Processor threads of the embedding model, where workers share the cores of a machine. Pure, but for the cores."""

from __future__ import annotations

import os

from refrain.streams.settings import Embedding

AUTO_MAX = 8
"""More threads do little for a text of some words, and cost much: their work is too small to be divided further."""
WITHOUT = ("http", "free")
"""Backends whose model does not run on threads of this machine."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(settings: Embedding, sharing: int = 1, available: int | None = None) -> int:
    """The threads of one worker's model, at least 1; `sharing` workers divide the `available` cores among them.

    A number in the settings is taken as it is.
    """
    if settings.threads != "auto":
        return settings.threads
    of = cores() if available is None else available
    return min(AUTO_MAX, max(1, of // max(1, sharing)))


def local_threads_of(settings: Embedding) -> int:
    """The threads that a worker's model takes of this machine: none where it runs elsewhere, or is no model."""
    return 0 if settings.backend in WITHOUT else threads_of(settings)
