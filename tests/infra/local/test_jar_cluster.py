"""Several brokers: each with settings of its own, and all of one cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local import jar_broker, jar_cluster
from infra.local.jar_broker import BrokerFailed
from infra.local.jar_cluster import JarCluster, Node


def properties(text: str) -> dict[str, str]:
    """As Java reads them: of two lines of one name the last counts."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """Three nodes that are configured and do not run."""
    formatted: list[str] = []
    monkeypatch.setattr(jar_cluster, "format_storage", lambda java, settings, name: formatted.append(name))
    made = [Node(number, tmp_path / str(number), 0) for number in (1, 2, 3)]
    for node in made:
        node.folder.mkdir()
    jar_cluster._configure(tmp_path / "libs", made)  # noqa: SLF001 - what it writes is read by Kafka alone
    assert len(formatted) == 3
    assert len(set(formatted)) == 1
    return made


def test_each_broker_is_one_of_three_controllers_and_has_a_port_of_its_own(nodes: list[Node]) -> None:
    told = [properties((node.folder / "server.properties").read_text()) for node in nodes]
    assert [each["node.id"] for each in told] == ["1", "2", "3"]
    assert len({each["controller.quorum.voters"] for each in told}) == 1
    for node, each in zip(nodes, told, strict=True):
        voters = dict(voter.split("@") for voter in each["controller.quorum.voters"].split(","))
        assert each["listeners"] == f"PLAINTEXT://{node.address},CONTROLLER://{voters[each['node.id']]}"
        assert each["log.dirs"] == str(node.folder / "data")
    assert JarCluster(Path("libs"), nodes).servers == ",".join(node.address for node in nodes)
    assert len({node.port for node in nodes}) == 3


def test_every_record_is_kept_by_three_brokers_and_taken_when_two_have_it(nodes: list[Node]) -> None:
    told = properties((nodes[0].folder / "server.properties").read_text())
    replicated = [name for name in told if name.endswith(("replication.factor", "min.isr", "insync.replicas"))]
    assert len(replicated) == 6
    assert {told[name] for name in replicated if name.endswith("replication.factor")} == {"3"}
    assert {told[name] for name in replicated if not name.endswith("replication.factor")} == {"2"}


def test_two_brokers_are_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(BrokerFailed, match="3 brokers or more"), jar_cluster.cluster(tmp_path, 2, False, print):
        raise AssertionError("it runs")


def test_the_brokers_run_from_the_same_jars_with_less_memory() -> None:
    assert "-Xmx256m" in jar_broker.java_command(Path("libs"), jar_cluster.HEAP_MB)
    assert "-Xmx512m" in jar_broker.java_command(Path("libs"))


def test_what_lives_for_minutes_is_compiled_for_minutes() -> None:
    quick = "-XX:TieredStopAtLevel=1"
    assert quick in jar_broker.java_command(Path("libs"), is_brief=True)
    assert quick not in jar_broker.java_command(Path("libs"))
