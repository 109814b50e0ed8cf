"""The contract in files: what every schema says, that examples fit it, and what the topics carry in AsyncAPI."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from refrain.ops.config.settings_schema import settings_schema
from refrain.schemas.asyncapi import PREFIX, document
from refrain.schemas.generate import ASYNCAPI, schemas
from refrain.schemas.messages import BY_TOPIC, EXAMPLES, MESSAGES, UNIONS, example
from refrain.schemas.policy import Guard
from refrain.schemas.topics import BY_NAME, PROCESSORS, TOPICS, reads, writes

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = {**schemas(), "settings": settings_schema()}
DOCUMENT = document()
PARSER = ROOT / ".local/npm/node_modules/@asyncapi/parser"
PARSE = """
const { Parser } = require(process.argv[1]);
new Parser().parse(require("fs").readFileSync(0, "utf8")).then(({ document, diagnostics }) => {
  const errors = diagnostics.filter(each => each.severity === 0).map(each => `${each.path.join(".")}: ${each.message}`);
  console.log(JSON.stringify({ errors, channels: document ? document.channels().all().map(each => each.id()) : [] }));
});
"""
PARSE_S = 120


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a schema and of its parts, by its place."""
    for part, owner in [(schema, schema.get("title", "")), *((made, name) for name, made in _parts(schema))]:
        for name, field in part.get("properties", {}).items():
            yield f"{owner}.{name}", field


def _parts(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, part) for name, part in schema.get("$defs", {}).items()]


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_says_what_it_means(name: str) -> None:
    silent = [place for place, field in fields(SCHEMAS[name]) if not field.get("description")]
    assert silent == [], "write a docstring below the field in its model"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_of_its_dialect_under_a_name_of_its_own(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert schema["$id"] == f"urn:refrain:schema:{name}:1"


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_has_an_example_that_its_schema_and_its_reader_take_whole(name: str) -> None:
    shown, model = example(MESSAGES[name]), MESSAGES[name]
    assert shown is not None
    schema = SCHEMAS.get(name) or SCHEMAS[name.partition(".")[0]]
    Draft202012Validator(schema).validate(shown)
    back = json.loads(model.decode(json.dumps(shown)).encode())
    assert shown.keys() <= back.keys()
    part = schema if name in SCHEMAS else schema["$defs"][model.__name__]
    assert part["examples"] == [shown]


def test_there_is_no_example_of_a_message_that_is_none() -> None:
    assert {path.stem for path in EXAMPLES.iterdir()} == set(MESSAGES)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("request", {}),
        ("request", {"body": {}, "tenant": "a/b"}),
        ("response", {"outcome": "perhaps"}),
        ("control", {"kind": "Judge", "who": "ana", "decision_id": "1-2-abc"}),
        ("journal", {"kind": "Tock"}),
        ("policy", {"categories": {"code": {"treshold": 0.9}}}),
        ("policy", {"categories": {"code": {"guards": ["grammar"]}}}),
        ("settings", {"kafka": 1}),
        ("settings", {"upstream": {"api_kye_file": "key"}}),
    ],
)
def test_a_schema_refuses_what_its_reader_refuses(name: str, wrong: dict[str, Any]) -> None:
    assert not Draft202012Validator(SCHEMAS[name]).is_valid(wrong)


@pytest.mark.parametrize("path", sorted((ROOT / "infra/policies").glob("*.yaml")), ids=lambda path: path.name)
def test_the_schema_of_the_policy_file_takes_the_policies_that_ship(path: Path) -> None:
    Draft202012Validator(SCHEMAS["policy"]).validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_a_policy_file_may_name_a_trained_head_by_its_file_and_holds_none() -> None:
    takes = Draft202012Validator(SCHEMAS["policy"]).is_valid
    assert takes({"categories": {"code": {"hit_head": "heads/code.json"}}})
    assert not takes({"categories": {}, "hit_heads": []})
    assert "HitHead" not in SCHEMAS["policy"]["$defs"]


def test_the_schema_of_the_settings_takes_secrets_in_files_and_what_toml_writes_for_librdkafka() -> None:
    Draft202012Validator(SCHEMAS["settings"]).validate({
        "kafka": "broker:9092",
        "connection": {"security.protocol": "SASL_SSL", "sasl.password_file": "/run/secrets/kafka", "api.version": 1},
        "upstream": {"api_key_file": "/run/secrets/model"},
        "embedding": {"threads": "auto"},
    })  # fmt: skip


@pytest.mark.parametrize("name", ["decision", "policy", "response"])
def test_guards_have_a_type_that_names_and_explains_each(name: str) -> None:
    guard = SCHEMAS[name]["$defs"]["Guard"]
    assert guard["enum"] == list(Guard)
    assert all(f"`{each}`: " in guard["description"] for each in Guard)


def test_asyncapi_has_each_topic_of_the_table_with_its_settings_and_messages() -> None:
    channels = DOCUMENT["channels"]
    assert list(channels) == list(BY_NAME) == list(BY_TOPIC)
    for topic in TOPICS:
        channel = channels[topic.name]
        kafka = channel["bindings"]["kafka"]
        assert channel["address"] == f"{{prefix}}{topic.name}"
        assert kafka["partitions"] == topic.partitions
        assert kafka["topicConfiguration"]["max.message.bytes"] == topic.max_bytes
        assert set(channel["messages"]) >= set(BY_TOPIC[topic.name])
    assert DOCUMENT["components"]["parameters"]["prefix"]["default"] == PREFIX


@pytest.mark.parametrize("processor", PROCESSORS)
def test_asyncapi_has_what_each_processor_reads_and_writes(processor: str) -> None:
    names = [name for name in DOCUMENT["operations"] if name.startswith(f"{processor}.")]
    assert names == [
        *(f"{processor}.receive.{topic}" for topic in reads(processor)),
        *(f"{processor}.send.{topic}" for topic in writes(processor)),
    ]


def test_every_reference_of_asyncapi_leads_somewhere() -> None:
    whole = DOCUMENT

    def follow(reference: str) -> None:
        place: Any = whole
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]

    found = list(_references(whole))
    assert len(found) > len(MESSAGES)
    for reference in found:
        follow(reference)


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def test_every_field_of_a_message_is_in_asyncapi() -> None:
    """`examples` is a keyword of schemas, and a field of a category."""
    made = DOCUMENT["components"]["schemas"]
    for model in MESSAGES.values():
        assert made[model.__name__]["properties"].keys() == model.model_fields.keys()
    assert "examples" in made["CategoryPolicy"]["properties"]


def test_unions_are_the_messages_of_their_topics() -> None:
    for name in UNIONS:
        mapping = SCHEMAS[name]["discriminator"]["mapping"]
        models = BY_TOPIC[name].values()
        assert set(mapping.values()) == {f"#/$defs/{model.__name__}" for model in models}


@pytest.mark.skipif(
    shutil.which("node") is None or not PARSER.is_dir(),
    reason="no AsyncAPI parser: npm install --prefix .local/npm --ignore-scripts @asyncapi/parser@3",
)
def test_asyncapis_own_parser_takes_the_document() -> None:
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [node, "-e", PARSE, str(PARSER)], input=ASYNCAPI.read_text(encoding="utf-8"), capture_output=True, text=True,
        timeout=PARSE_S, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert said["errors"] == []
    assert said["channels"] == list(BY_NAME)
