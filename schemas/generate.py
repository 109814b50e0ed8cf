"""The contract in files, made from the models: `python -m refrain.schemas.generate`.

A JSON Schema of every message and of the policy file, and the topics with their messages as AsyncAPI. They are for
readers and writers in other languages and for editors; a test keeps them equal to the models.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from refrain.schemas.asyncapi import document
from refrain.schemas.json_schema import Described, standing_alone
from refrain.schemas.messages import MESSAGES, UNIONS
from refrain.schemas.policy import Policy

FOLDER = Path(__file__).parent
SCHEMAS = FOLDER / "json"
ASYNCAPI = FOLDER / "asyncapi.yaml"
ENDING = ".schema.json"
POLICY_FILE = "policy"


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of every message and of the policy file, by name; a union is one schema of all its messages."""
    alone = {
        name: model.model_json_schema(schema_generator=Described)
        for name, model in MESSAGES.items()
        if name.partition(".")[0] not in UNIONS
    }
    unions = {name: union.json_schema(schema_generator=Described) for name, union in UNIONS.items()}
    found = {**alone, **unions, POLICY_FILE: policy_file_schema()}
    return {name: standing_alone(schema, name) for name, schema in found.items()}


def policy_file_schema() -> dict[str, Any]:
    """The JSON Schema of a policy file: the policy, with the trained heads that it names by file in place of theirs."""
    made = Policy.model_json_schema(schema_generator=Described)
    del made["properties"]["hit_heads"]
    made["$defs"]["CategoryPolicy"]["properties"]["hit_head"] = {
        "type": ["string", "null"],
        "default": None,
        "description": "The file that `refrain hits train` wrote, beside this one, or the version of a head in force.",
    }
    made["$defs"] = {name: part for name, part in made["$defs"].items() if name in _used(made)}
    return made


def _used(schema: dict[str, Any]) -> set[str]:
    """The definitions that a schema needs."""
    used: set[str] = set()
    waiting = _named({name: part for name, part in schema.items() if name != "$defs"})
    while waiting:
        used |= waiting
        waiting = {inner for name in waiting for inner in _named(schema["$defs"][name])} - used
    return used


def _named(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        here = {schema["$ref"].removeprefix("#/$defs/")} if isinstance(schema.get("$ref"), str) else set()
        return here.union(*map(_named, schema.values()))
    return set().union(*map(_named, schema)) if isinstance(schema, list) else set()


def rendered() -> dict[Path, str]:
    """The text of every file by its place below the folder."""
    files = {
        Path(SCHEMAS.name, f"{name}{ENDING}"): json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }
    text = yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)
    return {**files, Path(ASYNCAPI.name): f"# Made by `python -m refrain.schemas.generate`.\n{text}"}


def write(folder: Path = FOLDER) -> None:
    """Write the files, and delete schemas of messages that are no more."""
    texts = {folder / place: text for place, text in rendered().items()}
    for path in (folder / SCHEMAS.name).glob(f"*{ENDING}"):
        if path not in texts:
            path.unlink()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
