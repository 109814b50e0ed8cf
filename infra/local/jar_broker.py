"""Jar broker: Apache Kafka from its jars on a local Java, one KRaft node on free loopback ports, stopped by its pid.

.local/kafka/libs/       the jars, fetched once by Maven (infra/kafka/pom.xml)
.local/kafka/kept/       the node of `infra/up`: data, settings, log and pid; its data outlive it
.local/kafka/fresh-*/    the same for demo, tests and benches; removed when they end
"""

from __future__ import annotations

import base64
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from infra.local.log_file import log_file
from infra.local.ports import kept_ports

FILES = Path(__file__).resolve().parents[1] / "kafka"
JAVA_MIN = 17
FETCH_S = 600.0
FORMAT_S = 120.0
READY_S = 180.0
STOP_S = 20.0
ATTEMPTS = 3
TAIL_LINES = 15
USUAL_PORTS = (9092, 9093)
"""Of the kept node and its controller, where they are free."""

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
# One node: nothing can be replicated.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Workers start at once, a dead one is noticed in seconds, and its open transaction is ended soon.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# What `documents` has compacted away is gone in a second: the fault run waits for it.
log.cleaner.backoff.ms=500
# Half of what an idle node does is to write twice a second that nothing happened.
metadata.max.idle.interval.ms=5000
# Nothing creates topics but `refrain topics create`.
auto.create.topics.enable=false
log.segment.delete.delay.ms=1000
"""

BRIEF = ("-XX:TieredStopAtLevel=1",)
"""Compiled quickly, not well: compiling well takes half the processor time of a broker in its first minutes."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class NodeExtras:
    """Additional properties of a node beside `PROPERTIES`, such as users and ACLs."""

    properties: str = ""
    """Further lines, which win over those above; `{port}` and `{controller}` are filled in."""
    connection: Mapping[str, str] = field(default_factory=dict)
    """What a client (librdkafka's names) needs beside the address, to see that the node is ready."""


PLAIN = NodeExtras()


class BrokerFailed(Exception):
    """The broker could not be had or started; the text says what to do."""


def java_version(banner: str) -> int | None:
    """The major version that `java -version` prints, None when it prints none."""
    found = re.search(r'version "(\d+)(?:\.(\d+))?', banner)
    if found is None:
        return None
    major = int(found.group(1))
    return int(found.group(2) or 0) if major == 1 else major


def missing_tool(libs: Path) -> str | None:
    """Missing tool (Java, Maven) without which the jars cannot run here, None when none is missing."""
    java = shutil.which("java")
    if java is None:
        return "no java found"
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False)
    version = java_version(shown.stderr + shown.stdout)
    if version is None or version < JAVA_MIN:
        return f"java {JAVA_MIN} or newer is needed, and {java} is {version or 'of no known version'}"
    if shutil.which("mvn") is None and not is_fetched(libs):
        return "no mvn (Maven) found to fetch the jars with"
    return None


def is_fetched(libs: Path) -> bool:
    """Whether the jars of this pom are already fetched."""
    stamp = libs / "pom.xml"
    return stamp.is_file() and stamp.read_bytes() == (FILES / "pom.xml").read_bytes()


def fetch(libs: Path, say: Say) -> None:
    """Fetch the jars with Maven unless they are there; who comes meanwhile waits. Raises BrokerFailed."""
    with (libs.parent / f"{libs.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_fetched(libs):
            _fetch(libs, say)


def _fetch(libs: Path, say: Say) -> None:
    say("broker: fetching the jars of Apache Kafka with Maven (54 MB, once)")
    shutil.rmtree(libs, ignore_errors=True)
    libs.mkdir(parents=True)
    command = ["mvn", "-q", "-B", "-f", str(FILES / "pom.xml")]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={libs}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S, check=False, cwd=libs)
    if done.returncode != 0:
        raise BrokerFailed(f"Maven could not fetch the jars of Apache Kafka:\n{tail(done.stdout + done.stderr)}")
    shutil.copyfile(FILES / "pom.xml", libs / "pom.xml")


