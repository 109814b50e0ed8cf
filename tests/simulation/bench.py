"""Test bench of a run: its topics, the model behind HTTP, and the workers; all gone when it ends."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from refrain.ops.cluster.connection import reach
from refrain.ops.topics.admin import create_missing
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.settings import Adapt, Embedding, Lookup, Settings, Snapshots, Upstream
from refrain.streams.upstream.simulated.server import SimulatedServer
from tests.simulation.checks import Report
from tests.simulation.cluster import Cluster

# A worker that is killed in the middle of a call is no news.
logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)

SESSION_MS = 2_000
ADMIN_S = 15.0
SNAPSHOTS_KEPT = 10_000
"""All of a run: an audit begins from one of any time of it."""

Step = Callable[[str, int, int], None]
"""Told what is done now, how far it is, and out of how much."""


@dataclass(frozen=True)
class Run:
    """Parameters of a run. The same values give the same traffic and the same plan of faults."""

    requests: int
    faults: int
    seed: int
    lookups: int = 1
    audit: bool = False
    """Whether `refrain audit` has its say in the end."""
    snapshot_every_ms: int = 0
    """How often the lookup workers make snapshots on the way; 0: never."""

    @property
    def shared(self) -> bool:
        """Whether several lookup workers share the partitions."""
        return self.lookups > 1


@dataclass
class Bench:
    """Bench: what the parts of a run share."""

    run: Run
    settings: Settings
    folder: Path
    """Of logs, local stores and snapshots."""
    state_dir: Path
    admin: AdminClient
    cluster: Cluster
    server: SimulatedServer
    log: KafkaCluster
    report: Report
    step: Step

    def start_lookups(self) -> None:
        """Start the lookup workers, and wait until they are ready."""
        self.cluster.start(*["lookup"] * self.run.lookups)
        self.cluster.wait_ready("lookup")


@contextmanager
def opened(run: Run, kafka: str, folder: Path, step: Step) -> Iterator[Bench]:
    """A bench on a broker, with logs and local stores under `folder`; no worker runs yet."""
    settings = Settings(
        kafka=kafka,
        prefix=f"faults-{uuid.uuid4().hex[:8]}.",
        state_dir=folder / "state",
        session_timeout_ms=SESSION_MS,
        transaction_timeout_ms=5_000,
        embedding=Embedding(backend="free"),
        upstream=Upstream(latency_median_ms=25.0, latency_sigma=0.6, seed=run.seed),
        adapt=Adapt(window_ms=2_000, interval_ms=500),
        lookup=Lookup(snapshot_every_ms=run.snapshot_every_ms),
        snapshots=Snapshots(location=str(folder / "snapshots"), keep=SNAPSHOTS_KEPT),
    )
    admin = reach(settings)
    step("topics", 0, 1)
    create_missing(admin, settings)
    try:
        with (
            SimulatedServer(settings.upstream) as server,
            Cluster(environment_of(settings, server.base_url), settings.state_dir, folder / "logs") as cluster,
            KafkaCluster(settings) as log,
        ):
            yield Bench(run, settings, folder, settings.state_dir, admin, cluster, server, log, Report(), step)
    finally:
        remove(admin, settings.prefix)


def environment_of(settings: Settings, base_url: str) -> dict[str, str]:
    """The settings as `refrain run` reads them."""
    return {
        "REFRAIN_KAFKA": settings.kafka,
        "REFRAIN_PREFIX": settings.prefix,
        "REFRAIN_STATE_DIR": str(settings.state_dir),
        "REFRAIN_SESSION_TIMEOUT_MS": str(settings.session_timeout_ms),
        "REFRAIN_TRANSACTION_TIMEOUT_MS": str(settings.transaction_timeout_ms),
        "REFRAIN_EMBEDDING__BACKEND": "free",
        "REFRAIN_UPSTREAM__CONNECTOR": "http",
        "REFRAIN_UPSTREAM__BASE_URL": base_url,
        # One call a forward, also when the model fails: calls are counted.
        "REFRAIN_UPSTREAM__RETRIES": "0",
        "REFRAIN_ADAPT__WINDOW_MS": str(settings.adapt.window_ms),
        "REFRAIN_ADAPT__INTERVAL_MS": str(settings.adapt.interval_ms),
        "REFRAIN_LOOKUP__SNAPSHOT_EVERY_MS": str(settings.lookup.snapshot_every_ms),
        "REFRAIN_SNAPSHOTS__LOCATION": str(settings.snapshots.location),
        "REFRAIN_SNAPSHOTS__KEEP": str(settings.snapshots.keep),
    }


def wait_until(is_so: Callable[[], bool], wait_s: float, what: str) -> None:
    """Look again and again. Raises TimeoutError."""
    deadline = time.monotonic() + wait_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {wait_s:.0f} s")
        time.sleep(0.02)


def remove(admin: AdminClient, prefix: str) -> None:
    """Delete the topics and groups of a run; a group that still has members expires by itself."""
    names = [name for name in admin.list_topics(timeout=ADMIN_S).topics if name.startswith(prefix)]
    for future in admin.delete_topics(names, operation_timeout=ADMIN_S).values() if names else ():
        future.result()
    listed = admin.list_consumer_groups(request_timeout=ADMIN_S).result().valid
    groups = [group.group_id for group in listed if group.group_id.startswith(prefix)]
    for future in admin.delete_consumer_groups(groups, request_timeout=ADMIN_S).values() if groups else ():
        with suppress(KafkaException):
            future.result()
