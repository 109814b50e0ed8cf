"""`refrain policies` and `refrain doctor` on a real broker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from ops.policy_order import Order

from ops.cli import main
from ops.doctor import examine
from schemas.policy import CategoryPolicy, Policy
from streams.errors import PolicyRefused
from streams.govern import run_govern
from streams.settings import Settings
from tests.kafka.background import running
from tests.kafka.table import create_table

POLICY = "categories:\n  code: {threshold: 0.9}\n"


@pytest.fixture(autouse=True)
def _cluster(settings: Settings, admin: AdminClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    create_table(admin, settings.prefix)
    monkeypatch.setenv("REFRAIN_KAFKA", settings.kafka)
    monkeypatch.setenv("REFRAIN_PREFIX", settings.prefix)
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(POLICY)


def test_a_policy_is_applied_once_and_shown(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies", "show"]) == 1
    with running(run_govern, settings):
        assert main(["policies", "apply", "p.yaml", "--yes", "--who", "ana", "--why", "first"]) == 0
        version = capsys.readouterr().out.strip()
        assert main(["policies", "apply", "p.yaml"]) == 0
        said = capsys.readouterr()
        assert "nothing changes" in said.err
        assert said.out.strip() == version
    assert main(["policies", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["version"], shown["who"], shown["why"]) == (int(version), "ana", "first")
    assert main(["policies", "show", "--yaml"]) == 0
    assert "threshold: 0.9" in capsys.readouterr().out


def test_a_change_that_was_overtaken_is_refused_with_the_reason(settings: Settings) -> None:
    first, second = (Policy(categories={name: CategoryPolicy()}) for name in ("a", "b"))
    with running(run_govern, settings):
        early, late = Order(settings), Order(settings)
        early.place(first, early.in_force(), "ana", "")
        early.wait(30)
        seen = late.in_force()
        early.place(second, early.in_force(), "ana", "")
        early.wait(30)
        late.place(first, seen, "ben", "")
        with pytest.raises(PolicyRefused, match="stale_command"):
            late.wait(30)


def test_without_govern_it_says_so_and_can_be_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies", "apply", "p.yaml", "--yes", "--timeout", "0.3"]) == 75
    assert "is `refrain run govern` running?" in capsys.readouterr().err


def test_a_policy_that_is_wrong_is_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.yaml").write_text("categories:\n  code: {treshold: 0.9}\n")
    assert main(["policies", "apply", "p.yaml", "--yes"]) == 1
    assert "p.yaml:2: categories.code.treshold: no such key; did you mean threshold?" in capsys.readouterr().err


def test_the_doctor_looks_at_everything(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    seen = {finding.check: finding for finding in examine(settings)}
    assert set(seen) == {"broker", "topics", "policy", "lag", "model", "disk", "workers"}
    assert seen["broker"].state == seen["topics"].state == "ok"
    assert seen["policy"].do == "run `refrain policies apply FILE`"
    assert main(["doctor", "--json"]) in (0, 1)
    assert all(json.loads(line)["check"] for line in capsys.readouterr().out.splitlines())


def test_the_doctor_says_when_nobody_answers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.cluster.REACH_S", 0.5)
    findings = examine(settings.model_copy(update={"kafka": "127.0.0.1:1"}))
    assert (findings[0].check, findings[0].state) == ("broker", "fail")
    assert "topics" not in {finding.check for finding in findings}
