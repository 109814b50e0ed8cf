"""JSON Schema of the settings file, for editors: `python -m refrain.ops.config.settings_schema` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from refrain.ops.config.sources import FILE_ENDING, is_secret
from refrain.schemas.json_schema import Described, standing_alone
from refrain.streams.settings import Settings, SettingsGroup

NAME = "settings"
FILE = Path(__file__).parent / f"{NAME}.schema.json"


def settings_schema() -> dict[str, Any]:
    """The schema of the file: all settings, and beside each secret the key that names a file with it."""
    made = standing_alone(Settings.model_json_schema(schema_generator=Described), NAME)
    for group in SettingsGroup.__subclasses__():
        _add_files(group, made["$defs"].get(group.__name__, made))
    # librdkafka takes texts; numbers and booleans of TOML are written as it wants them.
    made["properties"]["connection"]["additionalProperties"] = {"type": ["string", "number", "boolean"]}
    return made


def _add_files(group: type[SettingsGroup], schema: dict[str, Any]) -> None:
    for name, field in group.model_fields.items():
        if is_secret(field):
            schema["properties"][name + FILE_ENDING] = {
                "type": "string",
                "description": f"The file that holds `{name}`; a relative one is sought beside this file.",
            }


def rendered() -> str:
    """The text of the file."""
    return json.dumps(settings_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(rendered(), encoding="utf-8")
