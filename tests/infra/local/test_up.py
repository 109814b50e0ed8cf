"""`infra/up`: which options go together, and how the demo's service is kept."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from infra.demo.run import DemoResult
from infra.local import up
from infra.local.service import Service, ServiceFailed
from refrain.ops.config.settings import load_settings


class Ended(Service):
    """A service that Ctrl-C reaches while it runs."""

    def __init__(self) -> None:
        """Without a process: nobody looks at it."""

    def wait(self) -> NoReturn:
        raise KeyboardInterrupt


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the service, empty, with no settings of anybody."""
    monkeypatch.setattr(up, "LOCAL", tmp_path)
    monkeypatch.setattr(up, "ROOT", tmp_path)
    for name in [name for name in os.environ if name.startswith("REFRAIN_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def server() -> Iterator[str]:
    """The address of somebody who takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--keep"], "--keep is of the demo"),
        (["--questions", "mine.yaml"], "--questions is of the demo"),
        (["demo", "--brokers", "3"], "--brokers is of the service"),
    ],
)
def test_an_option_of_the_other_one_is_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        up.main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("text", ["model: m\nquestions: 7\n", "model: [\n", None], ids=["fields", "YAML", "absent"])
def test_a_script_that_cannot_be_read_is_told_before_anything_is_started(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ServiceFailed, match=r"mine\.yaml is no script of the demo"):
        up.demo(path)


def test_a_demo_is_not_kept_beside_a_service_that_runs_here(local: Path, server: str) -> None:
    (local / "refrain.toml").write_text(f'kafka = "{server}"\n')
    with pytest.raises(ServiceFailed, match="stop it first, or leave out --keep"):
        up.refuse_beside_another()


@pytest.mark.parametrize("text", ['kafka = "127.0.0.1:1"\n', "kafka = \n", "", None])
def test_what_a_killed_service_left_behind_is_no_service(local: Path, text: str | None) -> None:
    if text is not None:
        (local / "refrain.toml").write_text(text)
    up.refuse_beside_another()


def test_a_kept_demo_says_what_to_try_and_ends_with_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    up.go_on(Ended(), DemoResult([], []), keep=True)
    told = capsys.readouterr()
    assert ".venv/bin/refrain" in told.out
    assert "until Ctrl-C" in told.out
    assert "stopped" in told.err


def test_a_demo_that_is_not_kept_waits_for_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    up.go_on(Ended(), DemoResult([], []), keep=False)
    assert "infra/up demo --keep" in capsys.readouterr().out


def test_a_second_terminal_finds_a_demo_on_somebodys_own_broker_by_its_prefix(local: Path) -> None:
    with up.notes_for_others("127.0.0.1:9092", local / "state", 1, "refrain-demo-1."):
        assert load_settings({}, local / "refrain.toml").prefix == "refrain-demo-1."
