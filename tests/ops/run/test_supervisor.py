"""The supervisor: what ends is started again, what is wrong stops all, and nobody outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from refrain.ops.run.spawning import Spawn, shared_out, spawner
from refrain.ops.run.supervisor import (
    END_S,
    PAUSE_S_MAX,
    START_S,
    STEADY_S,
    STILL_S,
    Supervisor,
)
from refrain.ops.terminal.options import Options
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.health import HealthServer, Liveness
from refrain.streams.settings import Embedding, Http, Settings
from tests.eventually import eventually

WAIT_S = 20.0
STAY = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); signal.pause()"
)
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)


class Children:
    """Starts small Python programs, remembers them, and kills what a test leaves."""

    def __init__(self, programs: dict[str, str]) -> None:
        self.programs = programs
        self.started: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.counted = threading.Condition()

    def spawn(self, name: str, place: int, restarts: int) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-S", "-c", self.programs[name]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if "'up'" in self.programs[name]:
            assert child.stdout is not None
            child.stdout.readline()
        with self.counted:
            self.started.append((name, child))
            self.counted.notify_all()
        return child

    def of(self, name: str) -> list[subprocess.Popen[bytes]]:
        return [child for which, child in self.started if which == name]

    def wait_for(self, name: str, count: int) -> subprocess.Popen[bytes]:
        """The `count`-th process of that name."""
        with self.counted:
            assert self.counted.wait_for(lambda: len(self.of(name)) >= count, WAIT_S)
        return self.of(name)[count - 1]

    def end(self) -> None:
        for _, child in self.started:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


Start = Callable[..., tuple[Supervisor, Children, "threading.Thread", list[int]]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Run a supervisor of those programs in a thread; its exit code lands in the list."""
    running: list[tuple[Supervisor, Children, threading.Thread]] = []

    def go(programs: dict[str, str], **options: Any) -> tuple[Supervisor, Children, threading.Thread, list[int]]:
        children = Children(programs)
        supervisor = Supervisor(list(programs), children.spawn, tmp_path, **options)
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(supervisor.run()))
        thread.start()
        running.append((supervisor, children, thread))
        return supervisor, children, thread, codes

    yield go
    for supervisor, children, thread in running:
        supervisor.signals.put(signal.SIGINT)
        supervisor.signals.put(signal.SIGINT)
        thread.join(WAIT_S)
        children.end()


def test_a_worker_that_is_killed_is_started_again(start: Start) -> None:
    _, children, _, _ = start({"a": STAY, "b": STAY})
    children.wait_for("a", 1).send_signal(signal.SIGKILL)
    assert children.wait_for("a", 2).poll() is None
    assert len(children.of("b")) == 1


def test_a_worker_that_fails_is_started_again(start: Start) -> None:
    _, children, _, _ = start({"a": "raise SystemExit(75)", "b": STAY})
    children.wait_for("a", 3)


def test_a_wrong_setup_stops_all_with_78(start: Start) -> None:
    _, children, thread, codes = start({"a": "raise SystemExit(78)", "b": STAY})
    thread.join(WAIT_S)
    assert codes == [78]
    assert len(children.of("a")) == 1
    assert children.of("b")[0].wait(WAIT_S) == 0


def test_when_every_worker_has_ended_well_so_does_the_supervisor(start: Start) -> None:
    _, _, thread, codes = start({"a": "pass", "b": "pass"})
    thread.join(WAIT_S)
    assert codes == [0]


def test_a_signal_drains_the_workers(start: Start) -> None:
    supervisor, children, thread, codes = start({"a": STAY, "b": STAY})
    children.wait_for("b", 1)
    supervisor.signals.put(signal.SIGTERM)
    thread.join(WAIT_S)
    assert codes == [0]
    assert [child.returncode for _, child in children.started] == [0, 0]


def test_a_worker_that_does_not_drain_is_killed(start: Start) -> None:
    supervisor, children, thread, codes = start({"a": STUBBORN}, drain_s=0.3)
    child = children.wait_for("a", 1)
    supervisor.signals.put(signal.SIGTERM)
    thread.join(WAIT_S)
    assert codes == [0]
    assert child.returncode == -signal.SIGKILL


