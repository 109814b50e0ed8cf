"""`refrain audit` over a recording in memory: samples, the rate limit, and what does not go together."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from refrain.ops.audit import whole
from refrain.ops.cli import application
from refrain.ops.cluster import connection
from refrain.ops.cluster.processes import uninterrupted
from refrain.streams.kafka import cluster as kafka
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.settings import Settings
from tests.ops.audit.audited import recorded, rewrite, rows
from tests.streams.lookup.stage import Stage, moving, traffic


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFRAIN_CONFIG", raising=False)
    made = recorded(traffic(0), moving(1))

    @contextmanager
    def opened(_: Settings) -> Iterator[MemoryCluster]:
        yield made.cluster

    for module in (kafka, whole):
        monkeypatch.setattr(module, "KafkaCluster", opened)
    monkeypatch.setattr(connection, "reach", lambda _: None)
    return made


def run(*words: str) -> Result:
    return CliRunner().invoke(application("audit"), ["audit", "--processes", "1", *words])


def told(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("--json", *words).stdout)
    return found


def decisions(stage: Stage) -> int:
    return sum(len(rows(stage, "decisions", partition)) for partition in range(2))


def test_a_sample_is_drawn_over_all_partitions_and_says_what_it_proves(stage: Stage) -> None:
    found = told("--sample", "10", "--seed", "5")
    assert found["ok"]
    assert found["decisions"] == 10
    assert found["records"] == sum(len(rows(stage, "journal", partition)) for partition in range(2))
    assert found["sample"] == {
        "size": 10, "of": decisions(stage), "seed": 5, "share_at_most": 0.258866, "confidence": 0.95,
    }  # fmt: skip
    said = " ".join(run("--sample", "10", "--seed", "5").stdout.split())
    assert f"compared 10 of {decisions(stage)} decisions, drawn by seed 5: each is as a fold gives it." in said
    assert "Fewer than 25.89% of all differ, at a confidence of 95%" in said


def test_without_a_seed_one_is_drawn_and_told_and_gives_the_same_sample_again(stage: Stage) -> None:
    for at in range(len(rows(stage, "decisions"))):
        rewrite(stage, "decisions", at, lambda value: value.update(load=0.123))
    # Both partitions of this recording have decisions of the same ids: one alone is looked at.
    result = run("--sample", "6", "--partition", "0", "--json")
    assert result.exit_code == 1
    first = json.loads(result.stdout)
    again = told("--sample", "6", "--partition", "0", "--seed", str(first["sample"]["seed"]))
    assert first["findings"] == again["findings"]
    assert len(first["findings"]) == 6


def test_a_sample_of_all_is_told_to_be_all(stage: Stage) -> None:
    said = " ".join(run("--sample", "100000").stdout.split())
    assert "all that there are, and each is as a fold gives it" in said
    assert told()["sample"] is None


def test_a_rate_holds_a_process_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(whole, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    monkeypatch.setattr(whole, "PACED", 10)
    found = told("--rate", "20", "--partition", "0")
    # No time passes but while it sleeps: the last full ten are done when the rate allows them.
    assert now == pytest.approx(found["records"] // 10 * 10 / 20)
    now = 0.0
    assert told("--partition", "0")["records"] == found["records"]
    assert now == 0


@pytest.mark.parametrize("words", [["--from", "2030-01-01"], ["--to", "1970-01-01T00:00:01Z"]])
def test_what_compares_no_decision_does_not_say_that_all_is_well(words: Sequence[str], stage: Stage) -> None:
    result = run(*words)
    assert result.exit_code == 0
    assert "no decision is compared: none that was asked for is there" in result.stdout
    assert "every record is as a fold gives it" not in result.stdout
    assert "every record is as a fold gives it" in run().stdout


def test_processes_that_are_begununinterrupted_leave_ctrl_c_to_the_one_that_began_them() -> None:
    with uninterrupted():
        process = Popen(["sleep", "600"])
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seed", "5"], "goes with --sample only"),
        (["--sample", "5", "--seal", "a.seal"], "a seal says that all was compared"),
        (["--sample", "0"], "greater than or equal to 1"),
        (["--sample", "5", "--against", "a.seal"], "folds nothing"),
        (["--partition", "7"], "journal has the partitions 0 to 1"),
    ],
)
def test_what_does_not_go_together_is_refused(words: Sequence[str], said: str, stage: Stage) -> None:
    result = CliRunner().invoke(application("audit"), ["audit", *words], terminal_width=200)
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())
