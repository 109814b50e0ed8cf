"""Commands that are measured: each in a process of its own, with the time and memory that it and its children took."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from refrain.ops.observe.cost import MEGABYTE
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Settings

TAIL_LINES = 12


class Spent(NamedTuple):
    """What a command took, from its start to its end."""

    seconds: float
    cpu_s: float
    """Of all its processes."""
    resident_mb: float
    """The most that any one of them held."""

    def of(self, records: int) -> dict[str, float]:
        """For JSON, with records a second."""
        return {
            "records_s": round(records / self.seconds, 1),
            "records_s_core": round(records / self.cpu_s, 1),
            "seconds": round(self.seconds, 2),
            "resident_mb": round(self.resident_mb, 1),
        }


def spent_by(settings: Settings, words: Sequence[str]) -> Spent:
    """Run `refrain WORDS` on the topics of the settings. Raises WrongSetup when it does not end with 0."""
    environment = {
        **os.environ,
        "REFRAIN_KAFKA": settings.kafka,
        "REFRAIN_PREFIX": settings.prefix,
        "REFRAIN_STATE_DIR": str(settings.state_dir),
    }
    command = [sys.executable, "-m", "refrain.ops.cli", *words]
    with tempfile.TemporaryFile() as said:
        started = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            tail = "\n".join(said.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:])
            raise WrongSetup(f"`refrain {' '.join(words)}` ended with {process.returncode}; it said last:\n{tail}")
    unit = 1 if sys.platform == "darwin" else 1_024
    return Spent(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / MEGABYTE)
