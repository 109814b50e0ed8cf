"""Jar cluster: several brokers of Apache Kafka from their jars on a local Java, each a KRaft node and a controller.

Records are kept on three of them, and taken when two have them. A broker can be killed and frozen, and comes back
where it was. Each has a folder as that of a single one (`jar_broker`), and is stopped by its pid.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.jar_broker import (
    PROPERTIES,
    READY_S,
    USUAL_PORTS,
    BrokerFailed,
    Say,
    answers,
    cluster_id,
    fetch,
    format_storage,
    free_ports,
    java_command,
    stop,
    sweep,
    tail,
)
from infra.local.log_file import BYTES_MAX, rotate
from infra.local.ports import kept_ports

REPLICATION = 3
MIN_INSYNC = 2
HEAP_MB = 256
FURTHER = """\
node.id={number}
controller.quorum.voters={voters}
offsets.topic.replication.factor={replication}
transaction.state.log.replication.factor={replication}
transaction.state.log.min.isr={min_insync}
share.coordinator.state.topic.replication.factor={replication}
share.coordinator.state.topic.min.isr={min_insync}
min.insync.replicas={min_insync}
"""


@dataclass
class Node:
    """One broker of a cluster: its number, folder and port, and the process while it runs."""

    number: int
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"


class JarCluster:
    """Brokers that run, and what can happen to them. Made by `cluster`."""

    def __init__(self, libs: Path, nodes: list[Node]) -> None:
        self._libs = libs
        self.nodes = nodes

    @property
    def servers(self) -> str:
        """Bootstrap servers: all of them."""
        return ",".join(node.address for node in self.nodes)

    def start(self, node: Node) -> None:
        """Start a broker that does not run; it may take some seconds until it answers."""
        path = node.folder / "kafka.log"
        if path.exists() and path.stat().st_size > BYTES_MAX:
            rotate(path)
        with path.open("ab") as log:
            node.process = subprocess.Popen(
                [
                    *java_command(self._libs, HEAP_MB, is_brief=True),
                    "kafka.Kafka",
                    str(node.folder / "server.properties"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=node.folder,
            )
        (node.folder / "pid").write_text(f"{os.getpid()} {node.process.pid}\n")

    def kill(self, node: Node) -> None:
        """kill -9."""
        if node.process is not None:
            node.process.kill()
            node.process.wait()
            node.process = None

    def freeze(self, node: Node) -> None:
        """SIGSTOP: its connections stay open, and nobody answers on them."""
        if node.process is not None:
            node.process.send_signal(signal.SIGSTOP)

    def wake(self, node: Node) -> None:
        """SIGCONT."""
        if node.process is not None:
            node.process.send_signal(signal.SIGCONT)

    def await_answers(self, nodes: list[Node] | None = None) -> None:
        """Wait until brokers (else all) answer. Raises BrokerFailed when one does not."""
        deadline = time.monotonic() + READY_S
        for node in self.nodes if nodes is None else nodes:
            while not answers(node.address):
                if node.process is None or node.process.poll() is not None or time.monotonic() > deadline:
                    log = (node.folder / "kafka.log").read_text(errors="replace")
                    raise BrokerFailed(f"broker {node.number} is not ready; the end of its log:\n{tail(log)}")
                time.sleep(0.1)

    def close(self) -> None:
        """Stop all of them at once: one alone would wait for the others."""
        for node in self.nodes:
            self.wake(node)
            if node.process is not None:
                node.process.terminate()
        for node in self.nodes:
            if node.process is not None:
                stop(node.process)


@contextmanager
def cluster(home: Path, count: int, keep: bool, say: Say) -> Iterator[JarCluster]:
    """Run `count` brokers below `home` until the block ends; with `keep` their data outlive it. Raises BrokerFailed."""
    if count < REPLICATION:
        raise BrokerFailed(f"a cluster has {REPLICATION} brokers or more, or it is a single one")
    libs = home / "libs"
    fetch(libs, say)
    sweep(home)
    nodes = [_node(home, number, count, keep) for number in range(1, count + 1)]
    running = JarCluster(libs, nodes)
    try:
        _configure(libs, nodes, home / f"ports-of-{count}.json" if keep else None)
        for node in nodes:
            running.start(node)
        running.await_answers()
        yield running
    finally:
        running.close()
        for node in nodes:
            (node.folder / "pid").unlink(missing_ok=True)
            if not keep:
                shutil.rmtree(node.folder, ignore_errors=True)


def _node(home: Path, number: int, count: int, keep: bool) -> Node:
    if not keep:
        return Node(number, Path(tempfile.mkdtemp(prefix="fresh-", dir=home)), 0)
    folder = home / f"kept-{number}-of-{count}"
    folder.mkdir(exist_ok=True)
    if (folder / "pid").exists():
        raise BrokerFailed("another infra/up runs here already: stop it with Ctrl-C first, or ask it as it is")
    return Node(number, folder, 0)


def _configure(libs: Path, nodes: list[Node], kept: Path | None = None) -> None:
    """Write the settings of all brokers, on ports of the file `kept`, else free ones, and format what is new."""
    ports = free_ports(2 * len(nodes))
    if kept is not None:
        ports = kept_ports(kept, range(USUAL_PORTS[0], USUAL_PORTS[0] + len(ports)), ports)
    controllers = {node.number: ports.pop() for node in nodes}
    voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in controllers.items())
    name = _cluster_id(nodes)
    for node in nodes:
        node.port = ports.pop(0)
        data, settings = node.folder / "data", node.folder / "server.properties"
        further = FURTHER.format(number=node.number, voters=voters, replication=REPLICATION, min_insync=MIN_INSYNC)
        single = PROPERTIES.format(port=node.port, controller=controllers[node.number], data=data)
        settings.write_text(single + further)
        if not (data / "meta.properties").exists():
            format_storage(java_command(libs, HEAP_MB, is_brief=True), settings, name)


def _cluster_id(nodes: list[Node]) -> str:
    """The id of the cluster whose data are there, else a new one."""
    kept = nodes[0].folder / "cluster-id"
    if not kept.exists():
        kept.write_text(cluster_id())
    return kept.read_text()
