"""Event loop of one app: what the app leaves behind ends with it, or is left behind too."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def run_alone(main: Coroutine[Any, Any, None], *, end_s: float) -> None:
    """Run a coroutine in an event loop of its own, to its end; raises what it raises.

    `asyncio.run` waits for ever for a task that takes no cancellation, as those of an app that crashed may: whoever is
    to make another app, or to end, would stand still. Tasks have `end_s` seconds to end here.
    """
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main)
    finally:
        try:
            loop.run_until_complete(_end_tasks(end_s))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _end_tasks(end_s: float) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=end_s)
