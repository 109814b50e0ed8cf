"""Programs of others from the package registry, each in a folder of its own, kept between runs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.broker import LOCAL
from infra.local.jar_broker import tail

FOLDER = LOCAL / "clients"
LITELLM = "litellm[proxy]==1.108.7"
LANGCHAIN = "langchain-openai==1.7.4"
INSTALL_S = 120.0
NO_REGISTRY = ("Failed to fetch", "Failed to download", "network was disabled")
"""What uv says where the registry cannot be reached; anything else that fails is an error."""


def programs(*requirements: str) -> Path:
    """The folder of programs of an environment that holds these packages alone.

    It is made once, in some seconds. Skips the test where there is no uv or no registry.
    """
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        pytest.skip("uv is not installed")
    name = hashlib.sha256("\n".join((sys.version, *requirements)).encode()).hexdigest()[:16]
    home = FOLDER / name
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        # Another worker of the tests may want the same.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "installed").is_file():
            _install(uv, home, requirements)
            (home / "installed").write_text("\n".join(requirements))
    return home / "bin"


def _install(uv: str, home: Path, requirements: tuple[str, ...]) -> None:
    shutil.rmtree(home, ignore_errors=True)
    make = [uv, "venv", "--quiet", "--python", sys.executable, str(home)]
    fill = [uv, "pip", "install", "--quiet", "--no-cache", "--python", str(home / "bin" / "python")]
    try:
        subprocess.run(make, check=True, capture_output=True, text=True, timeout=INSTALL_S)
        subprocess.run([*fill, *requirements], check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{', '.join(requirements)}: not installed within {INSTALL_S:.0f} s")
    except subprocess.CalledProcessError as problem:
        said = tail(problem.stderr)
        if any(each in said for each in NO_REGISTRY):
            pytest.skip(f"{', '.join(requirements)}: the registry cannot be had: {said}")
        raise AssertionError(said) from problem
