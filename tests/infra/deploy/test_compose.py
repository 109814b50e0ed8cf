"""The compose file of the whole: what it opens, what Prometheus asks, what Grafana is given."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.docker_broker import COMPOSE as KAFKA
from refrain.ops.run.processors import NAMES, ON_DEMAND

INFRA = Path(__file__).resolve().parents[3] / "infra"
WHOLE = INFRA / "compose.yaml"
MONITORING = INFRA / "monitoring"
COMPOSE_S = 60
IMAGE = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_it_opens_ports_of_this_machine_alone() -> None:
    services = {**read(WHOLE)["services"], "broker alone": read(KAFKA)["services"]["kafka"]}
    opened = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert {"broker alone", "prometheus", "grafana", "kafka-ui"} == set(opened)
    assert all(port.startswith("127.0.0.1:") for ports in opened.values() for port in ports)


def test_images_of_others_are_pinned_to_a_release() -> None:
    services = {**read(WHOLE)["services"], **read(KAFKA)["services"]}
    images = {name: service["image"] for name, service in services.items() if "image" in service}
    own = {name for name, image in images.items() if image == "${REFRAIN_IMAGE:-refrain-cache:local}"}
    assert own == {"topics", "refrain", "policy"}
    assert all(IMAGE.fullmatch(image) for name, image in images.items() if name not in own)


def test_what_is_refrains_runs_without_rights_on_a_read_only_root() -> None:
    for name in ("topics", "refrain", "policy"):
        service = read(WHOLE)["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_topic_browser_comes_by_its_profile_alone() -> None:
    services = read(WHOLE)["services"]
    assert {name: service["profiles"] for name, service in services.items() if "profiles" in service} == {
        "kafka-ui": ["kafka-ui"]
    }


def test_prometheus_asks_every_processor_at_the_port_that_it_has() -> None:
    [job] = read(MONITORING / "prometheus.yml")["scrape_configs"]
    found = {each["labels"]["processor"]: each["targets"] for each in job["static_configs"]}
    assert found == {name: [f"refrain:{9100 + place}"] for place, name in enumerate(NAMES) if name not in ON_DEMAND}


def test_prometheus_takes_the_alert_rules_beside_the_dashboard() -> None:
    mounts = dict(mount.split(":")[:2] for mount in read(WHOLE)["services"]["prometheus"]["volumes"])
    assert read(MONITORING / "prometheus.yml")["rule_files"] == [f"{mounts['./dashboards']}/*.yaml"]


def test_grafana_is_given_the_dashboard_and_the_prometheus_beside_it() -> None:
    mounts = dict(mount.split(":")[:2] for mount in read(WHOLE)["services"]["grafana"]["volumes"])
    [provider] = read(MONITORING / "grafana/dashboards/refrain.yaml")["providers"]
    [source] = read(MONITORING / "grafana/datasources/prometheus.yaml")["datasources"]
    assert provider["options"]["path"] == mounts["./dashboards"]
    assert mounts["./monitoring/grafana"] == "/etc/grafana/provisioning"
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")


def _compose() -> list[str] | None:
    """The command that reads compose files of today, None where there is none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        told = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
        if told.returncode == 0 and not told.stdout.lstrip("v").startswith("1."):
            return command
    return None


@pytest.mark.parametrize("path", [WHOLE, KAFKA], ids=["whole", "broker"])
def test_compose_takes_the_file(path: Path) -> None:
    command = _compose()
    if command is None:
        pytest.skip("no Docker Compose 2")
    done = subprocess.run(
        [*command, "-f", str(path), "config", "--quiet"], capture_output=True, text=True, timeout=COMPOSE_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
