"""Supervisor of several workers, a process each: started, restarted when they end, stopped together.

A worker that ends with 78 (wrong setup) stops all: starting it again would not help. Any other failure is
answered by a new process after a pause that doubles from 0.2 s to 5 s and starts over after 30 s of work.

A worker is judged by what it does: one whose main loop stands still for longer than its group waits for a poll is asked
to stop, killed when it does not, and started again.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

from refrain.ops.run import logs
from refrain.ops.run.probe import NoAnswer, page
from refrain.ops.run.worker import whose, write_whole
from refrain.ops.terminal import exit_codes
from refrain.streams.kafka.config import max_poll_interval_ms
from refrain.streams.models.threads import threads_of

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
RUN_FILE = "run.json"
EMBEDS = "classify"
"""The processor whose workers embed every new question."""
THREADS_VARIABLE = "REFRAIN_EMBEDDING__THREADS"
FORMAT_VARIABLE = "REFRAIN_LOG_FORMAT"

Spawn = Callable[[str, int, int], "subprocess.Popen[bytes]"]
"""Starts the worker of that name, which stands at that place in the list and was started again so often."""


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
            with suppress(FileNotFoundError):
                (self.state_dir / RUN_FILE).unlink()
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
                _send(worker, signal.SIGKILL)
            return
        if worker.port is not None and now_s < worker.look_due_s:
            return
        worker.look_due_s = now_s + LOOK_S
        told = _json(_health_file(self.state_dir, worker.name, worker.pid)) or {}
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
        _send(worker, signal.SIGTERM)

    def _ended(self, worker: WorkerProcess, code: int) -> None:
        pid, how = worker.pid, f"signal {-code}" if code < 0 else f"exit code {code}"
        _close(worker)
        worker.ended = how
        worker.ended_at_ms = [*worker.ended_at_ms, time.time_ns() // 1_000_000][-ENDS_MAX:]
        with suppress(FileNotFoundError):
            _health_file(self.state_dir, worker.name, pid).unlink()
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
            {
                "name": worker.name,
                "pid": worker.pid,
                "port": worker.port,
                **_ends(worker),
            }
            for worker in self.workers
            if worker.pid is not None
        ]
        down = [
            {"name": worker.name, "starts_again": not worker.done, **_ends(worker)}
            for worker in self.workers
            if worker.pid is None and worker.ended
        ]
        if (rows, down) != self._told:
            told = {"pid": os.getpid(), **self.about, "workers": rows, "down": down}
            write_whole(self.state_dir / RUN_FILE, told)
            self._told = (rows, down)

    def _stop_all(self) -> None:
        running = [worker for worker in self.workers if worker.process is not None and worker.process.poll() is None]
        for worker in running:
            _send(worker, signal.SIGTERM)
        deadline = self.clock() + self.drain_s
        while any(worker.process is not None and worker.process.poll() is None for worker in running):
            if self._hurry or self.clock() >= deadline:
                break
            self._wait()
        for worker in running:
            if worker.process is not None and worker.process.poll() is None:
                logger.warning("%s, process %s, did not drain in time: killed", worker.name, worker.pid)
                _send(worker, signal.SIGKILL)
                worker.process.wait()
        for worker in self.workers:
            if worker.process is not None:
                with suppress(FileNotFoundError):
                    _health_file(self.state_dir, worker.name, worker.pid).unlink()
                _close(worker)


def supervise(names: Sequence[str], settings: Settings, options: Options) -> int:
    """Run workers of those names until SIGTERM or Ctrl-C; returns the exit code."""
    logs.set_up("supervisor", settings.log_level, form=settings.log_format)
    other = read_run(settings.state_dir)
    if other is not None and is_alive(int(other["pid"])):
        logger.warning("process %s also runs workers with the state folder %s", other["pid"], settings.state_dir)
    still_s = max_poll_interval_ms(settings) / 1_000 + STILL_MARGIN_S
    variables = {**shared_out(names, settings), FORMAT_VARIABLE: settings.log_format}
    spawn = spawner(settings.http.port, options, variables)
    supervisor = Supervisor(names, spawn, settings.state_dir, still_s=still_s, about=whose(settings))
    with _signals(supervisor):
        logger.info("process %d runs %s; broker %s", os.getpid(), ", ".join(names), settings.kafka)
        return supervisor.run()


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


def read_workers(state_dir: Path) -> list[dict[str, Any]]:
    """What the workers of this state folder publish of themselves in `health/`, also those that no supervisor runs."""
    found = (_json(path) for path in sorted((state_dir / "health").glob("[!.]*.json")))
    return [told for told in found if told is not None and isinstance(told.get("pid"), int)]


def read_run(state_dir: Path) -> dict[str, Any] | None:
    """Read run.json, None when no supervisor wrote one."""
    return _json(state_dir / RUN_FILE)


def _port(told: Mapping[str, Any]) -> int | None:
    """The health port that a worker published, None before it did."""
    return int(told["port"]) if "port" in told else None


def is_alive(pid: int) -> bool:
    """Whether a process of that id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ends(worker: WorkerProcess) -> dict[str, Any]:
    """How the processes that filled a worker's place ended."""
    return {"restarts": worker.restarts, "ended": worker.ended, "ended_at_ms": worker.ended_at_ms}


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _says_alive(told: Mapping[str, Any]) -> bool:
    """Whether a worker says at its port that its main loop comes round: on a full disk its file stays as it was."""
    try:
        return page(told["host"], told["port"], "/healthz", PROBE_S).status == 200
    except (KeyError, NoAnswer):
        return False


def _health_file(state_dir: Path, name: str, pid: int | None) -> Path:
    return state_dir / "health" / f"{name}-{pid}.json"


def _send(worker: WorkerProcess, number: signal.Signals) -> None:
    if worker.process is not None:
        with suppress(ProcessLookupError):
            worker.process.send_signal(number)


def _close(worker: WorkerProcess) -> None:
    if worker.process is not None and worker.process.stdin is not None:
        with suppress(BrokenPipeError):
            worker.process.stdin.close()
    worker.process = None


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
