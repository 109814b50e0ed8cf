"""The kind of answer that a question asks for: who, when, how many, how to, whether."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from streams.guards.items import Item
from streams.guards.words import groups, pairs

NONE = "none"


class Kind(NamedTuple):
    """The kind of a question and the words that say so."""

    kind: str
    text: str


def _openings() -> dict[str, list[tuple[tuple[str, ...], str, bool]]]:
    found: dict[str, list[tuple[tuple[str, ...], str, bool]]] = defaultdict(list)
    for left, kind in pairs("question_types"):
        said = tuple(left.lstrip("^").split())
        found[said[0]].append((said, kind, left.startswith("^")))
    return {first: sorted(rest, key=lambda entry: -len(entry[0])) for first, rest in found.items()}


_OPENINGS = _openings()
_COMPATIBLE = frozenset(frozenset(pair) for pair in groups("compatible_types"))
_SKIPPED = frozenset("good best easy quick simple right correct proper main common usual fast".split())


def read_kind(items: Sequence[Item]) -> Kind:
    """The kind of the first question in a text."""
    plain = [item for item in items if item.kind != "word" or item.stem not in _SKIPPED]
    lows = [item.low for item in plain]
    asked: Kind | None = None
    for at, item in enumerate(plain):
        for said, kind, opens in _OPENINGS.get(item.low, ()):
            if tuple(lows[at : at + len(said)]) == said and (not opens or item.initial):
                found = Kind(kind, item.text)
                if kind != "yesno":
                    return found
                asked = asked or found
                break
    return asked or Kind(NONE, "")


def differing(a: Kind, b: Kind) -> tuple[str, ...]:
    """The question words, when the answer of one cannot serve the other."""
    if a.kind == b.kind or frozenset((a.kind, b.kind)) in _COMPATIBLE:
        return ()
    return (a.text, b.text)
