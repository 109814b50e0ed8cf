"""The doctor knows the workers of its own broker and prefix, and calls none of them well that is not."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from refrain.ops.observe.deadline import Deadline
from refrain.ops.observe.doctor_workers import workers
from refrain.ops.observe.findings import Finding
from refrain.streams.runtime.health import HealthServer, Liveness
from refrain.streams.settings import Http, Settings

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def port() -> Iterator[int]:
    """The health port of a worker that is ready."""
    liveness = Liveness()
    liveness.ready()
    with HealthServer(Http(), liveness, CollectorRegistry()) as server:
        yield server.port


def settings_of(folder: Path, **changed: Any) -> Settings:
    return Settings(**{"kafka": NOWHERE, "prefix": "a.", "state_dir": folder, **changed})


def tell(folder: Path, rows: list[dict[str, Any]], down: Any = None, **about: Any) -> None:
    """Write run.json as a supervisor does that is this process."""
    told = {"pid": os.getpid(), "kafka": NOWHERE, "prefix": "a.", "workers": rows, "down": down or [], **about}
    (folder / "run.json").write_text(json.dumps(told))


def worker(port: int | None, **ends: Any) -> dict[str, Any]:
    return {"name": "lookup", "pid": os.getpid(), "port": port, **ends}


def look(settings: Settings) -> list[Finding]:
    return workers(settings, Deadline(time.monotonic() + 60))


def states(findings: list[Finding]) -> list[str]:
    return [finding.state for finding in findings]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_worker_that_is_ready_is_ok(tmp_path: Path, port: int) -> None:
    tell(tmp_path, [worker(port)])
    assert states(look(settings_of(tmp_path))) == ["ok"]


def test_one_that_waits_to_be_started_again_fails(tmp_path: Path, port: int) -> None:
    lost = {"name": "classify", "ended": "exit code 75", "ended_at_ms": [1], "restarts": 9}
    tell(tmp_path, [worker(port)], [{**lost, "starts_again": True}])
    rows = look(settings_of(tmp_path))
    assert states(rows) == ["fail", "ok"]
    assert rows[0].seen == "classify ended with exit code 75 and waits to be started again"
    tell(tmp_path, [worker(port)], [{**lost, "starts_again": False}])
    assert "is not started again" in look(settings_of(tmp_path))[0].seen


def test_one_that_crash_loops_fails_also_while_it_is_ready(tmp_path: Path, port: int) -> None:
    tell(tmp_path, [worker(port, restarts=3, ended="signal 9", ended_at_ms=[now_ms() - n for n in (9, 5, 1)])])
    rows = look(settings_of(tmp_path))
    assert states(rows) == ["fail", "ok"]
    assert "crash-loops" in rows[0].seen
    tell(tmp_path, [worker(port, restarts=1, ended="signal 9", ended_at_ms=[now_ms()])])
    assert states(look(settings_of(tmp_path))) == ["warn", "ok"]
    tell(tmp_path, [worker(port, restarts=4, ended="signal 9", ended_at_ms=[1, 2, 3, 4])])
    assert states(look(settings_of(tmp_path))) == ["ok"], "long ago"


def test_one_without_a_port_yet_is_not_ok(tmp_path: Path) -> None:
    tell(tmp_path, [worker(None)])
    assert states(look(settings_of(tmp_path))) == ["fail"]


@pytest.mark.parametrize("other", [{"prefix": "b."}, {"kafka": "127.0.0.1:2"}], ids=["prefix", "broker"])
def test_workers_of_another_service_are_not_taken_for_its_own(tmp_path: Path, port: int, other: dict[str, str]) -> None:
    tell(tmp_path, [worker(port)], **other)
    rows = look(settings_of(tmp_path, connect_timeout_ms=100))
    assert states(rows) == ["warn", "warn"]
    assert next(iter(other.values())) in rows[0].seen
    assert "no worker of this broker and prefix" in rows[1].seen


def test_the_same_broker_by_another_name_is_the_same(tmp_path: Path, port: int) -> None:
    tell(tmp_path, [worker(port)], kafka="localhost:1, other:9092")
    assert states(look(settings_of(tmp_path))) == ["ok"]


def test_a_worker_without_a_supervisor_is_known_by_its_file(tmp_path: Path, port: int) -> None:
    (tmp_path / "health").mkdir()
    told = {**worker(port), "host": "127.0.0.1", "kafka": NOWHERE, "prefix": "a."}
    (tmp_path / "health" / "lookup-1.json").write_text(json.dumps(told))
    assert states(look(settings_of(tmp_path))) == ["ok"]
    (tmp_path / "health" / "lookup-1.json").write_text(json.dumps({**told, "prefix": "b."}))
    assert states(look(settings_of(tmp_path))) == ["warn", "warn"]


def test_without_workers_the_doctor_says_so(tmp_path: Path) -> None:
    (row,) = look(settings_of(tmp_path))
    assert row.state == "warn"
    tell(tmp_path, [], pid=2**22 + 1)
    rows = look(settings_of(tmp_path))
    assert "the supervisor, process" in rows[0].seen
    assert rows[0].state == "fail"
