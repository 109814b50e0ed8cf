"""Docker broker: the `apache/kafka` image through testcontainers, one node on loopback, set up as in compose.yaml."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from infra.local.jar_broker import READY_S, USUAL_PORTS, BrokerFailed, answers, free_ports, tail
from infra.local.ports import kept_ports

COMPOSE = Path(__file__).resolve().parents[1] / "kafka" / "compose.yaml"
PORT_SETTING = "${KAFKA_PORT:-9092}"
VOLUME = "refrain-kafka"
INFO_S = 5.0


def runs() -> bool:
    """Whether a Docker engine answers; a client alone does not count."""
    client = shutil.which("docker")
    if client is None:
        return False
    try:
        asked = subprocess.run([client, "info"], capture_output=True, timeout=INFO_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


def service(port: int) -> tuple[str, dict[str, str]]:
    """Image and environment of the broker in compose.yaml, at this port."""
    kafka = yaml.safe_load(COMPOSE.read_text())["services"]["kafka"]
    return kafka["image"], {
        name: value.replace(PORT_SETTING, str(port)) for name, value in kafka["environment"].items()
    }


@contextmanager
def node(home: Path, keep: bool) -> Iterator[str]:
    """Run a container and yield its bootstrap address; with `keep` its data outlive it, and its port is kept in `home`.

    Raises BrokerFailed.
    """
    from docker.errors import DockerException
    from testcontainers.core.container import DockerContainer

    usual = (USUAL_PORTS[0],)
    [port] = kept_ports(home / "docker-ports.json", usual, free_ports(1)) if keep else free_ports(1)
    image, environment = service(port)
    container: Any = DockerContainer(image).with_envs(**environment)
    container.ports[f"{port}/tcp"] = ("127.0.0.1", port)
    if keep:
        container.with_volume_mapping(VOLUME, "/var/lib/kafka/data", "rw")
    address = f"127.0.0.1:{port}"
    try:
        container.start()
    except (DockerException, OSError) as problem:
        raise BrokerFailed(f"Docker could not start {image}: {problem}") from problem
    try:
        deadline = time.monotonic() + READY_S
        while not answers(address):
            if time.monotonic() > deadline:
                log = b"".join(container.get_logs()).decode(errors="replace")
                raise BrokerFailed(f"{image} was not ready within {READY_S:.0f} s; the end of its log:\n{tail(log)}")
            time.sleep(0.2)
        yield address
    finally:
        container.stop()