def test_a_second_interrupt_does_not_wait(start: Start) -> None:
    supervisor, children, thread, codes = start({"a": STUBBORN}, drain_s=3_600)
    child = children.wait_for("a", 1)
    supervisor.signals.put(signal.SIGINT)
    supervisor.signals.put(signal.SIGINT)
    thread.join(WAIT_S)
    assert codes == [0]
    assert child.returncode == -signal.SIGKILL


TELL = """
import json, os, pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
folder = pathlib.Path({folder!r}); folder.mkdir(parents=True, exist_ok=True)
(folder / f"a-{{os.getpid()}}.json").write_text(json.dumps({{"port": 4711}}))
print('up', flush=True); signal.pause()
"""


def test_the_run_file_tells_the_workers_and_their_ports(start: Start, tmp_path: Path) -> None:
    told = tmp_path / "run.json"
    supervisor, children, thread, _ = start({"a": TELL.format(folder=str(tmp_path / "health"))})
    child = children.wait_for("a", 1)
    worker = {"name": "a", "pid": child.pid, "port": 4711, "restarts": 0, "ended": "", "ended_at_ms": []}
    expected = {"pid": os.getpid(), "workers": [worker], "down": []}
    eventually(lambda: told.exists() and json.loads(told.read_text()) == expected)
    supervisor.signals.put(signal.SIGTERM)
    thread.join(WAIT_S)
    assert not told.exists()
    assert list((tmp_path / "health").iterdir()) == []


STANDING = """
import json, os, pathlib, signal, sys
signal.signal(signal.SIGTERM, signal.{on_term})
folder = pathlib.Path({folder!r}); folder.mkdir(parents=True, exist_ok=True)
(folder / f"a-{{os.getpid()}}.json").write_text(json.dumps({{"host": "127.0.0.1", "port": 1, "turns": 7}}))
print('up', flush=True)
while True: signal.pause()
"""


@pytest.mark.parametrize(("on_term", "code"), [("SIG_DFL", -signal.SIGTERM), ("SIG_IGN", -signal.SIGKILL)])
def test_a_worker_whose_loop_stands_still_is_ended_and_started_again(
    start: Start, tmp_path: Path, on_term: str, code: int
) -> None:
    program = STANDING.format(folder=str(tmp_path / "health"), on_term=on_term)
    _, children, _, _ = start({"a": program, "b": STAY}, still_s=0.5, end_s=0.3)
    children.wait_for("a", 2)
    assert children.of("a")[0].returncode == code
    assert len(children.of("b")) == 1, "one that has told nothing yet may take longer"


