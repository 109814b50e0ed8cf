"""A whole service in memory, behind the model's server that each file chooses (its fixture `model`)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from refrain.streams.upstream.simulated.server import SimulatedServer
from tests.streams.edge.service import Service, service, settings_of


@pytest.fixture(scope="module")
def running(model: SimulatedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(settings_of(tmp_path_factory.mktemp("state"), model)) as one:
        yield one
