"""The dashboard and the alert rules ask for metrics that workers have, and the rules do what their tests say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from refrain.ops.run.processors import NAMES
from tests.streams.worker_metrics import registered

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "infra/dashboards/refrain.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((ROOT / "infra/dashboards/alerts.yaml").read_text(encoding="utf-8"))
ALERT_TESTS = ROOT / "tests/infra/alerts/alerts_test.yaml"
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The series of all workers."""
    folder = tmp_path_factory.mktemp("workers")
    families = {family for name in NAMES for family in registered(name, folder / name)}
    return {name + ending for name, kind in families for ending in ENDINGS[kind]}


PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
HEALTH = {
    "Alerts",
    "Answers",
    "Workers",
    "Model failures",
    "Time of requests",
    "Lag",
    "Started again",
    "Set aside",
    "Stopped shards",
}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_asks_for_metrics_that_workers_have(panel: dict[str, Any], names: set[str]) -> None:
    for target in panel["targets"]:
        asked = set(re.findall(r"refrain_\w+", target["expr"]))
        # Prometheus makes the series of alerts itself.
        assert asked or target["expr"].count("ALERTS")
        assert asked <= names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_asks_for_metrics_that_workers_have(rule: dict[str, Any], names: set[str]) -> None:
    asked = set(re.findall(r"refrain_\w+", rule["expr"]))
    assert asked
    assert asked <= names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_severity_and_an_entry_in_the_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    place, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = [line for line in (ROOT / place).read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert anchor == rule["alert"].lower()
    assert f"### {rule['alert']}" in headings


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    told = yaml.safe_load((ALERT_TESTS).read_text(encoding="utf-8"))["tests"]
    cases = [case for test in told for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    quiet = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fires == quiet == {rule["alert"] for rule in RULES}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here (Debian: the package prometheus)")
def test_the_rules_fire_as_their_tests_say() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", ALERT_TESTS.name],
        cwd=ALERT_TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_row_shows_the_health_of_the_service_first() -> None:
    first, *others = DASHBOARD["panels"]
    assert (first["type"], first["title"]) == ("row", "Health")
    until = next(at for at, panel in enumerate(others) if panel["type"] == "row")
    assert {panel["title"] for panel in others[:until]} >= HEALTH


def test_panels_have_ids_and_places_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
