"""Diff of two policies in lines for people. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from refrain.schemas.policy import Policy

VALUE_CHARS = 60
BRIEF_MAX = 3
"""Changes that one line names."""


def changes(old: Policy | None, new: Policy) -> list[str]:
    """Changes: one line for each category, rule list, model or limit that differs; empty when nothing does."""
    if old is None:
        names = ", ".join(f"{name} ({policy.cache})" for name, policy in sorted(new.categories.items()))
        return [f"+ the first policy, with the categories {names or 'none'}"]
    lines: list[str] = []
    for part in ("categories", "models"):
        lines += _tables(part, _plain(old)[part], _plain(new)[part])
    before, after = _plain(old), _plain(new)
    lines += _keys("limits", before["limits"], after["limits"])
    if before["rules"] != after["rules"]:
        lines.append(f"~ rules: {len(old.rules)} before, {len(new.rules)} now")
    if old.example_similarity != new.example_similarity:
        lines.append(f"~ example_similarity: {old.example_similarity} -> {new.example_similarity}")
    return lines


def brief(lines: Sequence[str]) -> str:
    """Changes on one line: the first few, and how many more."""
    if not lines:
        return "nothing"
    more = len(lines) - BRIEF_MAX
    return "; ".join(lines[:BRIEF_MAX]) + (f"; and {more} more" if more > 0 else "")


def _plain(policy: Policy) -> dict[str, Any]:
    return policy.model_dump(mode="json")


def _tables(part: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"- {part}.{name}"
        elif name not in old:
            yield f"+ {part}.{name}"
        else:
            yield from _keys(f"{part}.{name}", old[name], new[name])


def _keys(where: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in new:
        if old.get(key) != new[key]:
            yield f"~ {where}.{key}: {_short(old.get(key))} -> {_short(new[key])}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARS else text[: VALUE_CHARS - 1] + "…"