class Ended:
    """A process that ends when the test says so."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self.stdin = None

    def poll(self) -> int | None:
        return self.code


def test_the_pause_before_a_restart_doubles_and_starts_over_after_steady_work(tmp_path: Path) -> None:
    now = [0.0]
    spawned: list[Ended] = []

    def spawn(name: str, place: int, restarts: int) -> Any:
        spawned.append(Ended(len(spawned) + 1))
        return spawned[-1]

    typed: Spawn = spawn
    supervisor = Supervisor(["a"], typed, tmp_path, clock=lambda: now[0])
    pauses = []
    for _ in range(8):
        supervisor.round()
        spawned[-1].code = 1
        supervisor.round()
        pauses.append(supervisor.workers[0].due_s - now[0])
        now[0] = supervisor.workers[0].due_s
    assert pauses[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert pauses[-1] == PAUSE_S_MAX
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["workers"] == []
    (down,) = told["down"]
    assert (down["name"], down["restarts"], down["ended"], down["starts_again"]) == ("a", 8, "exit code 1", True)
    assert len(down["ended_at_ms"]) == 8
    supervisor.round()
    now[0] += STEADY_S
    spawned[-1].code = -9
    supervisor.round()
    assert supervisor.workers[0].due_s - now[0] == pytest.approx(0.2)


WATCHER = """
import sys; sys.path.insert(0, {root!r})
from refrain.ops.run.lifeline import watch_supervisor
watch_supervisor()
import signal
print('up', flush=True)
signal.pause()
"""
KILLED = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_worker_does_not_outlive_a_supervisor_that_is_killed() -> None:
    root = str(Path(__file__).parents[3])
    parent = subprocess.run(
        [sys.executable, "-c", KILLED.format(child=WATCHER.format(root=root))], stdout=subprocess.PIPE, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    orphan = int(parent.stdout)
    eventually(lambda: not psutil.pid_exists(orphan) or _is_zombie(orphan))


def _is_zombie(pid: int) -> bool:
    """Where nobody reaps orphans (a container's first process may not), an ended one stays as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return False


class Standing(Ended):
    """A process that writes down the signals it is sent."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.signals: list[int] = []

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


class Looked:
    """A supervisor of one worker in virtual time, and the worker's health file."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.worker = Standing(4_711)
        self._file = folder / "health" / "a-4711.json"
        self._file.parent.mkdir()
        spawn: Any = lambda name, place, restarts: self.worker  # noqa: E731 - the type of a spawn is a process's
        self._supervisor = Supervisor(["a"], spawn, folder, clock=lambda: self.now)
        self._supervisor.round()

    def tell(self, **told: object) -> None:
        self._file.write_text(json.dumps({"host": "127.0.0.1", "port": 1, **told}))

    def after(self, seconds: float) -> list[int]:
        """The signals that the worker was sent until then."""
        self.now += seconds
        self._supervisor.round()
        return self.worker.signals


def test_a_worker_that_moves_is_left_alone(tmp_path: Path) -> None:
    looked = Looked(tmp_path)
    for turns in range(1, 40):
        looked.tell(turns=turns)
        assert looked.after(STILL_S - 1) == []


def test_a_worker_may_take_long_to_its_first_round(tmp_path: Path) -> None:
    looked = Looked(tmp_path)
    looked.tell(turns=0)
    looked.after(0)
    assert looked.after(START_S - 1) == []
    assert looked.after(2) == [signal.SIGTERM]


def test_a_worker_that_stands_still_is_asked_to_stop_and_then_killed(tmp_path: Path) -> None:
    looked = Looked(tmp_path)
    looked.tell(turns=3)
    looked.after(1)
    assert looked.after(STILL_S - 1) == []
    assert looked.after(2) == [signal.SIGTERM]
    assert looked.after(END_S - 1) == [signal.SIGTERM]
    assert looked.after(2)[-1] == signal.SIGKILL


def test_a_worker_whose_file_cannot_be_written_is_asked_at_its_port(tmp_path: Path) -> None:
    liveness = Liveness()
    with HealthServer(Http(), liveness, Metrics().registry) as server:
        looked = Looked(tmp_path)
        looked.tell(turns=3, port=server.port)
        looked.after(1)
        assert looked.after(STILL_S + 1) == [], "its loop comes round, as it says itself"
    assert looked.after(STILL_S + 1) == [signal.SIGTERM]


def test_workers_that_embed_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refrain.streams.models.threads.cores", lambda: 6)
    for names, threads in ((["classify", "lookup"], "6"), (["classify"] * 3, "2"), (["classify"] * 9, "1")):
        assert shared_out(names, Settings()) == {"REFRAIN_EMBEDDING__THREADS": threads}
    assert shared_out(["classify"] * 3, Settings(embedding=Embedding(threads=4))) == {}


def test_a_worker_is_started_with_the_variables_of_all_and_a_port_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []
    commands: list[list[str]] = []

    def popen(command: list[str], stdin: int, env: dict[str, str]) -> None:
        commands.append(command)
        started.append(env)

    monkeypatch.setattr(subprocess, "Popen", popen)
    spawner(9_100, Options(), {"REFRAIN_EMBEDDING__THREADS": "3"})("classify", 2, 5)
    assert commands[0][-5:] == ["run", "classify", "--supervised", "--restarts", "5"]
    assert (started[0]["REFRAIN_EMBEDDING__THREADS"], started[0]["REFRAIN_HTTP__PORT"]) == ("3", "9102")
    assert started[0]["PATH"] == os.environ["PATH"]
