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

import httpx

from refrain.ops.bench.path.questions import MODEL
from refrain.ops.bench.processes import child
from refrain.streams.errors import WrongSetup

START_S = 300.0
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
def litellm(command: Path, base_url: str, api_key: str = "none", *, cache: bool = True) -> Iterator[Gateway]:
    """Run the proxy by its `command`, before the model at `base_url`, with or without its cache.

    Raises WrongSetup when it does not start.
    """
    port, key = free_port(), f"sk-{secrets.token_hex(24)}"
    with tempfile.TemporaryDirectory(prefix="refrain-litellm-") as folder, tempfile.TemporaryFile() as output:
        file = Path(folder) / "config.yaml"
        # It holds the key of the model, and is its owner's alone.
        file.touch(mode=0o600)
        # JSON is YAML.
        file.write_text(json.dumps(_config(base_url, api_key, cache=cache)), encoding="utf-8")
        # It runs in that folder.
        line = [str(command.absolute()), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
        with child(line, {**os.environ, **_VARIABLES, "LITELLM_MASTER_KEY": key}, output, Path(folder)) as proxy:
            if not _is_up(f"http://127.0.0.1:{port}/health/liveliness", proxy):
                code = proxy.poll()
                how = f"was not up within {START_S:.0f} s" if code is None else f"ended with {code} before it was up"
                output.seek(0)
                said = output.read().decode("utf-8", "replace")[-TAIL_CHARS:]
                raise WrongSetup(f"{command} {how}; is it LiteLLM's proxy? It said last:\n{said}")
            yield Gateway(f"http://127.0.0.1:{port}/v1", {"Authorization": f"Bearer {key}"})


def _config(base_url: str, api_key: str, *, cache: bool) -> dict[str, Any]:
    model = {"model": f"openai/{MODEL}", "api_base": base_url, "api_key": api_key}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": model}],
        "litellm_settings": {"cache": cache, "cache_params": {"type": "local"}, "num_retries": 0},
        # One error would set the only model aside for seconds.
        "router_settings": {"disable_cooldowns": True},
        # What a client wishes of Refrain's cache, by `x-refrain-*`, goes on to the model.
        "general_settings": {"forward_client_headers_to_llm_api": True},
    }


def _is_up(url: str, proxy: subprocess.Popen[bytes]) -> bool:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and proxy.poll() is None:
        try:
            if httpx.get(url, timeout=2.0, trust_env=False).status_code == 200:
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    return False
