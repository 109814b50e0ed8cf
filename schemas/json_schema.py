"""JSON Schemas of models (draft 2020-12), with a description of every field and an example of every message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import DefsRef, GenerateJsonSchema, JsonSchemaKeyT, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from refrain.schemas.descriptions import descriptions, members
from refrain.schemas.messages import example

NAMESPACE = "urn:refrain:schema"
VERSION = 1


class Described(GenerateJsonSchema):
    """Adds what the models' sources say of fields and of the members of enumerations."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """The schema of a model, its fields described, with an example where it is a message."""
        made = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        told = descriptions(model)
        for name, field in made.get("properties", {}).items():
            if name in told:
                field["description"] = told[name]
        shown = example(model)
        return made if shown is None else {**made, "examples": [shown]}

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        """The schema of an enumeration, each member explained."""
        told = [f"- `{value}`: {text}" for value, text in members(schema["cls"]).items()]
        # A description would be replaced by the class's docstring: it is put together in the end.
        return {**super().enum_schema(schema), _MEMBERS: "\n".join(told)}

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        """The schema of one model or union."""
        made: JsonSchemaValue = _explained(super().generate(schema, mode))
        return made

    def generate_definitions(
        self, inputs: Sequence[tuple[JsonSchemaKeyT, JsonSchemaMode, CoreSchema]]
    ) -> tuple[dict[tuple[JsonSchemaKeyT, JsonSchemaMode], JsonSchemaValue], dict[DefsRef, JsonSchemaValue]]:
        """The schemas of several models, which share their parts."""
        roots, definitions = super().generate_definitions(inputs)
        return roots, _explained(definitions)


_MEMBERS = "$members"


def _explained(part: Any) -> Any:
    """The schema with what was told of members in the descriptions of their enumerations."""
    if isinstance(part, list):
        return [_explained(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    made = {key: _explained(inner) for key, inner in part.items() if key != _MEMBERS}
    if part.get(_MEMBERS):
        made["description"] = f"{part.get('description', '')}\n\n{part[_MEMBERS]}".strip()
    return made


def standing_alone(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """A schema with its dialect, and an identifier that no host has to serve."""
    return {"$schema": GenerateJsonSchema.schema_dialect, "$id": f"{NAMESPACE}:{name}:{VERSION}", **schema}
