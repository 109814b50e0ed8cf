"""Reads the policy that decided, and the lines of it that applied: a category's terms, and the rule that chose it."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from refrain.schemas.control import Command, SetPolicy, decode_command
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.kafka.interface import Cluster

CONTROL = "control"
_CHOSEN = re.compile(r"(?P<by>[a-z]+)(?::(?P<what>[^@]+))?@v(?P<version>[0-9]+)")


class Chosen(NamedTuple):
    """What chose a category: `request`, `rule`, `examples`, `trained` or `none`, and in which policy version."""

    by: str
    what: str | None
    version: int


class AppliedPolicy(NamedTuple):
    """A policy by its version: the offset of its command in `control`."""

    version: int
    who: str
    why: str
    at_ms: int
    policy: Policy


class Given(NamedTuple):
    """A command as it was given, and when."""

    command: Command
    at_ms: int


def command_of(cluster: Cluster, version: int) -> Given | None:
    """The command of a version by one read; None where retention took it. Raises WrongSetup or ClusterFailed."""
    with closing(cluster.reader(CONTROL)) as reader:
        found = reader.read(0, version, 1)
    if not found or found[0].offset != version:
        return None
    try:
        return Given(decode_command(found[0].value or b""), found[0].timestamp_ms)
    except ValidationError:
        return None


def policy_of(cluster: Cluster, version: int) -> AppliedPolicy | None:
    """The policy of a version; None where retention took it. Raises WrongSetup or ClusterFailed."""
    given = command_of(cluster, version)
    if given is None or not isinstance(given.command, SetPolicy):
        return None
    return AppliedPolicy(version, given.command.who, given.command.why, given.at_ms, given.command.policy)


def chosen_by(classifier: str | None) -> Chosen | None:
    """What a decision's `classifier` says; None for a text of another form."""
    found = _CHOSEN.fullmatch(classifier or "")
    return None if found is None else Chosen(found["by"], found["what"], int(found["version"]))


def category_lines(name: str, policy: CategoryPolicy) -> str:
    """The category as YAML of a policy file. Its examples are questions, and are counted."""
    plain = policy.model_dump(mode="json", exclude_none=True)
    examples = plain.pop("examples", [])
    note = f"  # and {len(examples)} examples\n" if examples else ""
    return _yaml({name: plain}) + note


def rule_lines(number: int, policy: Policy) -> str | None:
    """The rule of that number as YAML; None where the policy has none."""
    if number >= len(policy.rules):
        return None
    return _yaml([policy.rules[number].model_dump(mode="json", exclude_none=True)])


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False)
