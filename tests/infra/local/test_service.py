"""What `infra/up` does to a service that somebody runs already: it leaves the policy, and says where everything is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from infra.local import service, up
from refrain.schemas.control import PolicyInForce
from refrain.schemas.policy import Policy

NEVER = PolicyInForce(version=17, who="alice", why="regulated", at_ms=1_700_000_000_000, policy=Policy(categories={}))


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The commands that a start runs, none of which does anything."""
    ran: list[Sequence[str]] = []

    def run(command: Sequence[str], environment: Mapping[str, str], output: IO[bytes]) -> int:
        ran.append(command[1:])
        return 0

    @contextmanager
    def child(*_arguments: object) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
            yield process

    monkeypatch.setattr(service, "run", run)
    monkeypatch.setattr(service, "child", child)
    monkeypatch.setattr(service, "_wait_until_ready", lambda *_arguments: None)
    return ran


@pytest.mark.parametrize("in_force", [NEVER, None], ids=["one is in force", "none is"])
def test_the_default_policy_is_applied_only_where_none_is_in_force(
    commands: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_force: PolicyInForce | None
) -> None:
    monkeypatch.setattr(service, "policy_in_force", lambda environment: in_force)
    with service.service({}, tmp_path / "state", tmp_path / "service.log", lambda text: None) as running:
        assert running.policy == in_force
    applied = [command for command in commands if command[:2] == ["policies", "apply"]]
    assert bool(applied) is (in_force is None)


def test_a_start_says_where_everything_is(tmp_path: Path) -> None:
    workers = [{"name": "classify", "pid": 1, "port": 9464}, {"name": "lookup", "pid": 2, "port": None}]
    (tmp_path / "run.json").write_text(json.dumps({"pid": os.getpid(), "workers": workers}))
    text = "\n".join(up.addresses("127.0.0.1:9092", tmp_path, tmp_path / "service.log", NEVER))
    for part in ("127.0.0.1:9092", "http://127.0.0.1:9464/metrics", "service.log", "version 17 by alice", "stays"):
        assert part in text
    assert "was put in force" in up.addresses("b", tmp_path, tmp_path, None)[-1]
    assert "endpoint" not in text


@pytest.mark.parametrize(
    ("edge", "told"),
    [({}, None), ({"enabled": True}, "http://127.0.0.1:8400/v1"), ({"enabled": True, "port": 0}, None)],
)
def test_a_start_says_where_the_endpoint_is_and_a_second_terminal_knows_its_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, edge: dict[str, Any], told: str | None
) -> None:
    monkeypatch.setattr(up, "LOCAL", tmp_path)
    monkeypatch.setattr(up, "ROOT", tmp_path)
    for name in [name for name in os.environ if name.startswith("REFRAIN_")]:
        monkeypatch.delenv(name)
    for key, value in {**edge, "auth": "none"}.items():
        monkeypatch.setenv(f"REFRAIN_EDGE__{key.upper()}", str(value))
    from refrain.ops.config.settings import load_settings

    with up.notes_for_others("127.0.0.1:9092", tmp_path / "state", 1) as environment:
        endpoint = up.endpoint_of(load_settings(environment))
        others = load_settings({}, tmp_path / "refrain.toml")
    assert endpoint == told
    assert others.edge.auth == ("none" if edge else "keys")
    assert ([line for line in up.addresses("b", tmp_path, tmp_path, None, endpoint) if str(told) in line] != []) is (
        told is not None
    )


def test_a_second_terminal_knows_the_model_and_the_ports_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(up, "LOCAL", tmp_path)
    monkeypatch.setattr(up, "ROOT", tmp_path)
    for name in [name for name in os.environ if name.startswith("REFRAIN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REFRAIN_UPSTREAM__BASE_URL", "http://127.0.0.1:8000/v1")
    ports: list[Any] = []
    for _ in range(2):
        with up.notes_for_others("127.0.0.1:9092", tmp_path / "state", 1) as environment:
            from refrain.ops.config.settings import load_settings

            ports.append(environment["REFRAIN_HTTP__PORT"])
            told = load_settings({}, tmp_path / "refrain.toml")
            assert told.upstream.base_url == "http://127.0.0.1:8000/v1"
            assert (tmp_path / "refrain.toml").stat().st_mode & 0o077 == 0
        assert not (tmp_path / "refrain.toml").exists()
    assert ports[0] == ports[1]


def test_a_failed_start_tells_its_own_lines_of_the_log_alone(
    commands: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "service.log"
    log.write_text("INFO lookup has drained and leaves\n" * 3)

    def refused(command: Sequence[str], environment: Mapping[str, str], output: IO[bytes]) -> int:
        # Not by `output`, which another thread copies into the file.
        with log.open("a") as lines:
            lines.write("refrain: no broker answers\n")
        return 75

    monkeypatch.setattr(service, "run", refused)
    with (
        pytest.raises(service.ServiceFailed, match=r"(?s)topics create ended with 75.*no broker answers") as failed,
        service.service({}, tmp_path / "state", log, lambda text: None),
    ):
        pass
    assert "drained" not in str(failed.value)
