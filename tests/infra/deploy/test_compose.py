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
from refrain.ops.config.settings import load_settings
from refrain.ops.run.processors import NAMES, ON_DEMAND
from refrain.streams.edge.access import access_of
from refrain.streams.errors import WrongSetup

INFRA = Path(__file__).resolve().parents[3] / "infra"
WHOLE = INFRA / "compose.yaml"
MONITORING = INFRA / "monitoring"
COMPOSE_S = 60
HEALTH_PORT = 9100
"""Of a container's first worker: the image says so."""
OWN = {"topics", "refrain", "edge", "policy"}
"""Services of the image of Refrain."""
IMAGE = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_it_opens_ports_of_this_machine_alone() -> None:
    services = {**read(WHOLE)["services"], "broker alone": read(KAFKA)["services"]["kafka"]}
    opened = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert {"broker alone", "edge", "prometheus", "grafana", "kafka-ui"} == set(opened)
    assert all(port.startswith("127.0.0.1:") for ports in opened.values() for port in ports)


def test_images_of_others_are_pinned_to_a_release() -> None:
    services = {**read(WHOLE)["services"], **read(KAFKA)["services"]}
    images = {name: service["image"] for name, service in services.items() if "image" in service}
    own = {name for name, image in images.items() if image == "${REFRAIN_IMAGE:-refrain-cache:local}"}
    assert own == OWN
    assert all(IMAGE.fullmatch(image) for name, image in images.items() if name not in own)


def test_what_is_refrains_runs_without_rights_on_a_read_only_root() -> None:
    for name in OWN:
        service = read(WHOLE)["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_topic_browser_and_what_runs_on_demand_come_by_their_profiles_alone() -> None:
    services = read(WHOLE)["services"]
    assert {name: service["profiles"] for name, service in services.items() if "profiles" in service} == {
        "kafka-ui": ["kafka-ui"], **{name: [name] for name in ON_DEMAND},
    }  # fmt: skip


def test_the_endpoint_runs_by_the_settings_of_the_others_and_lets_nobody_in_without_a_key(tmp_path: Path) -> None:
    services = read(WHOLE)["services"]
    edge = services["edge"]
    assert services["refrain"]["environment"].items() <= edge["environment"].items()
    assert edge["command"] == ["run", "edge"]
    told = {name: value for name, value in edge["environment"].items() if value is not None}
    settings = load_settings({**told, "REFRAIN_STATE_DIR": str(tmp_path)})
    assert edge["ports"] == [f"127.0.0.1:${{EDGE_PORT:-{settings.edge.port}}}:{settings.edge.port}"]
    keys = access_of(settings).keys
    assert keys is not None
    assert len(keys) == 0
    tokens = {
        "REFRAIN_EDGE__AUTH": "jwt", "REFRAIN_JWT__ISSUER": "https://login.example.org",
        "REFRAIN_JWT__AUDIENCE": "refrain", "REFRAIN_JWT__JWKS_URL": "https://login.example.org/keys",
        "REFRAIN_JWT__TENANT_CLAIM": "org",
    }  # fmt: skip
    assert tokens.keys() <= edge["environment"].keys()
    assert access_of(load_settings({**told, "REFRAIN_STATE_DIR": str(tmp_path), **tokens})).keys is None
    with pytest.raises(WrongSetup, match=r"edge\.auth"):
        access_of(load_settings({**told, "REFRAIN_STATE_DIR": str(tmp_path), "REFRAIN_EDGE__AUTH": "none"}))


def test_a_worker_of_a_container_of_its_own_shares_no_state_folder() -> None:
    """The health files of a folder name workers of one machine, by ports and process ids."""
    services = read(WHOLE)["services"]
    folders = [mount for name in ("refrain", *ON_DEMAND) for mount in services[name]["volumes"]]
    assert [mount.split(":")[1] for mount in folders] == ["/var/lib/refrain"] * len(folders)
    assert len({mount.split(":")[0] for mount in folders}) == len(folders)
    assert {mount.split(":")[0] for mount in folders} <= set(read(WHOLE)["volumes"])


@pytest.mark.parametrize(("name", "runs"), [("refrain", "all"), ("edge", "edge")])
@pytest.mark.parametrize(
    ("given", "connector"),
    [
        ({}, "simulated"),
        ({"REFRAIN_UPSTREAM__BASE_URL": "http://127.0.0.1:8000/v1"}, None),
        ({"REFRAIN_UPSTREAM__CONNECTOR": "http"}, "http"),
    ],
)
def test_a_model_is_simulated_where_none_is_named(
    given: dict[str, str], connector: str | None, name: str, runs: str, tmp_path: Path
) -> None:
    service = read(WHOLE)["services"][name]
    stand_in = tmp_path / "refrain"
    stand_in.write_text('#!/bin/sh\necho "$@" "${REFRAIN_UPSTREAM__CONNECTOR-}"\n')
    stand_in.chmod(0o755)
    command = [part.replace("$$", "$") for part in (*service["entrypoint"], *service["command"])]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **given}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=COMPOSE_S, check=True)
    assert done.stdout.split() == ["run", runs, *([] if connector is None else [connector])]


def test_prometheus_asks_every_processor_at_the_port_that_it_has() -> None:
    [job] = read(MONITORING / "prometheus.yml")["scrape_configs"]
    found = {each["labels"]["processor"]: each["targets"] for each in job["static_configs"]}
    assert found == {
        name: [f"refrain:{HEALTH_PORT + place}"] for place, name in enumerate(NAMES) if name not in ON_DEMAND
    }


def test_prometheus_asks_what_runs_on_demand_where_it_runs() -> None:
    [job] = read(MONITORING / "prometheus.yml")["scrape_configs"]
    looked_for = {name: each["port"] for each in job["dns_sd_configs"] for name in each["names"]}
    assert looked_for == dict.fromkeys(ON_DEMAND, HEALTH_PORT)
    assert {each["regex"]: each["replacement"] for each in job["relabel_configs"]} == {name: name for name in ON_DEMAND}
    assert {each["target_label"] for each in job["relabel_configs"]} == {"processor"}


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
        [*command, "-f", str(path), "--profile", "*", "config", "--quiet"],
        capture_output=True,
        text=True,
        timeout=COMPOSE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
