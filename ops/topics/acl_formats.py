"""Formats of ACLs: commands of `kafka-acls.sh`, Strimzi's KafkaUser, JSON. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import yaml

from refrain.ops.topics.acls import Acl, Grant, Pattern, Resource
from refrain.streams.errors import WrongValue

STRIMZI_GROUP = "kafka.strimzi.io"
STRIMZI_TYPES: dict[Resource, str] = {"topic": "topic", "group": "group", "transactional-id": "transactionalId"}
STRIMZI_PATTERNS: dict[Pattern, str] = {"literal": "literal", "prefixed": "prefix"}
KUBERNETES_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
KUBERNETES_CHARS_MAX = 253


class Strimzi(NamedTuple):
    """Metadata of a KafkaUser. `authentication` of None leaves it as it is."""

    cluster: str
    authentication: str | None
    api: str


def kafka_acls(granted: Sequence[Grant], server: str, command_config: str | None = None) -> Iterator[str]:
    """Shell lines of `kafka-acls.sh`: a comment a principal, and one command for resources of the same operations."""
    tool = ["kafka-acls.sh", "--bootstrap-server", server]
    if command_config is not None:
        tool += ["--command-config", command_config]
    for grant in granted:
        yield f"# {', '.join(grant.roles)}"
        for alike in _alike(grant.acls):
            yield shlex.join([*tool, "--add", "--allow-principal", f"User:{grant.name}", *_arguments(alike)])


def strimzi(granted: Sequence[Grant], place: Strimzi) -> str:
    """A KafkaUser a principal, as YAML documents. Raises WrongValue for names that Kubernetes does not take."""
    return yaml.safe_dump_all([_kafka_user(grant, place) for grant in granted], sort_keys=False, explicit_start=True)


def to_json(granted: Sequence[Grant]) -> Iterator[dict[str, Any]]:
    """One JSON object an ACL."""
    for grant in granted:
        for acl in grant.acls:
            yield {"principal": f"User:{grant.name}", "roles": list(grant.roles), **acl._asdict()}


def _alike(acls: Sequence[Acl]) -> list[list[Acl]]:
    """The ACLs that one command can add: of one kind of resource, one pattern and the same operations."""
    found: dict[tuple[Resource, Pattern, tuple[str, ...]], list[Acl]] = {}
    for acl in acls:
        found.setdefault((acl.resource, acl.pattern, acl.operations), []).append(acl)
    return list(found.values())


def _arguments(alike: Sequence[Acl]) -> Iterator[str]:
    first = alike[0]
    for operation in first.operations:
        yield from ("--operation", operation)
    if first.pattern == "prefixed":
        yield from ("--resource-pattern-type", "prefixed")
    for acl in alike:
        yield from (f"--{acl.resource}", acl.name)


def _kafka_user(grant: Grant, place: Strimzi) -> dict[str, Any]:
    if len(grant.name) > KUBERNETES_CHARS_MAX or not KUBERNETES_NAME.fullmatch(grant.name):
        raise WrongValue(
            f"Kubernetes takes no KafkaUser of the name {grant.name!r} (lower-case letters, digits, - and . only):"
            f" name another with --principal {grant.roles[0]}=NAME"
        )
    authentication = {} if place.authentication is None else {"authentication": {"type": place.authentication}}
    return {
        "apiVersion": f"{STRIMZI_GROUP}/{place.api}",
        "kind": "KafkaUser",
        "metadata": {"name": grant.name, "labels": {"strimzi.io/cluster": place.cluster}},
        "spec": {
            **authentication,
            "authorization": {"type": "simple", "acls": [_rule(acl) for acl in grant.acls]},
        },
    }


def _rule(acl: Acl) -> dict[str, Any]:
    resource = {
        "type": STRIMZI_TYPES[acl.resource],
        "name": acl.name,
        "patternType": STRIMZI_PATTERNS[acl.pattern],
    }
    return {"resource": resource, "operations": list(acl.operations), "host": "*"}
