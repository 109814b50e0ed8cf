"""Findings of an audit: what was published and is not what a fold gives, or stands where it should not."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

NAMED_MAX = 1_000
"""Findings of one partition that are kept; more are counted."""
SHOWN_CHARS_MAX = 200


class Kind(StrEnum):
    """Kind of a finding: a closed list."""

    DECISION_DIFFERS = "decision_differs"
    DECISION_MISSING = "decision_missing"
    DECISION_INSERTED = "decision_inserted"
    """The journal record that it names brings no such decision about."""
    RESPONSE_DIFFERS = "response_differs"
    RESPONSE_MISSING = "response_missing"
    RESPONSE_INSERTED = "response_inserted"
    FORWARD_DIFFERS = "forward_differs"
    FORWARD_MISSING = "forward_missing"
    FORWARD_INSERTED = "forward_inserted"
    DOCUMENT_DIFFERS = "document_differs"
    DOCUMENT_MISSING = "document_missing"
    DOCUMENT_INSERTED = "document_inserted"
    CANDIDATE_WRONG = "candidate_wrong"
    """A candidate of a decision that an approximate search made is not alive, or not as similar as was said."""
    JOURNAL_ENDS_EARLY = "journal_ends_early"
    """The journal ends before what its shard has folded: its end is gone, or it was made again."""
    UNREADABLE = "unreadable"
    """A batch that nobody can read stands in journal or `documents`: no processor of Refrain's writes such."""
    CANNOT_FOLD = "cannot_fold"
    """A journal record that this version cannot read: what follows it in the partition is not audited."""


class Difference(NamedTuple):
    """A field that differs, both sides as short JSON."""

    field: str
    published: str
    folded: str


@dataclass(frozen=True)
class Finding:
    """One finding, with the coordinates of the journal record that it is about."""

    kind: Kind
    partition: int
    offset: int
    """Of the journal; -1 where it is about none."""
    what: str
    """The id of the decision or forward, or the key of the document."""
    differences: tuple[Difference, ...] = ()


@dataclass
class Findings:
    """Findings and counts of one partition."""

    partition: int
    found: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Kinds of findings, and what was compared: `decisions`, `responses`, `forwards`, `documents`, `records`."""

    def add(
        self, kind: Kind, offset: int, what: str, published: bytes | None = None, folded: bytes | None = None
    ) -> None:
        """Note a finding; both sides are given where there are two."""
        self.counts[kind.value] += 1
        if len(self.found) < NAMED_MAX:
            self.found.append(Finding(kind, self.partition, offset, what, differences(published, folded)))


def differences(published: bytes | None, folded: bytes | None) -> tuple[Difference, ...]:
    """Fields in which two JSON objects differ; the whole, when either is none."""
    if published is None or folded is None:
        return ()
    left, right = _object(published), _object(folded)
    if left is None or right is None:
        return (
            Difference("", _short(published.decode("utf-8", "replace")), _short(folded.decode("utf-8", "replace"))),
        )
    return tuple(_fields("", left, right))


def _fields(prefix: str, left: dict[str, Any], right: dict[str, Any]) -> list[Difference]:
    out = []
    for name in sorted(left.keys() | right.keys()):
        ours, theirs = left.get(name), right.get(name)
        if ours == theirs:
            continue
        if isinstance(ours, dict) and isinstance(theirs, dict):
            out += _fields(f"{prefix}{name}.", ours, theirs)
        else:
            out.append(Difference(prefix + name, _short(_json(ours)), _short(_json(theirs))))
    return out


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "..."
