"""Mutations: one change of one thing in a request, anywhere in it, as small as it can be."""

from __future__ import annotations

import copy
import random
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.fuzz.requests import CATEGORIES, TENANTS, Json, key, scalar, text, value

Path = tuple[str | int, ...]
Container = dict[str, Json] | list[Json]


class Changed(NamedTuple):
    """A request with one change."""

    request: dict[str, Json]
    kind: str
    path: Path
    """Where it was changed."""


def change(rng: random.Random, request: dict[str, Json]) -> Changed | None:
    """The request with one change, None when the place drawn cannot be changed so. The request itself stays."""
    made = copy.deepcopy(request)
    part = rng.choices(("tenant", "category", "sources", "vary", "body"), weights=(1, 1, 2, 4, 24))[0]
    if part == "tenant" or part == "category":
        others = [name for name in (TENANTS if part == "tenant" else CATEGORIES) if name != made[part]]
        made[part] = rng.choice(others)
        return Changed(made, part, (part,))
    if part == "sources":
        return _source(rng, made)
    if part not in made:
        made[part] = {key(rng): value(rng, 2)}
        return Changed(made, "added", (part,))
    path = rng.choice(list(_paths(made[part], (part,))))
    kind = rng.choice(list(_KINDS))
    holder = _at(made, path[:-1])
    return Changed(made, kind, path) if _KINDS[kind](rng, holder, path[-1]) else None


def _source(rng: random.Random, made: dict[str, Json]) -> Changed:
    sources = made.setdefault("sources", [])
    kind = rng.choice(("added", "removed", "id", "version")) if sources else "added"
    if kind == "added":
        sources.append({"id": f"new {rng.randrange(9)}", "version": "1"})
    elif kind == "removed":
        sources.pop(rng.randrange(len(sources)))
    else:
        rng.choice(sources)[kind] += "+"
    return Changed(made, f"source {kind}", ("sources",))


def _paths(tree: Json, here: Path) -> Iterator[Path]:
    yield here
    steps = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for step, below in steps:
        yield from _paths(below, (*here, step))


def _at(tree: Json, path: Path) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _replaced(rng: random.Random, holder: Any, step: Any) -> bool:
    holder[step] = value(rng, 2)
    return True


def _retyped(rng: random.Random, holder: Any, step: Any) -> bool:
    old = holder[step]
    if isinstance(old, bool) or old is None:
        others: list[Json] = [str(old).lower(), str(old), int(bool(old)), [old], ""]
    elif isinstance(old, int | float):
        others = [str(old), [old], {"value": old}, old + 1, bool(old), -old, None]
    elif isinstance(old, str):
        others = [[old], {"text": old}, None, len(old), [{"type": "text", "text": old}]]
    elif isinstance(old, list):
        others = [dict(enumerate(map(str, old))), [old], None, str(old), {}]
    else:
        others = [[list(item) for item in old.items()], [old], None, str(old), []]
    holder[step] = rng.choice(others)
    return True


def _removed(rng: random.Random, holder: Any, step: Any) -> bool:
    del holder[step]
    return True


def _added(rng: random.Random, holder: Any, step: Any) -> bool:
    inside = holder[step]
    if isinstance(inside, dict):
        inside[f"new_{key(rng)}"] = scalar(rng)
    elif isinstance(inside, list):
        inside.insert(
            rng.randrange(len(inside) + 1), rng.choice(inside) if inside and rng.random() < 0.5 else scalar(rng)
        )
    else:
        return False
    return True


def _renamed(rng: random.Random, holder: Any, step: Any) -> bool:
    if not isinstance(holder, dict):
        return False
    holder[rng.choice((step.upper(), step + " ", step + "_", f"{step}.{text(rng)}"))] = holder.pop(step)
    return True


def _reordered(rng: random.Random, holder: Any, step: Any) -> bool:
    if not isinstance(holder[step], list):
        return False
    rng.shuffle(holder[step])
    return True


def _one_sign(rng: random.Random, holder: Any, step: Any) -> bool:
    """A text or number that differs in as little as there is."""
    old = holder[step]
    if isinstance(old, str):
        others = [
            old + " ",
            " " + old,
            old.swapcase(),
            unicodedata.normalize("NFD", old),
            old + "\u200b",
            old[:-1],
            old + ".",
        ]
        holder[step] = rng.choice(others)
        return True
    if isinstance(old, int | float) and not isinstance(old, bool):
        holder[step] = old + (1 if isinstance(old, int) else abs(old) * 1e-15)
        return True
    return False


def _moved(rng: random.Random, holder: Any, step: Any) -> bool:
    """A value one level up or under the name of its neighbour."""
    inside = holder[step]
    if not isinstance(holder, dict) or not isinstance(inside, dict) or not inside:
        return False
    name = rng.choice(list(inside))
    holder[f"{step}.{name}"] = inside.pop(name)
    return True


_KINDS: dict[str, Callable[[random.Random, Any, Any], bool]] = {
    "replaced": _replaced,
    "retyped": _retyped,
    "removed": _removed,
    "added": _added,
    "renamed": _renamed,
    "reordered": _reordered,
    "one sign": _one_sign,
    "moved": _moved,
}
