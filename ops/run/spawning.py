"""Starts the process of a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from refrain.streams.models.threads import threads_of

if TYPE_CHECKING:
    from refrain.ops.terminal.options import Options
    from refrain.streams.settings import Settings

EMBEDS = "classify"
"""The processor whose workers embed every new question."""
THREADS_VARIABLE = "REFRAIN_EMBEDDING__THREADS"
FORMAT_VARIABLE = "REFRAIN_LOG_FORMAT"

Spawn = Callable[[str, int, int], "subprocess.Popen[bytes]"]
"""Starts the worker of that name, which stands at that place in the list and was started again so often."""


def shared_out(names: Sequence[str], settings: Settings) -> dict[str, str]:
    """Variables by which workers of those names share the cores of this machine."""
    if settings.embedding.threads != "auto":
        return {}
    return {THREADS_VARIABLE: str(threads_of(settings.embedding, list(names).count(EMBEDS)))}


def spawner(port: int, options: Options, variables: Mapping[str, str]) -> Spawn:
    """Starts `refrain run NAME` with this Python and these variables; a fixed health port P becomes P + place."""

    def spawn(name: str, place: int, restarts: int) -> subprocess.Popen[bytes]:
        before = ["--config", str(options.config)] if options.config is not None else []
        before += ["--prefix", options.prefix] if options.prefix is not None else []
        # -P keeps the current folder out of the import path: it may hold an `ops` of its own.
        command = [sys.executable, "-P", "-m", "refrain.ops.cli", *before, "run", name, "--supervised"]
        command += ["--restarts", str(restarts)]
        environ = {**os.environ, **variables}
        if port:
            environ["REFRAIN_HTTP__PORT"] = str(port + place)
        return subprocess.Popen(command, stdin=subprocess.PIPE, env=environ)

    return spawn
