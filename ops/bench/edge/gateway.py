"""LiteLLM's proxy with its cache in memory, from an installation of its own, before the same model."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from refrain.ops.bench.path.questions import MODEL
from refrain.streams.errors import WrongSetup

START_S = 300.0
STOP_S = 10.0
TAIL_CHARS = 600


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
def litellm(command: Path, base_url: str) -> Iterator[Gateway]:
    """Run the proxy by its `command`. Raises WrongSetup when it does not start."""
    port, key = free_port(), f"sk-{secrets.token_hex(24)}"
    config = {
        "model_list": [
            {"model_name": MODEL, "litellm_params": {"model": f"openai/{MODEL}", "api_base": base_url, "api_key": "x"}}
        ],
        "litellm_settings": {"cache": True, "cache_params": {"type": "local"}},
    }
    with tempfile.TemporaryDirectory(prefix="refrain-litellm-") as folder, tempfile.TemporaryFile() as output:
        # JSON is YAML.
        (Path(folder) / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
        process = subprocess.Popen(
            [str(command), "--config", f"{folder}/config.yaml", "--host", "127.0.0.1", "--port", str(port)],
            env={
                **os.environ,
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_LOG": "ERROR",
                "LITELLM_MASTER_KEY": key,
            },
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _is_up(f"http://127.0.0.1:{port}/health/liveliness", process):
                output.seek(0)
                said = output.read().decode("utf-8", "replace")[-TAIL_CHARS:]
                raise WrongSetup(f"{command} did not start within {START_S:.0f} s:\n{said}")
            yield Gateway(f"http://127.0.0.1:{port}/v1", {"Authorization": f"Bearer {key}"})
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _is_up(url: str, process: subprocess.Popen[bytes]) -> bool:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and process.poll() is None:
        try:
            if httpx.get(url, timeout=2.0, trust_env=False).status_code == 200:
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    return False
