"""AsyncAPI 3 document of the topics, from the table of topics and the models: one file that refers to no other.

Its schemas are those of draft 7, which AsyncAPI's own are made of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from refrain.schemas import dead_letters
from refrain.schemas.json_schema import Described
from refrain.schemas.messages import BY_TOPIC, MESSAGES, example
from refrain.schemas.topics import OUTSIDE, PROCESSORS, TOPICS, Topic, reads, writes

PREFIX = "refrain."
REQUESTS, RESPONSES, DEAD_LETTERS = "requests", "responses", "dead-letters"
ORIGINAL = "dead-letter"
"""The message that is a refused record itself."""

Tree = dict[str, Any]


def document() -> Tree:
    """The whole document. Refrain is the application: what its processors read and write are its operations."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:refrain:asyncapi:1",
        "info": {
            "title": "Refrain",
            "version": "1",
            "description": "A semantic cache for LLM traffic on Kafka. A client sends to `requests` and reads"
            " `responses`; a connector reads `forwards` and sends to `completions` and `load`; an operator's program"
            " sends to `control`. Readers ignore fields that they do not know.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "variables": {"bootstrap": {"default": "localhost:9092", "description": "The setting `kafka`."}},
            }
        },
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {name: operation for role in PROCESSORS for name, operation in _operations(role)},
        "components": {
            "parameters": {"prefix": {"default": PREFIX, "description": "The setting `prefix`."}},
            "messages": {name: _message(name, topic) for topic in TOPICS for name in _names(topic)},
            "schemas": _schemas(),
        },
    }


def _names(topic: Topic) -> list[str]:
    names = list(BY_TOPIC[topic.name])
    return [ORIGINAL, *names] if topic.name == DEAD_LETTERS else names


def _channel(topic: Topic) -> Tree:
    outside = [role for role in OUTSIDE if role in (*topic.writers, *topic.readers)]
    config: Tree = topic.config()
    config["cleanup.policy"] = [topic.cleanup]
    numbers = {key: int(value) for key, value in config.items() if key.endswith((".ms", ".bytes"))}
    return {
        "address": f"{{prefix}}{topic.name}",
        "title": topic.name,
        "description": f"Written by {_listed(topic.writers)}; read by {_listed(topic.readers)}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _names(topic)},
        "parameters": {"prefix": {"$ref": "#/components/parameters/prefix"}},
        "tags": [{"name": role} for role in outside],
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": {**config, **numbers},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _listed(roles: Iterable[str]) -> str:
    return ", ".join(roles)


def _operations(processor: str) -> Iterable[tuple[str, Tree]]:
    for action, names in (("receive", reads(processor)), ("send", writes(processor))):
        for topic in names:
            made: Tree = {"action": action, "channel": {"$ref": f"#/channels/{topic}"}}
            if (action, topic) == ("receive", REQUESTS):
                made["reply"] = _reply()
            yield f"{processor}.{action}.{topic}", made


def _reply() -> Tree:
    return {
        "address": {
            "location": "$message.header#/reply-to",
            "description": "A topic that `classify.reply_topics` allows; without the header the response goes to"
            " `responses`.",
        },
        "channel": {"$ref": f"#/channels/{RESPONSES}"},
    }


def _message(name: str, topic: Topic) -> Tree:
    made: Tree = {"name": name, "bindings": {"kafka": _key(topic)}}
    if topic.name in _HEADERS:
        made["headers"] = {"type": "object", "properties": _HEADERS[topic.name]}
    if name == ORIGINAL:
        return {
            **made,
            "summary": "A record that was refused, as it came: key, value and headers are the original's.",
            "contentType": "application/octet-stream",
            "payload": {"description": "The original's bytes."},
        }
    model = MESSAGES[name]
    return {
        **made,
        "summary": " ".join((model.__doc__ or "").split("\n\n")[0].split()),
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": [{"name": name.replace(".", "-"), "payload": example(model)}],
    }


def _key(topic: Topic) -> Tree:
    return {"key": {"type": "string", "description": topic.key}, "bindingVersion": "0.5.0"}


def _text(description: str) -> Tree:
    return {"type": "string", "description": description}


_HEADERS: dict[str, Tree] = {
    REQUESTS: {
        "reply-to": _text("The whole name of the topic to answer to."),
        "kafka_replyTopic": _text("The same, as Spring's templates write it; `reply-to` counts when both are there."),
        "kafka_replyPartition": _text("A partition of it: decimal text, or four bytes, big-endian."),
        "refrain-not-returned": _text("Names of headers that need not come back, with commas between them."),
        "traceparent": _text("The trace that the request belongs to (W3C Trace Context)."),
        "tracestate": _text("What tracing systems add to it."),
    },
    DEAD_LETTERS: {
        dead_letters.HEADER_TOPIC: _text("The topic that it came from, without the prefix."),
        dead_letters.HEADER_PARTITION: _text("Its partition."),
        dead_letters.HEADER_OFFSET: _text("Its offset."),
        dead_letters.HEADER_REASON: _text("A code, a colon, and what is wrong."),
        dead_letters.HEADER_PROCESSOR: _text("The processor that refused it."),
        dead_letters.HEADER_ID: _text("Which letter it is: one that was written twice has the same."),
        dead_letters.HEADER_LEFT_OUT: _text("What of the original was too large or unreadable."),
        dead_letters.HEADER_TARGET: _text("The topic that did not take what was to be sent there."),
    },
}


def _schemas() -> Tree:
    _, made = models_json_schema(
        [(model, "validation") for model in MESSAGES.values()],
        ref_template="#/components/schemas/{model}",
        schema_generator=Described,
    )
    return {name: _draft_7(schema) for name, schema in made["$defs"].items()}


_NAMING = {"properties", "patternProperties"}
"""Keywords whose value holds schemas by names of others' choice, which are no keywords."""


def _draft_7(schema: Any) -> Any:
    """The schema in draft 7, where what stands beside a reference does not count."""
    if isinstance(schema, list):
        return [_draft_7(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _draft_7(part) for key, part in schema.items() if key not in (*_NAMING, "examples", "discriminator")}
    for key in _NAMING & schema.keys():
        made[key] = {name: _draft_7(part) for name, part in schema[key].items()}
    if "prefixItems" in made:
        made["items"] = made.pop("prefixItems")
    if "$ref" in made and len(made) > 1:
        made["allOf"] = [{"$ref": made.pop("$ref")}]
    return made
