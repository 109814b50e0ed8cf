"""Trained heads that a policy file names: `hit_head` is the file of an artefact, or the version of one in force."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from refrain.schemas.hit_heads import HitHead
from refrain.streams.errors import WrongSetup
from refrain.streams.models.hit_head_artifact import HEAD_FILES

_VERSION = re.compile(r"[0-9a-f]{12}")


class NamedHeads(NamedTuple):
    """The data of a policy file with versions in place of files, and what cannot be taken, by its place."""

    data: Any
    problems: list[tuple[tuple[str, ...], str]]


def resolve_heads(data: Any, folder: Path, known: Iterable[HitHead] | None) -> NamedHeads:
    """Put the heads that categories name into the data of a policy file, `hit_heads`; files are sought in `folder`.

    Where those in force are not `known`, a category that names one by its version is read as one without.

    Whatever is no table is left to the policy's own check.
    """
    by_version = {head.version: head for head in known or ()}
    taken: dict[str, HitHead] = {}
    problems: list[tuple[tuple[str, ...], str]] = []
    for name, category in _naming(data):
        if known is None and _VERSION.fullmatch(category["hit_head"]):
            del category["hit_head"]
            continue
        try:
            head = _head(category["hit_head"], folder, by_version)
        except WrongSetup as error:
            problems.append((("categories", name, "hit_head"), str(error)))
            # One mistake, told once.
            del category["hit_head"]
            continue
        taken[head.version] = head
        category["hit_head"] = head.version
    if not taken:
        return NamedHeads(data, problems)
    return NamedHeads({**data, "hit_heads": [head.model_dump(mode="json") for head in taken.values()]}, problems)


def _naming(data: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The categories that name a head."""
    categories = data.get("categories") if isinstance(data, dict) else None
    for name, category in categories.items() if isinstance(categories, dict) else ():
        if isinstance(category, dict) and isinstance(category.get("hit_head"), str):
            yield str(name), category


def _head(named: str, folder: Path, known: dict[str, HitHead]) -> HitHead:
    """The head of that version or file. Raises WrongSetup."""
    if not _VERSION.fullmatch(named):
        return HEAD_FILES.read(folder / named)
    if named not in known:
        raise WrongSetup(f"{named} is no version of a head in force: name the file that `refrain hits train` wrote")
    return known[named]
