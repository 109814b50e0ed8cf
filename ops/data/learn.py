"""The libraries of the extra `learn`."""

from __future__ import annotations

import importlib.util

from refrain.streams.errors import WrongSetup, install_hint

LIBRARIES = ("scipy", "sklearn", "threadpoolctl")


def check_learn() -> None:
    """Raises WrongSetup where a library is missing: before the work that ends with it."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise WrongSetup(f"{', '.join(missing)} is not installed: {install_hint('learn')}")
