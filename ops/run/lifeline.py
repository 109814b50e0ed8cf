"""Lifeline: workers end with their supervisor, also when it is killed with no chance to signal them.

The supervisor holds the writing end of each child's stdin and writes nothing. However it ends, the system
closes that end, and the child reads the end of the file. This works on every system, and a worker that is
started by hand watches nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import threading

logger = logging.getLogger(__name__)

GRACE_S = 10.0
"""How long an orphan may drain before it leaves at once."""
ORPHANED = 75
STDIN = 0


def watch_supervisor() -> None:
    """Watch the supervisor from a thread: when standard input ends, ask this process to stop; kill it after GRACE_S."""
    threading.Thread(target=_wait, name="lifeline", daemon=True).start()


def _wait() -> None:
    while os.read(STDIN, 1024):
        continue
    logger.warning("the supervisor is gone: stopping")
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_S)
    os._exit(ORPHANED)
