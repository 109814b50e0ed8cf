"""Questions with known intents for `bench load`: from a public set of pairs, or synthetic.

An intent is what one answer answers, in one or several wordings; intents that look alike and are not the same are near.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple, TypeGuard

from refrain.ops.bench.vectors import DO, HOW, WHAT
from refrain.ops.data.lines import BadLine, Row, rows, whole_lines_of
from refrain.streams.errors import BadInput, WrongSetup

TEXT_CHARS_MAX = 2_000
"""Longer texts are left out."""
TEXTS_MAX = 20_000
"""Texts taken of a file, its first: embedding them takes half a minute on two cores."""
_ASK = ("How do I {} {} {}?", "What is the best way to {} {} {}?", "Show me how to {} {} {}.")


class Intent(NamedTuple):
    """Texts (indexes) that mean the same, and the intents (indexes) that only look alike."""

    wordings: tuple[int, ...]
    near: tuple[int, ...]


class Questions(NamedTuple):
    """Data set: all texts and intents, and a line that describes it."""

    texts: list[str]
    intents: list[Intent]
    data: str


class _Pair(NamedTuple):
    a: int
    b: int
    same: bool


def read_pairs(path: Path) -> Questions:
    """Intents from JSON lines of pairs (`text_a`, `text_b`, `label`: 1 when they mean the same), also gzipped.

    Raises WrongSetup naming the line that is no pair, or when no pair says that two texts differ.
    """
    numbers: dict[str, int] = {}
    pairs = []
    for a, b, same in _rows(path):
        pairs.append(_Pair(numbers.setdefault(a, len(numbers)), numbers.setdefault(b, len(numbers)), same))
        if len(numbers) >= TEXTS_MAX:
            break
    roots = _components(len(numbers), [(pair.a, pair.b) for pair in pairs if pair.same])
    at = {root: place for place, root in enumerate(dict.fromkeys(roots))}
    wordings: list[list[int]] = [[] for _ in at]
    for text, root in enumerate(roots):
        wordings[at[root]].append(text)
    near: list[dict[int, None]] = [{} for _ in at]
    contradicting = 0
    for pair in pairs:
        one, other = at[roots[pair.a]], at[roots[pair.b]]
        if pair.same:
            continue
        if one == other:
            contradicting += 1
            continue
        near[one][other] = near[other][one] = None
    if not any(near):
        raise WrongSetup(f"{path}: no pair with label 0 is left: near misses cannot be asked")
    intents = [Intent(tuple(texts), tuple(others)) for texts, others in zip(wordings, near, strict=True)]
    several = sum(len(texts) > 1 for texts in wordings)
    data = (
        f"{path.name}: the first {len(pairs)} pairs, {len(numbers)} texts, {len(intents)} intents, {several} in several"
        f" wordings; {contradicting} pairs that contradict others left out"
    )
    return Questions(list(numbers), intents, data)


def synthetic_questions() -> Questions:
    """Synthetic intents, three wordings each; the same task under another condition is near."""
    texts: list[str] = []
    intents: list[Intent] = []
    for task, (do, what) in enumerate(product(DO, WHAT)):
        for number, how in enumerate(HOW):
            start = len(texts)
            texts += [form.format(do, what, how) for form in _ASK]
            beside = [(number + step) % len(HOW) for step in (1, -1)]
            near = tuple(task * len(HOW) + each for each in beside)
            intents.append(Intent(tuple(range(start, len(texts))), near))
    return Questions(texts, intents, f"questions made of words: {len(intents)} intents in {len(_ASK)} wordings each")


def _rows(path: Path) -> Iterator[tuple[str, str, bool]]:
    bad: list[BadLine] = []
    try:
        for number, row in rows(whole_lines_of(path), bad):
            _check_none(path, bad)
            yield _row(path, number, row)
    except BadInput as error:
        raise WrongSetup(str(error)) from error
    _check_none(path, bad)


def _check_none(path: Path, bad: Sequence[BadLine]) -> None:
    if bad:
        raise WrongSetup(f"{path}, line {bad[0].line} cannot be read: {bad[0].why}")


def _row(path: Path, number: int, row: Row) -> tuple[str, str, bool]:
    one, other, label = row.get("text_a"), row.get("text_b"), row.get("label")
    if label not in (0, 1) or not (_is_question(one) and _is_question(other)):
        raise WrongSetup(f"{path}, line {number}: not a pair with text_a, text_b and a label of 0 or 1")
    return one.strip(), other.strip(), label == 1


def _is_question(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and 0 < len(text.strip()) <= TEXT_CHARS_MAX


def _components(count: int, links: list[tuple[int, int]]) -> list[int]:
    """Connected components: the root of each of `count` members, the same for all that links join."""
    parents = list(range(count))

    def root(member: int) -> int:
        while parents[member] != member:
            parents[member] = parents[parents[member]]
            member = parents[member]
        return member

    for a, b in links:
        first, second = sorted((root(a), root(b)))
        parents[second] = first
    return [root(member) for member in range(count)]
