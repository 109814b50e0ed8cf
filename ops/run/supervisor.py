"""Supervisor of several workers, a process each: started, restarted when they end, stopped together.

A worker that ends with 78 (wrong setup) stops all: starting it again would not help. Any other failure is
answered by a new process after a pause that doubles from 0.2 s to 5 s and starts over after 30 s of work.

A worker is judged by what it does: one whose main loop stands still for longer than its group waits for a poll is asked
to stop, killed when it does not, and started again.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

import psutil

from refrain.ops.run import logs
from refrain.ops.run.probe import NoAnswer, page
from refrain.ops.run.spawning import FORMAT_VARIABLE, Spawn, shared_out, spawner
from refrain.ops.run.state_files import RUN_FILE, health_path, read_object, read_run, whose, write_whole
from refrain.ops.terminal import exit_codes
from refrain.streams import time_of_day
from refrain.streams.kafka.config import max_poll_interval_ms

if TYPE_CHECKING:
    from refrain.ops.terminal.options import Options
    from refrain.streams.settings import Settings

logger = logging.getLogger(__name__)

PAUSE_S_MIN = 0.2
PAUSE_S_MAX = 5.0
STEADY_S = 30.0
DRAIN_S = 15.0
ROUND_S = 0.1
LOOK_S = 1.0
"""How often the health file of a worker that has told its port is read again: it beats every two seconds."""
START_S = 300.0
"""How long a worker may take to the first round of its main loop: it may have to load a model."""
STILL_S = 90.0
"""How long a main loop may stand still, with the shortest `max.poll.interval.ms`: that, and a margin."""
STILL_MARGIN_S = 30.0
END_S = 10.0
"""How long one that stands still has to stop by itself."""
PROBE_S = 2.0
ENDS_MAX = 20
"""Ends of one place that run.json tells of, the last ones."""


@dataclass
class WorkerProcess:
    """Worker process: one place in the list and the process that fills it now."""

    name: str
    place: int
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    due_s: float = 0.0
    pause_s: float = PAUSE_S_MIN
    done: bool = False
    turns: int | None = None
    """Rounds of its main loop, as last seen; None before it told any."""
    moved_s: float = 0.0
    """When they were last seen to move."""
    port: int | None = None
    """Health port that it published; None before it did."""
    look_due_s: float = 0.0
    """When its health file is read again, once its port is known."""
    kill_due_s: float | None = None
    """When it is killed, if it was asked to stop because it stood still."""
    restarts: int = 0
    """How often another process took the place of one that had ended."""
    ended: str = ""
    """How the last one ended."""
    ended_at_ms: list[int] = field(default_factory=list)
    """When the last ones did."""

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    @property
    def runs(self) -> bool:
        """Whether its process has not ended yet."""
        return self.process is not None and self.process.poll() is None

    @property
    def ends(self) -> dict[str, Any]:
        """How the processes that filled the place ended, for run.json."""
        return {"restarts": self.restarts, "ended": self.ended, "ended_at_ms": self.ended_at_ms}

    def send(self, number: signal.Signals) -> None:
        """Send its process a signal, if there is one that still runs."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    def close(self) -> None:
        """Let go of a process that has ended."""
        if self.process is not None and self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        self.process = None


