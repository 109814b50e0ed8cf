"""Files of the contract by name: JSON Schemas of messages, of policy and settings files, and AsyncAPI."""

from __future__ import annotations

from pathlib import Path

from refrain.ops.config import settings_schema
from refrain.schemas.generate import ASYNCAPI, ENDING, SCHEMAS


def contract_files() -> dict[str, Path]:
    """Every file that is shipped, by the name that `refrain schemas show` takes, in the order of names."""
    schemas = {path.name.removesuffix(ENDING): path for path in SCHEMAS.glob(f"*{ENDING}")}
    return dict(sorted({**schemas, settings_schema.NAME: settings_schema.FILE, ASYNCAPI.stem: ASYNCAPI}.items()))