@contextmanager
def node(home: Path, keep: bool, say: Say, extra: NodeExtras = PLAIN, *, is_measured: bool = False) -> Iterator[str]:
    """Run a node below `home` (`.local/kafka`) and yield its bootstrap address. Raises BrokerFailed.

    One that is neither kept nor measured lives for minutes, and is compiled as such.
    """
    libs = home / "libs"
    fetch(libs, say)
    sweep(home)
    folder = _folder(home, keep)
    log_path = folder / "kafka.log"
    process: subprocess.Popen[bytes] | None = None
    try:
        with log_file(log_path) as log:
            for attempt in range(1, ATTEMPTS + 1):
                before = log_path.stat().st_size
                process, address = _start(libs, folder, extra.properties, keep, not (keep or is_measured), log)
                failure = _not_ready(process, address, extra.connection)
                if failure is None:
                    break
                stop(process)
                told = log_path.read_bytes()[before:].decode(errors="replace")
                if "Address already in use" not in told or attempt == ATTEMPTS:
                    raise BrokerFailed(f"the broker {failure}; the end of its log:\n{tail(told)}")
            try:
                yield address
            finally:
                if process is not None:
                    stop(process)
    finally:
        if process is not None:
            stop(process)
        (folder / "pid").unlink(missing_ok=True)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started: politely, then by force."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def sweep(home: Path) -> None:
    """End the brokers whose owners were killed before they could, and remove what they left."""
    for note in home.glob("*/pid"):
        numbers = note.read_text().split()
        if len(numbers) != 2 or psutil.pid_exists(int(numbers[0])):
            continue
        broker, folder = int(numbers[1]), note.parent
        if str(folder / "server.properties") in _command(broker):
            os.kill(broker, signal.SIGTERM)
            os.kill(broker, signal.SIGCONT)
            deadline = time.monotonic() + STOP_S
            while psutil.pid_exists(broker) and time.monotonic() < deadline:
                time.sleep(0.1)
        note.unlink(missing_ok=True)
        if folder.name.startswith("fresh-"):
            shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now, each another."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def listens(servers: str) -> bool:
    """Whether any of the bootstrap servers accepts a connection now."""
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=2.0).close()
        except (OSError, ValueError):
            continue
        return True
    return False


def answers(address: str, connection: Mapping[str, str] = PLAIN.connection) -> bool:
    """Whether a broker answers at the address now, to a client of these further properties."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    if not listens(address):
        return False
    try:
        AdminClient({"bootstrap.servers": address, "log_level": 0, **connection}).list_topics(timeout=5.0)
    except KafkaException:
        return False
    return True


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a text."""
    return "\n".join(text.splitlines()[-lines:]) or "(it is empty)"


def _folder(home: Path, keep: bool) -> Path:
    if not keep:
        return Path(tempfile.mkdtemp(prefix="fresh-", dir=home))
    folder = home / "kept"
    folder.mkdir(exist_ok=True)
    if (folder / "pid").exists():
        raise BrokerFailed("another infra/up runs here already: stop it with Ctrl-C first, or ask it as it is")
    return folder


def _start(
    libs: Path, folder: Path, further: str, keep: bool, is_brief: bool, log: IO[bytes]
) -> tuple[subprocess.Popen[bytes], str]:
    port, controller = kept_ports(folder / "ports.json", USUAL_PORTS, free_ports(2)) if keep else free_ports(2)
    data = folder / "data"
    settings = folder / "server.properties"
    # It may hold passwords, and is the broker's alone.
    settings.touch(mode=0o600)
    settings.write_text((PROPERTIES + further).format(port=port, controller=controller, data=data))
    if not (data / "meta.properties").exists():
        format_storage(java_command(libs, is_brief=True), settings, cluster_id())
    process = subprocess.Popen(
        [*java_command(libs, is_brief=is_brief), "kafka.Kafka", str(settings)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        # Ctrl-C at the terminal is for us: the workers leave before the broker does.
        start_new_session=True,
        cwd=folder,
    )
    (folder / "pid").write_text(f"{os.getpid()} {process.pid}\n")
    return process, f"127.0.0.1:{port}"


def java_command(libs: Path, heap_mb: int = 512, *, is_brief: bool = False) -> list[str]:
    """The command that runs a class of the jars; one that is brief ends within minutes."""
    return [
        "java",
        f"-Xmx{heap_mb}m",
        *(BRIEF if is_brief else ()),
        f"-Dlog4j2.configurationFile={FILES / 'log4j2.properties'}",
        "-cp",
        f"{libs}/*",
    ]


def cluster_id() -> str:
    """A new id of a cluster."""
    return base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).rstrip(b"=").decode()


def format_storage(java: list[str], settings: Path, cluster: str) -> None:
    """Format the storage of a broker of these settings, in the cluster of this id. Raises BrokerFailed."""
    command = [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_S, check=False)
    if done.returncode != 0:
        raise BrokerFailed(f"the broker's storage could not be prepared:\n{tail(done.stdout + done.stderr)}")


def _not_ready(process: subprocess.Popen[bytes], address: str, connection: Mapping[str, str]) -> str | None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return f"ended with {process.returncode} before it was ready"
        if answers(address, connection):
            return None
        time.sleep(0.1)
    return f"was not ready within {READY_S:.0f} s"


def _command(pid: int) -> str:
    shown = subprocess.run(["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False)
    return shown.stdout


if sys.platform == "win32":
    raise BrokerFailed("the local broker needs Linux or macOS (on Windows: WSL), or set REFRAIN_KAFKA")
