"""Worker processes of a run: started again at once whenever one ends, stopped by their ids whatever happens."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

ROUND_S = 0.02
BREATH_S = 0.2
"""Between an end and the next start, so that a worker that cannot start does not take the machine."""
READY_S = 180.0
DRAIN_S = 20.0
PROBE_S = 0.3
ENDS_WELL = frozenset({0, 69, 75, -signal.SIGKILL})
"""Exit codes after which a supervisor starts a worker again; any other is a promise broken."""


@dataclass
class Place:
    """A worker that is wanted, and the process that fills it now."""

    name: str
    number: int
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = True
    stopping: bool = False
    due_s: float = 0.0
    paused: bool = False
    ends: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.name}-{self.number}"


class Cluster:
    """All workers of a run. Use it as a context: nothing of it outlives the block."""

    def __init__(self, environment: Mapping[str, str], state_dir: Path, logs: Path) -> None:
        self._environment = {**os.environ, **environment}
        self._state_dir = state_dir
        self._logs = logs
        self._lock = threading.RLock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self.places: list[Place] = []

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        for place in self.places:
            _kill(place)

    # -- who runs -------------------------------------------------------------------------------------

    def start(self, *names: str) -> list[Place]:
        """Start workers, which are kept running from now on."""
        with self._lock:
            places = [Place(name, len(self.places) + at) for at, name in enumerate(names)]
            self.places += places
            for place in places:
                self._start(place)
        return places

    def stop(self, *names: str) -> None:
        """Ask the workers of these processors to drain, and wait until they have. Raises TimeoutError."""
        with self._lock:
            places = [place for place in self.running() if place.name in names]
            for place in places:
                place.wanted, place.stopping = False, True
                if place.process is not None:
                    place.process.terminate()
        for place in places:
            if place.process is None:
                continue
            try:
                place.ends.append(place.process.wait(DRAIN_S))
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"{place} did not drain within {DRAIN_S:.0f} s; see {self._log_of(place)}") from None
            _close(place)

    def running(self) -> list[Place]:
        """The places that are wanted."""
        with self._lock:
            return [place for place in self.places if place.wanted]

    def codes(self) -> Counter[int]:
        """How workers ended so far: exit codes, or signals as negative numbers."""
        with self._lock:
            return Counter(code for place in self.places for code in place.ends)

    def bad_ends(self) -> list[str]:
        """Workers that ended as none may, with the log that says why."""
        with self._lock:
            return [
                f"{place} ended with {code}; see {self._logs}"
                for place in self.places
                for code in place.ends
                if code not in ENDS_WELL and not (code == -signal.SIGTERM and self._never_spoke(place))
            ]

    def _never_spoke(self, place: Place) -> bool:
        """Whether it wrote nothing: it was told to stop before it could listen for that."""
        return place.stopping and self._log_of(place).stat().st_size == 0

    # -- faults ---------------------------------------------------------------------------------------

    def kill(self, place: Place, *, for_good: bool = False) -> None:
        """kill -9."""
        with self._lock:
            place.wanted = place.wanted and not for_good
            if place.process is not None:
                _signal(place.process, signal.SIGKILL)

    def pause(self, place: Place) -> subprocess.Popen[bytes] | None:
        """SIGSTOP; returns the process to wake, None when there is none to pause."""
        with self._lock:
            if place.process is None or place.paused:
                return None
            place.paused = True
            _signal(place.process, signal.SIGSTOP)
            return place.process

    def wake(self, place: Place, process: subprocess.Popen[bytes]) -> None:
        """SIGCONT."""
        with self._lock:
            place.paused = False
            _signal(process, signal.SIGCONT)

    # -- readiness ------------------------------------------------------------------------------------

    def is_ready(self, place: Place) -> bool:
        """Whether the process that fills the place now says that it is able to work."""
        process = place.process
        if process is None or process.poll() is not None:
            return False
        try:
            told = json.loads((self._state_dir / "health" / f"{place.name}-{process.pid}.json").read_text())
            connection = http.client.HTTPConnection(told["host"], told["port"], timeout=PROBE_S)
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException):
            return False

    def wait_ready(self, *names: str) -> None:
        """Wait until all wanted workers of these processors are ready. Raises TimeoutError."""
        deadline = time.monotonic() + READY_S
        for place in [each for each in self.running() if each.name in names]:
            while not self.is_ready(place):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{place} is not ready after {READY_S:.0f} s; see {self._log_of(place)}")
                time.sleep(ROUND_S)

    # -- inside ---------------------------------------------------------------------------------------

    def _supervise(self) -> None:
        while not self._done.wait(ROUND_S):
            with self._lock:
                for place in self.places:
                    self._look_at(place)

    def _look_at(self, place: Place) -> None:
        if place.process is None:
            if place.wanted and time.monotonic() >= place.due_s:
                self._start(place)
            return
        code = None if place.stopping else place.process.poll()
        if code is not None:
            place.ends.append(code)
            _close(place)
            place.due_s = time.monotonic() + BREATH_S

    def _start(self, place: Place) -> None:
        place.paused = False
        with self._log_of(place).open("ab") as log:
            place.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "refrain.ops.cli", "run", place.name, "--supervised"],
                # Its end tells a worker that we are gone, however we went.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def _log_of(self, place: Place) -> Path:
        return self._logs / f"{place}.log"


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _close(place: Place) -> None:
    if place.process is not None and place.process.stdin is not None:
        with suppress(BrokenPipeError):
            place.process.stdin.close()
    place.process = None


def _kill(place: Place) -> None:
    if place.process is None:
        return
    if place.process.poll() is None:
        _signal(place.process, signal.SIGKILL)
        place.process.wait()
    _close(place)
