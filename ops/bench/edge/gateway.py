"""LiteLLM's proxy with its cache in memory, from an installation of its own, before the same model."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from refrain.ops.bench.path.questions import MODEL
from refrain.ops.bench.processes import child
from refrain.ops.run.probe import NoAnswer, page
from refrain.streams.errors import WrongSetup

START_S = 300.0
PROBE_S = 2.0
TAIL_CHARS = 600
_VARIABLES = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
"""It asks nobody for the prices of models, and logs no request."""


class Gateway(NamedTuple):
    """A gateway: its base URL, and the headers by which it lets the bench in."""

    base_url: str
    headers: Mapping[str, str]


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def litellm(command: Path, config: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[Gateway]:
    """Run the proxy by its `command` with this configuration and these further variables of the environment.

    Raises WrongSetup when it does not start.
    """
    port, key = free_port(), f"sk-{secrets.token_hex(24)}"
    environment = {**os.environ, **_VARIABLES, **variables, "LITELLM_MASTER_KEY": key}
    with tempfile.TemporaryDirectory(prefix="refrain-litellm-") as folder, tempfile.TemporaryFile() as output:
        file = Path(folder) / "config.yaml"
        # JSON is YAML.
        file.write_text(json.dumps(config), encoding="utf-8")
        # It runs in that folder.
        line = [str(command.absolute()), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
        with child(line, environment, output, Path(folder)) as proxy:
            if not _is_up(port, proxy):
                code = proxy.poll()
                how = f"was not up within {START_S:.0f} s" if code is None else f"ended with {code} before it was up"
                output.seek(0)
                said = output.read().decode("utf-8", "replace")[-TAIL_CHARS:]
                raise WrongSetup(f"{command} {how}; is it LiteLLM's proxy? It said last:\n{said}")
            yield Gateway(f"http://127.0.0.1:{port}/v1", {"Authorization": f"Bearer {key}"})


def with_cache(base_url: str) -> dict[str, Any]:
    """The configuration of a proxy with its cache in memory before the model at `base_url`, which wants no key."""
    model = {"model": f"openai/{MODEL}", "api_base": base_url, "api_key": "none"}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": model}],
        "litellm_settings": {"cache": True, "cache_params": {"type": "local"}},
    }


def _is_up(port: int, proxy: subprocess.Popen[bytes]) -> bool:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and proxy.poll() is None:
        try:
            if page("127.0.0.1", port, "/health/liveliness", PROBE_S).status == 200:
                return True
        except NoAnswer:
            pass
        time.sleep(0.2)
    return False
