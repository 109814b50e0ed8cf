"""Worker processes of a bench: started, awaited and stopped, whatever happens to the bench."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from refrain.ops.bench.processes import child
from refrain.ops.run.probe import NoAnswer, page
from refrain.ops.run.state_files import read_run
from refrain.streams.errors import ClusterFailed, WrongSetup
from refrain.streams.settings import Settings

READY_S = 120.0
LOOK_S = 0.1
PROBE_S = 1.0
TAIL_LINES = 12


@contextmanager
def refrain(
    settings: Settings, names: Sequence[str], variables: Mapping[str, str], ready_s: float = READY_S
) -> Iterator[None]:
    """Run `refrain run NAMES` until the block ends; its log is shown when it does not become ready in `ready_s`."""
    command = [sys.executable, "-m", "refrain.ops.cli", "run", "--supervised", *names]
    environment = {
        **os.environ,
        "REFRAIN_KAFKA": settings.kafka,
        "REFRAIN_PREFIX": settings.prefix,
        "REFRAIN_STATE_DIR": str(settings.state_dir),
        "REFRAIN_LOG_LEVEL": "WARNING",
        **variables,
    }
    with tempfile.TemporaryFile() as output, child(command, environment, output) as process:
        _await_ready(settings, len(names), process, output, ready_s)
        try:
            yield
        except ClusterFailed as problem:
            raise ClusterFailed(f"{problem}; the workers said last:\n{_tail(output)}") from problem


@contextmanager
def echo(settings: Settings) -> Iterator[tuple[int, int]]:
    """Run the two echo hops, a process each; gives their process ids."""
    environment = {**os.environ, "REFRAIN_KAFKA": settings.kafka, "REFRAIN_PREFIX": settings.prefix}
    module = [sys.executable, "-m", "refrain.ops.bench.path.echo"]
    with (
        child([*module, "requests", "middle"], environment, subprocess.PIPE) as first,
        child([*module, "middle", "responses"], environment, subprocess.PIPE) as second,
    ):
        for process in (first, second):
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise WrongSetup("the echo did not start: look at its error above")
        yield first.pid, second.pid


def _await_ready(
    settings: Settings, count: int, process: subprocess.Popen[bytes], output: IO[bytes], ready_s: float
) -> None:
    deadline = time.monotonic() + ready_s
    while time.monotonic() < deadline and process.poll() is None:
        if _ready(settings.state_dir, settings.http.host) == count:
            return
        time.sleep(LOOK_S)
    raise WrongSetup(f"the workers did not become ready:\n{_tail(output)}")


def _tail(output: IO[bytes]) -> str:
    output.seek(0)
    return "\n".join(output.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:])


def _ready(state_dir: Path, host: str) -> int:
    run = read_run(state_dir) or {}
    ready = 0
    for worker in run.get("workers", []):
        if not worker.get("port"):
            continue
        try:
            ready += page(host, worker["port"], "/readyz", PROBE_S).status == 200
        except NoAnswer:
            continue
    return ready
