"""Policy files (YAML): read as a whole, and every mistake named by its line and key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from refrain.ops.config.numbers import number_wanted
from refrain.ops.policies.heads import resolve_heads
from refrain.ops.policies.yaml_text import read_yaml
from refrain.schemas.hit_heads import HitHead
from refrain.schemas.names import NAME_PATTERN
from refrain.schemas.policy import (
    POLICY_BYTES_MAX,
    POLICY_PARTS_MAX,
    CategoryPolicy,
    ModelPolicy,
    Policy,
    Prices,
    Quota,
)
from refrain.schemas.policy_limits import Limits, TenantLimits
from refrain.schemas.policy_rules import Match, Rule
from refrain.streams.errors import BadInput
from refrain.streams.linear_pattern import pattern_flaws

KEYS: dict[str, type[BaseModel]] = {
    "": Policy, "categories": CategoryPolicy, "quota": Quota, "rules": Rule, "when": Match,
    "models": ModelPolicy, "prices": Prices, "limits": Limits, "tenants": TenantLimits,
}  # fmt: skip
"""The model that a part of the file is read into, by the name of the part."""
TABLE, LIST = "expected a table, that is keys with values", "expected a list"
SAID = {
    "dict_type": TABLE, "mapping_type": TABLE, "model_type": TABLE, "model_attributes_type": TABLE,
    "list_type": LIST, "tuple_type": LIST, "set_type": LIST, "frozen_set_type": LIST,
    "string_type": "expected a text: put it in quotes", "string_unicode": "holds half of a surrogate pair",
}  # fmt: skip
"""What is said of a value of another type, in words of YAML; the rest is said as the models do."""


def read_policy(text: str, source: str, known: Iterable[HitHead] | None = ()) -> Policy:
    """Read the policy of a YAML text, with the trained heads that it names by file or, of the `known` ones, by version.

    Files are sought beside `source`. None for `known` reads the file before one can know which heads are in force: a
    version is taken for one of them. Raises BadInput with one line a mistake: source, line, key, what is expected.
    """
    node, twice, data = read_yaml(text, source, POLICY_PARTS_MAX)
    places = _Lines(node)
    named = resolve_heads(data, Path(source).parent, known)
    problems = [*twice, *((places.of(place), f"{'.'.join(place)}: {why}") for place, why in named.problems)]
    try:
        policy = Policy.model_validate(named.data)
        problems += [(places.of(flaw.place), f"{_name(flaw.place)}: {flaw.why}") for flaw in pattern_flaws(policy)]
        problems += [
            (places.of(place), f"{_name(place)}: expected a number (it is {str(value).lower()})")
            for place, value in _switches(named.data, policy)
        ]
    except ValidationError as error:
        problems += [_problem_line(issue, places) for issue in error.errors(include_url=False)]
    if problems:
        lines = [f"  {source}:{line}: {said}" for line, said in sorted(problems, key=lambda each: each[0])]
        raise BadInput("the policy cannot be taken\n" + "\n".join(lines))
    size = len(policy.model_dump_json().encode())
    if size > POLICY_BYTES_MAX:
        raise BadInput(
            f"{source}: the policy takes {size} bytes with all that is at its default, and at most {POLICY_BYTES_MAX}"
            f" are kept; it has {len(policy.categories)} categories and {len(policy.tenants)} tenants: give those that"
            " need nothing of their own one category, or the limits of `*`"
        )
    return policy


def write_policy(policy: Policy, *, complete: bool = False) -> str:
    """Write the policy as YAML that `read_policy` reads; trained heads stay out, and are named by their versions.

    What is at its default stays out as well, unless it is to be `complete`.
    """
    plain = policy.model_dump(mode="json", exclude_defaults=not complete, exclude={"hit_heads"})
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    return text


class _Lines:
    """The lines of a file by the places in its document."""

    def __init__(self, node: yaml.Node) -> None:
        self._node = node
        self._below: dict[int, dict[str, tuple[yaml.Node, yaml.Node]]] = {}
        """Key and value of what is in a table or list, by the node of that: a file may have thousands of mistakes."""

    def of(self, place: tuple[Any, ...]) -> int:
        """The line (from 1) of the part of the file at `place`, or of what it would stand in."""
        node = self._node
        line = node.start_mark.line
        for part in place:
            found = self._children(node).get(str(part))
            if found is None:
                break
            key, node = found
            line = key.start_mark.line
        return line + 1

    def _children(self, node: yaml.Node) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        if id(node) not in self._below:
            self._below[id(node)] = children_of(node)
        return self._below[id(node)]


def children_of(node: yaml.Node) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Key and value of all that is in a table or list; an item of a list is its own key."""
    if isinstance(node, yaml.MappingNode):
        # Of a key that stands twice the first counts.
        return {str(key.value): (key, value) for key, value in reversed(node.value)}
    if isinstance(node, yaml.SequenceNode):
        return {str(at): (item, item) for at, item in enumerate(node.value)}
    return {}


def _switches(data: Any, read: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], bool]]:
    """What is true or false in the file and was read as a number: `threshold: yes` would be 1."""
    if isinstance(data, bool) and not isinstance(read, bool):
        yield place, data
    elif isinstance(data, dict):
        for key, value in data.items():
            below = getattr(read, str(key), None) if isinstance(read, BaseModel) else read[key]
            yield from _switches(value, below, (*place, key))
    elif isinstance(data, list) and isinstance(read, list | tuple) and len(read) == len(data):
        for at, (value, below) in enumerate(zip(data, read, strict=True)):
            yield from _switches(value, below, (*place, at))


def _problem_line(issue: Any, places: _Lines) -> tuple[int, str]:
    """Line and text of one mistake."""
    loc = tuple(part for part in issue["loc"] if part != "[key]")
    name = _name(loc)
    line, key = places.of(loc), f"{name}: " if name else ""
    if issue["type"] == "extra_forbidden":
        return line, f"{key}no such key{_nearest(loc)}"
    if issue["type"] == "missing":
        return line, f"{key}is missing"
    wanted = number_wanted(str(loc[-1]) if loc else "", issue["type"])
    message = wanted or SAID.get(issue["type"]) or str(issue["msg"]).removeprefix("Value error, ")
    if issue["type"] == "string_pattern_mismatch" and issue["ctx"]["pattern"] == NAME_PATTERN:
        message = "a name is 1 to 64 letters, digits, `.`, `_` and `-`"
    message = message[0].lower() + message[1:]
    value = issue["input"]
    return line, key + message + (f" (it is {value!r})" if isinstance(value, str | int | float) else "")


def _name(loc: tuple[Any, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _nearest(loc: tuple[Any, ...]) -> str:
    """The key that was probably meant, among those of the table it stands in."""
    part = next((str(p) for p in reversed(loc[:-1]) if str(p) in KEYS), "")
    known = list(KEYS[part].model_fields)
    close = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
