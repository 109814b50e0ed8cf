"""Loading what takes long, such as a model, beside a main loop that may not be silent meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

BEAT_S = 1.0
"""How often a worker shows that it lives while it loads."""


def run_beside_heartbeat(load: Callable[[], T], alive: Callable[[], object], beat_s: float = BEAT_S) -> T:
    """What `load` gives, run on a thread of its own. `alive` is called on this thread meanwhile.

    Raises what `load` raises.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="load") as pool:
        loading = pool.submit(load)
        while not wait([loading], timeout=beat_s).done:
            alive()
        return loading.result()
