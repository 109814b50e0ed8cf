"""A whole service in memory, and the model's server behind it; a file may have a `model` of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from refrain.streams.settings import Upstream
from refrain.streams.upstream.simulated.server import SimulatedServer
from tests.streams.edge.service import Service, service, settings_of


@pytest.fixture(scope="module")
def model() -> Iterator[SimulatedServer]:
    with SimulatedServer(Upstream(latency_median_ms=1, latency_sigma=0)) as server:
        yield server


@pytest.fixture(scope="module")
def running(model: SimulatedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(settings_of(tmp_path_factory.mktemp("state"), model)) as one:
        yield one
