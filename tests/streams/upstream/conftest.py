"""What tests of the connector share: a server on loopback that answers as a test says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from refrain.streams.settings import Upstream
from refrain.streams.upstream.simulated.server import SimulatedServer


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatedServer]:
    with SimulatedServer(Upstream(latency_median_ms=0, latency_sigma=0)) as server:
        yield server


@pytest.fixture
def server(running: SimulatedServer) -> SimulatedServer:
    """It, without what a test before asked and said."""
    running.script.clear()
    running.calls.clear()
    return running
