"""Packaged resources: policies to start from, and dashboards.

There is one copy of each. A checkout has them in `infra/`; the wheel carries that folder's files as `shipped/`.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from refrain.streams.errors import WrongSetup

POLICIES = "policies"


def text_of(folder: str, name: str) -> str:
    """The text of a file of a folder of `infra/`. Raises WrongSetup where it is missing."""
    for place in _places():
        file = place / folder / name
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise WrongSetup(f"{folder}/{name} is missing: Refrain is not installed whole, install it again")


def _places() -> tuple[Traversable, ...]:
    package = files("refrain.ops")
    # In a checkout the package is a link: the folder that it leads to stands beside `infra`.
    return package / "shipped", Path(str(package)).resolve().parent / "infra"
