"""Kinds of faults that `infra/faults --brokers` causes: of brokers, of the workers' disk and clock, and of topics."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from infra.local.jar_cluster import MIN_INSYNC, REPLICATION, JarCluster, Node
from refrain.ops.cluster.connection import reach
from refrain.schemas.topics import BY_NAME
from refrain.streams.settings import Settings

HOUR_S = 3_600
DISK_MB = 256
"""The size of the disk of the workers' state."""
CLOCK = "clock"
CLOCK_FOLDER = Path(__file__).parent / "clock"
"""What has a process take its time of day from a file."""
ADMIN_S = 30.0
DELETED_S = 60.0
"""How long a deleted topic may take to be gone."""


@dataclass(frozen=True)
class Scene:
    """What faults act on: a cluster, and a service on it."""

    running: JarCluster
    environment: Mapping[str, str]
    settings: Settings
    folder: Path

    def admin(self) -> AdminClient:
        """A client of the cluster."""
        return reach(self.settings)


@dataclass
class Fault:
    """A fault: how it begins and ends, and what it allows. Derive from it."""

    name: str
    seconds: float = 20.0
    """How long it lasts, or is looked at when it cannot be taken back."""
    allowed: tuple[str, ...] = ()
    """Codes of errors that it may bring; `nothing`: no answer at all."""
    may_end: bool = False
    """Whether it may end workers, which are started again."""
    nobody_answers: bool = False
    """Whether too few brokers are left to take anything."""

    def missing(self, scene: Scene) -> str | None:
        """What the fault needs and this machine lacks, None when it can be caused."""
        return None

    def begin(self, scene: Scene, draw: random.Random) -> None:
        """Cause it."""
        raise NotImplementedError

    def end(self, scene: Scene) -> None:
        """Take it back, as far as that goes, and wait until brokers answer."""


@dataclass
class BrokersAway(Fault):
    """Brokers that are killed or frozen, drawn by the seed, and come back."""

    brokers: int = 1
    frozen: bool = False
    _nodes: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nobody_answers = REPLICATION - self.brokers < MIN_INSYNC

    def begin(self, scene: Scene, draw: random.Random) -> None:
        self._nodes = draw.sample(scene.running.nodes, self.brokers)
        for node in self._nodes:
            (scene.running.freeze if self.frozen else scene.running.kill)(node)

    def end(self, scene: Scene) -> None:
        for node in self._nodes:
            (scene.running.wake if self.frozen else scene.running.start)(node)
        scene.running.await_answers(self._nodes)


@dataclass
class DiskFull(Fault):
    """The disk of the workers' state is full, and has room again."""

    def missing(self, scene: Scene) -> str | None:
        return None if os.path.ismount(scene.settings.state_dir) else "only root may mount a small disk"

    def begin(self, scene: Scene, draw: random.Random) -> None:
        with (scene.settings.state_dir / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(65_536))
            except OSError:
                # It is full: what was written last is cut off.
                return

    def end(self, scene: Scene) -> None:
        (scene.settings.state_dir / "filler").unlink()


@dataclass
class ClockJump(Fault):
    """The time of day of all workers jumps, and jumps back. Brokers and clients keep theirs."""

    by_s: int = HOUR_S

    def begin(self, scene: Scene, draw: random.Random) -> None:
        _set_clock(scene.folder, self.by_s)

    def end(self, scene: Scene) -> None:
        _set_clock(scene.folder, 0)


@dataclass
class PartitionsAdded(Fault):
    """Topics get more partitions than they have, for good."""

    topics: tuple[str, ...] = ()
    more: int = 4

    def begin(self, scene: Scene, draw: random.Random) -> None:
        admin = scene.admin()
        known = admin.list_topics(timeout=ADMIN_S).topics
        names = [scene.settings.prefix + topic for topic in self.topics]
        wanted = [NewPartitions(name, len(known[name].partitions) + self.more) for name in names]
        for done in admin.create_partitions(wanted).values():
            done.result(ADMIN_S)


@dataclass
class TopicRecreated(Fault):
    """A topic is deleted with all that is in it, and made again with the same settings."""

    topic: str = ""

    def begin(self, scene: Scene, draw: random.Random) -> None:
        admin, name = scene.admin(), scene.settings.prefix + self.topic
        count = len(admin.list_topics(name, timeout=ADMIN_S).topics[name].partitions)
        admin.delete_topics([name])[name].result(ADMIN_S)
        config = _settings_of(self.topic)
        deadline = time.monotonic() + DELETED_S
        while True:
            try:
                made = NewTopic(name, count, scene.settings.replication, config=config)
                admin.create_topics([made])[name].result(ADMIN_S)
                return
            except Exception:
                # It is gone a moment after it was deleted.
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)


def _settings_of(topic: str) -> dict[str, str]:
    return {**BY_NAME[topic].config(), "min.insync.replicas": str(MIN_INSYNC)}


NOTHING = "nothing"
"""Told instead of a code, of who heard nothing."""
LATE = "deadline_exceeded"
NOT_SENT = "not_sent"
FAULTS: tuple[Fault, ...] = (
    BrokersAway("one killed", 20.0),
    BrokersAway("one frozen for 20 s", 20.0, frozen=True),
    BrokersAway("two away for 30 s", 30.0, brokers=2),
    BrokersAway("all frozen for 30 s", 30.0, brokers=3, frozen=True),
    BrokersAway("one away for two minutes", 120.0),
    DiskFull("disk full for 20 s", 20.0),
    # By a clock that is ahead, every deadline of a forward has passed: whoever needs a model is told.
    ClockJump("clocks an hour ahead", allowed=(LATE,)),
    ClockJump("clocks an hour back", by_s=-HOUR_S),
    PartitionsAdded("partitions added", 45.0, topics=("requests", "forwards", "completions")),
    # Who waits for a forward that is gone is told by his shard, and at once where there is no topic to send it to; of
    # who was passed by nobody knows.
    TopicRecreated("forwards made anew", 20.0, (LATE, NOT_SENT, NOTHING), may_end=True, topic="forwards"),
    TopicRecreated("requests made anew", 30.0, (NOTHING,), may_end=True, topic="requests"),
    TopicRecreated("completions made anew", 20.0, (LATE, NOTHING), may_end=True, topic="completions"),
    TopicRecreated("documents made anew", 20.0, topic="documents"),
    TopicRecreated("stats made anew", 20.0, topic="stats"),
)


def clock_variables(folder: Path) -> dict[str, str]:
    """Variables by which the time of day of Python processes is moved by what a file in the folder says."""
    _set_clock(folder, 0)
    path = [str(CLOCK_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"FAULTS_CLOCK_FILE": str(folder / CLOCK), "PYTHONPATH": os.pathsep.join(path)}


def _set_clock(folder: Path, by_s: int) -> None:
    new = folder / f"{CLOCK}.new"
    new.write_text(f"{by_s}\n")
    new.replace(folder / CLOCK)


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A small disk at a new folder until the block ends; just the folder for who may not mount one."""
    place.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "tmpfs", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=False)
