"""An endpoint that lets a key in, with a whole service and a model's server behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from refrain.streams.settings import Upstream
from refrain.streams.upstream.simulated.server import SimulatedServer
from tests.streams.edge.service import add_key, service, settings_of
from tests.streams.edge.serving import Serving, serving


class KeyedEndpoint(NamedTuple):
    """An endpoint, the key that it lets in, and the model's server behind it."""

    serving: Serving
    key: str
    model: SimulatedServer

    @property
    def client_variables(self) -> dict[str, str]:
        """Variables by which every client of OpenAI's finds it."""
        return {"OPENAI_BASE_URL": f"{self.serving.url}/v1", "OPENAI_API_KEY": self.key}


@contextmanager
def keyed_endpoint(state_dir: Path) -> Iterator[KeyedEndpoint]:
    """Run the endpoint until the block ends."""
    with SimulatedServer(Upstream(latency_median_ms=20, latency_sigma=0)) as model:
        settings = settings_of(state_dir, model, auth="keys")
        key, _ = add_key(settings, "acme")
        with service(settings) as running, serving(settings, running.cluster) as one:
            yield KeyedEndpoint(one, key, model)