@dataclass
class Supervisor:
    """Keeps one process for each name, until a signal number is put into `signals`.

    The first asks the workers to drain; a second Ctrl-C kills what still drains.
    """

    names: Sequence[str]
    spawn: Spawn
    state_dir: Path
    clock: Callable[[], float] = time.monotonic
    drain_s: float = DRAIN_S
    still_s: float = STILL_S
    start_s: float = START_S
    end_s: float = END_S
    signals: SimpleQueue[int] = field(default_factory=SimpleQueue)
    """Safe to put into from a signal handler, which an Event is not."""

    about: Mapping[str, str] = field(default_factory=dict)
    """Further keys of run.json: whose workers these are."""

    def __post_init__(self) -> None:
        self.workers = [WorkerProcess(name, place) for place, name in enumerate(self.names)]
        self._told: object = None
        self._failed: int | None = None
        self._stopping = False
        self._hurry = False

    def run(self) -> int:
        """Supervise until a signal comes or every worker is done; returns the exit code."""
        try:
            while not self._stopping and not all(worker.done for worker in self.workers):
                self.round()
                self._wait()
        finally:
            self._stop_all()
            (self.state_dir / RUN_FILE).unlink(missing_ok=True)
        return exit_codes.OK if self._failed is None else self._failed

    def round(self) -> None:
        """Poll every worker once: start what is due, take note of what ended, end what stands still."""
        for worker in self.workers:
            if worker.process is not None:
                code = worker.process.poll()
                if code is not None:
                    self._ended(worker, code)
                else:
                    self._look_after(worker)
            elif not worker.done and self.clock() >= worker.due_s:
                self._start(worker)
        self._write_run_file()

    def _wait(self) -> None:
        try:
            number = self.signals.get(timeout=ROUND_S)
        except Empty:
            return
        self._hurry = self._stopping and number == signal.SIGINT
        self._stopping = True

    def _start(self, worker: WorkerProcess) -> None:
        worker.process = self.spawn(worker.name, worker.place, worker.restarts)
        worker.started_s = worker.moved_s = self.clock()
        worker.turns = worker.kill_due_s = worker.port = None
        logger.info("started %s, process %d", worker.name, worker.process.pid)

    def _look_after(self, worker: WorkerProcess) -> None:
        """Ask a worker to stop whose main loop stands still, and kill it when it does not."""
        now_s = self.clock()
        if worker.kill_due_s is not None:
            if now_s >= worker.kill_due_s:
                worker.send(signal.SIGKILL)
            return
        if worker.port is not None and now_s < worker.look_due_s:
            return
        worker.look_due_s = now_s + LOOK_S
        told = read_object(health_path(self.state_dir, worker.name, worker.pid)) or {}
        worker.port = _port(told)
        turns = told.get("turns")
        if turns != worker.turns:
            worker.turns, worker.moved_s = turns, now_s
        still_s = now_s - worker.moved_s
        if still_s <= (self.still_s if worker.turns else self.start_s):
            return
        if _says_alive(told):
            worker.moved_s = now_s
            return
        logger.error("%s, process %s, has stood still for %.0f s: ended", worker.name, worker.pid, still_s)
        worker.kill_due_s = now_s + self.end_s
        worker.send(signal.SIGTERM)

    def _ended(self, worker: WorkerProcess, code: int) -> None:
        pid, how = worker.pid, f"signal {-code}" if code < 0 else f"exit code {code}"
        worker.close()
        worker.ended = how
        worker.ended_at_ms = [*worker.ended_at_ms, time_of_day.now_ms()][-ENDS_MAX:]
        health_path(self.state_dir, worker.name, pid).unlink(missing_ok=True)
        if code == exit_codes.OK:
            worker.done = True
            logger.info("%s, process %s, has ended", worker.name, pid)
        elif code == exit_codes.WRONG_SETUP:
            worker.done = True
            self._failed = code
            logger.error("%s, process %s, ended with %s (wrong setup): stopping all", worker.name, pid, how)
            self._stopping = True
        else:
            if self.clock() - worker.started_s >= STEADY_S:
                worker.pause_s = PAUSE_S_MIN
            worker.due_s = self.clock() + worker.pause_s
            worker.restarts += 1
            logger.warning("%s, process %s, ended with %s: again in %.1f s", worker.name, pid, how, worker.pause_s)
            worker.pause_s = min(PAUSE_S_MAX, worker.pause_s * 2)

    def _write_run_file(self) -> None:
        """Write run.json when something has changed."""
        rows = [
            {"name": worker.name, "pid": worker.pid, "port": worker.port, **worker.ends}
            for worker in self.workers
            if worker.pid is not None
        ]
        down = [
            {"name": worker.name, "starts_again": not worker.done, **worker.ends}
            for worker in self.workers
            if worker.pid is None and worker.ended
        ]
        if (rows, down) != self._told:
            told = {"pid": os.getpid(), **self.about, "workers": rows, "down": down}
            write_whole(self.state_dir / RUN_FILE, told)
            self._told = (rows, down)

    def _stop_all(self) -> None:
        running = [worker for worker in self.workers if worker.runs]
        for worker in running:
            worker.send(signal.SIGTERM)
        deadline = self.clock() + self.drain_s
        while any(worker.runs for worker in running):
            if self._hurry or self.clock() >= deadline:
                break
            self._wait()
        for worker in running:
            if worker.process is not None and worker.runs:
                logger.warning("%s, process %s, did not drain in time: killed", worker.name, worker.pid)
                worker.send(signal.SIGKILL)
                worker.process.wait()
        for worker in self.workers:
            if worker.process is not None:
                health_path(self.state_dir, worker.name, worker.pid).unlink(missing_ok=True)
                worker.close()


def supervise(names: Sequence[str], settings: Settings, options: Options) -> int:
    """Run workers of those names until SIGTERM or Ctrl-C; returns the exit code."""
    logs.set_up("supervisor", settings.log_level, form=settings.log_format)
    other = read_run(settings.state_dir)
    if other is not None and psutil.pid_exists(int(other["pid"])):
        logger.warning("process %s also runs workers with the state folder %s", other["pid"], settings.state_dir)
    still_s = max_poll_interval_ms(settings) / 1_000 + STILL_MARGIN_S
    variables = {**shared_out(names, settings), FORMAT_VARIABLE: settings.log_format}
    spawn = spawner(settings.http.port, options, variables)
    supervisor = Supervisor(names, spawn, settings.state_dir, still_s=still_s, about=whose(settings))
    with _signals(supervisor):
        logger.info("process %d runs %s; broker %s", os.getpid(), ", ".join(names), settings.kafka)
        return supervisor.run()


def _port(told: Mapping[str, Any]) -> int | None:
    """The health port that a worker published, None before it did."""
    return int(told["port"]) if "port" in told else None


def _says_alive(told: Mapping[str, Any]) -> bool:
    """Whether a worker says at its port that its main loop comes round: on a full disk its file stays as it was."""
    try:
        return page(told["host"], told["port"], "/healthz", PROBE_S).status == 200
    except (KeyError, NoAnswer):
        return False


@contextmanager
def _signals(supervisor: Supervisor) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        supervisor.signals.put(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
