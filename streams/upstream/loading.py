"""Makes the model that the settings name."""

from __future__ import annotations

from collections.abc import Callable

from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Settings
from refrain.streams.upstream.http_model import HttpModel
from refrain.streams.upstream.live_answer import Relay, tell_nobody
from refrain.streams.upstream.model import Model
from refrain.streams.upstream.simulated.model import SimulatedModel


def model_of(settings: Settings, now_ms: Callable[[], int], relay: Relay = tell_nobody) -> Callable[[], Model]:
    """A factory of the model that the settings name; `relay` gets pieces of its answers. Raises WrongSetup."""
    chosen = settings.upstream
    if chosen.connector == "simulated":
        return lambda: SimulatedModel(chosen, relay=relay)
    if chosen.base_url is None:
        raise WrongSetup(
            "upstream.base_url is not set: name an OpenAI-compatible server (such as http://127.0.0.1:8000/v1),"
            " or set upstream.connector to simulated"
        )
    return lambda: HttpModel(chosen, now_ms, relay=relay)
