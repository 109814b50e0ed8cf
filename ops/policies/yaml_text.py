"""Reads the YAML of a policy: what YAML would take for something else than was meant, or never end with, is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml
from yaml.constructor import ConstructorError
from yaml.scanner import ScannerError

from refrain.streams.errors import BadInput

DEPTH_MAX = 40
"""Tables and lists that stand in each other; a policy has five."""
PARTS_MAX = 1_000_000
"""Values, each counted wherever an alias (`*name`) repeats it."""
OTHER_BASE = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
"""Numbers that YAML 1.1 reads to base 8 or 60: 010 is 8 to it, and 1:30 is 90."""


class Document(NamedTuple):
    """A YAML document: its parts with their lines, the keys that stand twice in a table, and its values."""

    node: yaml.MappingNode
    twice: list[tuple[int, str]]
    """Line, and what is said of it."""
    data: Any


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str, most: Mapping[str, int]) -> None:
        super().__init__(text)
        self._most = most
        self._depth = 0
        self._part = ""
        """What is being read: the key in the document's own table."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self._depth == 1 and isinstance(index, yaml.ScalarNode):
            self._part = index.value
        most = self._most.get(self._part)
        if self._depth == 2 and most is not None and len(parent.value) >= most:
            problem = f"{self._part} has more than {most} parts, and fewer are all that a policy has room for"
            raise ConstructorError(None, None, problem, self.get_mark())
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def fetch_flow_collection_start(self, token: Any) -> None:
        if self.flow_level >= DEPTH_MAX:
            raise ScannerError(None, None, TOO_DEEP, self.get_mark())
        super().fetch_flow_collection_start(token)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag.endswith((":int", ":float")) and OTHER_BASE.fullmatch(str(node.value)):
            raise ConstructorError(
                None, None, f"{node.value} would be read to base 8 or 60: write it to base 10", node.start_mark
            )
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            what = f"{str(node.value)[:VALUE_CHARS]!r} is no {node.tag.rpartition(':')[2]}"
            raise ConstructorError(None, None, what, node.start_mark) from error


TOO_DEEP = f"more than {DEPTH_MAX} tables or lists stand in each other"
VALUE_CHARS = 40


def read_yaml(text: str, source: str, most: Mapping[str, int] | None = None) -> Document:
    """The document of a text. Raises BadInput with the source, the line and what is wrong.

    Of the part of a name it has at most so many items or keys; it is read no further than there.
    """
    try:
        loader = _Loader(text, most or {})
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise BadInput(f"{source}:1: expected a policy, that is a table with `categories`")
        _check_parts(node, source)
        # Values of `<<` are laid into the tables of the node as they are made: what stands twice is looked for before.
        return Document(node, list(_twice(node)), loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"{source}:{mark.line + 1}: " if mark is not None else f"{source}: "
        raise BadInput(f"{line}not YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = f"{source}:{text.count(chr(10), 0, error.position) + 1}: "
        raise BadInput(f"{line}not YAML: character #x{error.character:04x} is none of a text") from error
    except RecursionError as error:
        raise BadInput(f"{source}: not a policy: {TOO_DEEP}") from error


def _check_parts(root: yaml.Node, source: str) -> None:
    """Raises BadInput for what stands in itself, for too deep a nest, and for aliases that repeat too much."""
    known: dict[int, int] = {}
    inside: set[int] = set()

    def parts(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in known:
            return known[id(node)]
        line = f"{source}:{node.start_mark.line + 1}: "
        if id(node) in inside:
            raise BadInput(f"{line}what an alias names here stands in itself")
        if len(inside) >= DEPTH_MAX:
            raise BadInput(f"{line}not a policy: {TOO_DEEP}")
        inside.add(id(node))
        below = node.value if isinstance(node, yaml.SequenceNode) else [each for pair in node.value for each in pair]
        count = 1 + sum(map(parts, below))
        inside.remove(id(node))
        if count > PARTS_MAX:
            raise BadInput(f"{line}aliases repeat this until it has more than {PARTS_MAX} parts")
        known[id(node)] = count
        return count

    parts(root)


def _twice(node: yaml.Node) -> Iterator[tuple[int, str]]:
    """Keys that stand twice in one table: YAML would take the last and say nothing."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if str(key.value) in seen:
                yield line, f"{key.value}: stands in line {seen[str(key.value)]} already"
            seen.setdefault(str(key.value), line)
            yield from _twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)
