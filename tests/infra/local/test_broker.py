"""Which broker is taken, and what a person is told who has none."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from infra.local import docker_broker, jar_broker
from infra.local.broker import BrokerKind, broker, choose_kind
from infra.local.jar_broker import BrokerFailed


def test_the_own_broker_is_taken_before_anything_else_is_asked() -> None:
    def unasked() -> bool:
        raise AssertionError("asked for Docker")

    assert choose_kind({"REFRAIN_KAFKA": "host:9092"}, unasked, lambda: None) is BrokerKind.OWN


def test_docker_is_taken_before_the_jars() -> None:
    assert choose_kind({}, lambda: True, lambda: None) is BrokerKind.DOCKER


def test_the_jars_are_taken_when_no_docker_engine_answers() -> None:
    assert choose_kind({"REFRAIN_KAFKA": " "}, lambda: False, lambda: None) is BrokerKind.JARS


def test_with_none_of_them_the_error_names_all_three_and_what_is_missing() -> None:
    with pytest.raises(BrokerFailed) as raised:
        choose_kind({}, lambda: False, lambda: "no java found")
    for part in ("REFRAIN_KAFKA", "Docker", "Java 17", "Maven", "no java found"):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_392"', 8),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
    ],
)
def test_the_java_version_is_read_from_its_banner(banner: str, version: int | None) -> None:
    assert jar_broker.java_version(banner) == version


def test_an_own_broker_that_does_not_listen_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        own = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("REFRAIN_KAFKA", own)
        said: list[str] = []
        with pytest.raises(BrokerFailed, match="nothing listens"), broker(local=tmp_path, say=said.append):
            pass
    assert said == [f"broker: REFRAIN_KAFKA, {own}"]


def test_free_ports_differ_from_each_other() -> None:
    assert len(set(jar_broker.free_ports(5))) == 5


def test_the_container_listens_on_the_port_it_is_given() -> None:
    image, environment = docker_broker.service(12345)
    assert image == "apache/kafka:4.1.0"
    assert environment["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:12345"
    assert "KAFKA_PORT" not in " ".join(environment.values())


def test_a_container_and_the_jars_run_with_the_same_settings() -> None:
    _, environment = docker_broker.service(1)
    properties = dict(line.split("=", 1) for line in jar_broker.PROPERTIES.splitlines() if "=" in line)
    of_the_place = {"controller.quorum.voters", "listeners", "log.dirs", "advertised.listeners"}
    of_the_size = {
        "offsets.topic.num.partitions",
        "transaction.state.log.num.partitions",
        "log.segment.delete.delay.ms",
    }
    for name, value in properties.items():
        if name not in of_the_place | of_the_size:
            assert environment["KAFKA_" + name.upper().replace(".", "_")] == value


def test_a_broker_left_by_a_killed_owner_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "fresh-1"
    left.mkdir()
    nobody = 2**22 + 1  # above the largest process id
    (left / "pid").write_text(f"{nobody} {nobody}\n")
    jar_broker.sweep(tmp_path)
    assert not left.exists()
