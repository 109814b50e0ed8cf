"""Health, readiness and metrics of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from refrain.streams.errors import WrongSetup
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.health import HealthServer, Liveness
from refrain.streams.settings import Http


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def liveness(clock: Clock) -> Liveness:
    return Liveness(silent_s_max=10, start_s_max=60, clock=clock)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def get(liveness: Liveness, metrics: Metrics) -> Iterator[httpx.Client]:
    with (
        HealthServer(Http(), liveness, metrics.registry) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client,
    ):
        yield client


def test_a_worker_that_starts_is_alive_and_not_ready(get: httpx.Client) -> None:
    assert get.get("/healthz").status_code == 200
    assert get.get("/readyz").status_code == 503


def test_a_worker_may_take_long_to_its_first_round_and_not_for_ever(liveness: Liveness, clock: Clock) -> None:
    clock.now = 59
    assert liveness.is_alive()
    clock.now = 61
    assert not liveness.is_alive()


def test_a_worker_that_is_able_to_work_is_ready(get: httpx.Client, liveness: Liveness) -> None:
    liveness.ready()
    assert get.get("/readyz").status_code == 200


def test_a_loop_that_has_stopped_coming_round_is_neither_alive_nor_ready(
    get: httpx.Client, liveness: Liveness, clock: Clock
) -> None:
    liveness.ready()
    clock.now = 11
    assert get.get("/healthz").status_code == 503
    assert get.get("/readyz").status_code == 503
    liveness.beat()
    assert get.get("/healthz").status_code == 200
    assert get.get("/readyz").status_code == 200


def test_a_worker_that_drains_is_alive_and_not_ready(liveness: Liveness) -> None:
    liveness.ready()
    liveness.stop()
    assert liveness.is_alive()
    assert not liveness.is_ready()


def test_a_worker_that_waits_for_the_cluster_is_alive_and_not_ready(get: httpx.Client, liveness: Liveness) -> None:
    liveness.ready()
    liveness.outage(True)
    assert get.get("/healthz").status_code == 200
    answer = get.get("/readyz")
    assert answer.status_code == 503
    assert "the cluster does not answer" in answer.text
    liveness.outage(False)
    assert get.get("/readyz").status_code == 200


def test_the_rounds_of_the_main_loop_are_counted(liveness: Liveness) -> None:
    assert liveness.turns == 0
    liveness.beat()
    liveness.ready()
    assert liveness.turns == 2
    liveness.outage(True)
    liveness.stop()
    assert liveness.turns == 2


def test_metrics_are_told_as_prometheus_reads_them(get: httpx.Client, metrics: Metrics) -> None:
    metrics.dropped.labels("lookup", "seen").inc(3)
    answer = get.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'refrain_dropped_total{processor="lookup",reason="seen"} 3.0' in answer.text


def test_any_other_path_is_not_found(get: httpx.Client) -> None:
    assert get.get("/").status_code == 404


def test_a_port_that_is_taken_is_a_wrong_setup_that_names_it(liveness: Liveness, metrics: Metrics) -> None:
    with (
        HealthServer(Http(), liveness, metrics.registry) as server,
        pytest.raises(WrongSetup, match=rf"127\.0\.0\.1:{server.port}.*http\.port"),
    ):
        HealthServer(Http(port=server.port), liveness, metrics.registry)
