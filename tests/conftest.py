"""The broker of the tests: one for the whole run, found as `infra/up` finds it; every test has its own topic prefix.

Tests that use it are marked `kafka`. Where no broker can be had they fail in CI and are skipped elsewhere.
"""

from __future__ import annotations

import gc
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from hypothesis import settings as hypothesis_settings

from infra.local.broker import broker
from infra.local.jar_broker import BrokerFailed
from refrain.streams.settings import Embedding, Settings, Upstream
from tests.log_watch import watched_logs
from tests.shares import in_order, may_hold_fault_runs, workers

ADMIN_S = 15.0
ASKED_FOR = {"docker": "builds and runs images", "clients": "installs or builds programs of others"}
"""Markers of tests that take too long for every run, and what those do."""

# Machines differ in speed: no example is wrong for taking long.
hypothesis_settings.register_profile("refrain", deadline=None)
hypothesis_settings.load_profile("refrain")


def is_fault_run(item: pytest.Item) -> bool:
    return item.get_closest_marker("simulation") is not None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-seed", type=int, help="Seed of the fault runs in place of their own (see tests/simulation)."
    )
    parser.addoption(
        "--fault-runs", choices=("with", "without", "alone"), default="with", help="Run them with all others or apart."
    )
    parser.addoption("--docker", action="store_true", help="Run what builds and runs images (REFRAIN_TEST_DOCKER=1).")
    parser.addoption(
        "--clients", action="store_true", help="Run what installs others' programs (REFRAIN_TEST_CLIENTS=1)."
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return workers(cores, psutil.virtual_memory().total)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    alone = config.getoption("--fault-runs") == "alone" and collection_path.suffix == ".py"
    return True if alone and not may_hold_fault_runs(collection_path) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected stays until the end, so that no search for garbage need look at it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
        for name, does in ASKED_FOR.items():
            if item.get_closest_marker(name) is not None and not config.getoption(f"--{name}"):
                item.add_marker(pytest.mark.skip(reason=f"{does}: REFRAIN_TEST_{name.upper()}=1 infra/test"))
    wanted = config.getoption("--fault-runs")
    if wanted != "with":
        runs = {item for item in items if is_fault_run(item)}
        if unseen := [item.nodeid for item in runs if not may_hold_fault_runs(item.path)]:
            raise pytest.UsageError(f"never run, since their files do not name the marker of fault runs: {unseen}")
        left = [item for item in items if (item in runs) == (wanted == "alone")]
        away = set(items).difference(left)
        config.hook.pytest_deselected(items=[item for item in items if item in away])
        items[:] = left
    if "PYTEST_XDIST_WORKER" in os.environ:
        waiting = {item.path for item in items if item.get_closest_marker("kafka") is not None}
        items[:] = in_order(items, waiting)


@pytest.fixture(autouse=True)
def no_text_in_logs() -> Iterator[None]:
    """No log line of Refrain quotes a record of the test."""
    with watched_logs() as watch:
        yield
    assert watch.leaks() == []


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[str]:
    """Bootstrap servers of a broker that runs until the last test is over."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", file=sys.stderr, flush=True)

    try:
        with broker(say=say) as bootstrap:
            yield bootstrap
            # Clients that only tracebacks of expected errors hold leave while there is a broker to leave.
            gc.collect()
    except BrokerFailed as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))


@pytest.fixture(scope="session")
def admin(kafka: str) -> AdminClient:
    """An admin client of the broker."""
    return AdminClient({"bootstrap.servers": kafka, "log_level": 0})


@pytest.fixture
def prefix(admin: AdminClient) -> Iterator[str]:
    """A prefix that no other test has; topics and groups under it are removed afterwards."""
    mine = f"test-{uuid.uuid4().hex[:8]}."
    yield mine
    remove_topics(admin, mine)
    remove_groups(admin, mine)


@pytest.fixture
def settings(kafka: str, prefix: str, tmp_path: Path) -> Settings:
    """Settings of workers under the test's prefix, with the free embedder and the simulated model."""
    return Settings(
        kafka=kafka,
        prefix=prefix,
        state_dir=tmp_path / "state",
        session_timeout_ms=6_000,
        embedding=Embedding(backend="free"),
        upstream=Upstream(connector="simulated"),
    )


def remove_topics(admin: AdminClient, prefix: str) -> None:
    """Delete all topics under a prefix."""
    names = [name for name in admin.list_topics(timeout=ADMIN_S).topics if name.startswith(prefix)]
    if names:
        for future in admin.delete_topics(names, operation_timeout=ADMIN_S).values():
            future.result()


def remove_groups(admin: AdminClient, prefix: str) -> None:
    """Delete all consumer groups under a prefix; one that still has members is left to expire."""
    found = admin.list_consumer_groups(request_timeout=ADMIN_S).result().valid
    names = [group.group_id for group in found if group.group_id.startswith(prefix)]
    if names:
        for future in admin.delete_consumer_groups(names, request_timeout=ADMIN_S).values():
            try:
                future.result()
            except KafkaException:
                continue
