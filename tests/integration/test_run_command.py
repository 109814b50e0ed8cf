"""`refrain run` as a user starts it: processes, a run file, restarts, and an end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from confluent_kafka.admin import AdminClient

from refrain.streams.settings import Settings
from tests.eventually import eventually
from tests.integration.topics import create_table

WAIT_S = 60.0


class Run:
    """A `refrain run` under way and what its run file says."""

    def __init__(self, settings: Settings, *arguments: str, **environ: str) -> None:
        self.file = settings.state_dir / "run.json"
        self.cluster = settings.state_dir.parent / "run.log"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("REFRAIN_")}
        mine = {
            "REFRAIN_KAFKA": settings.kafka,
            "REFRAIN_PREFIX": settings.prefix,
            "REFRAIN_STATE_DIR": str(settings.state_dir),
            "REFRAIN_SESSION_TIMEOUT_MS": str(settings.session_timeout_ms),
            **environ,
        }
        with self.cluster.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "refrain.ops.cli", "run", *arguments], env={**kept, **mine}, stderr=log
            )

    def workers(self) -> list[dict[str, Any]]:
        try:
            return list(json.loads(self.file.read_text())["workers"])
        except FileNotFoundError:
            return []

    def are_ready(self, count: int) -> bool:
        rows = self.workers()
        return len(rows) == count and all(row["port"] and _is_ready(row["port"]) for row in rows)

    def said(self) -> str:
        return self.cluster.read_text()


@pytest.fixture
def run(settings: Settings, admin: AdminClient, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    create_table(admin, settings.prefix)
    started: list[Run] = []

    def go(*arguments: str, **environ: str) -> Run:
        started.append(Run(settings, *arguments, **environ))
        return started[-1]

    yield go
    for one in started:
        one.process.kill()
        one.process.wait()


def test_workers_are_told_restarted_and_drained(run: Callable[..., Run]) -> None:
    one = run("populate", "populate")
    eventually(lambda: one.are_ready(2))
    victim, other = (row["pid"] for row in one.workers())
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: one.are_ready(2) and victim not in {row["pid"] for row in one.workers()})
    assert other in {row["pid"] for row in one.workers()}
    pids = [row["pid"] for row in one.workers()]
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(WAIT_S) == 0
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert one.said().count("has drained and leaves") == 2
    assert not one.file.exists()


def test_workers_do_not_outlive_a_supervisor_that_is_killed(run: Callable[..., Run]) -> None:
    one = run("populate", "govern")
    eventually(lambda: one.are_ready(2))
    pids = [row["pid"] for row in one.workers()]
    one.process.kill()
    one.process.wait()
    eventually(lambda: one.said().count("has drained and leaves") == len(pids))


def test_one_worker_serves_its_health_and_leaves_on_sigterm(run: Callable[..., Run], settings: Settings) -> None:
    one = run("govern")
    folder = settings.state_dir / "health"
    eventually(lambda: folder.is_dir() and any(folder.glob("govern-*.json")))
    told = json.loads(next(folder.glob("govern-*.json")).read_text())
    assert told["pid"] == one.process.pid
    eventually(lambda: _is_ready(told["port"]))
    metrics = httpx.get(f"http://127.0.0.1:{told['port']}/metrics", trust_env=False).text
    assert "refrain_policy_version" in metrics
    assert "process_resident_memory_bytes" in metrics
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(WAIT_S) == 0
    assert list(folder.iterdir()) == []


def test_a_wrong_setup_of_one_worker_stops_all_with_78(run: Callable[..., Run]) -> None:
    one = run("govern", "populate", REFRAIN_PREFIX="no-such-prefix.")
    assert one.process.wait(WAIT_S) == 78
    assert "refrain topics create" in one.said()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
