"""Question vectors for benches: embedded ones, multiplied by small seeded rotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refrain.ops.data.lines import Unreadable, json_object, text_of, whole_lines_of
from refrain.ops.data.vectors import vectors_of
from refrain.streams.errors import BadInput, WrongSetup
from refrain.streams.models.loading import load_embedder
from refrain.streams.settings import Embedding
from refrain.streams.vectors import Floats, Ints

EMBEDDED_MAX = 40_000
"""Questions that are embedded: a minute on two cores."""
TURN = 0.35
"""Length of the random part added to a unit vector to make another: their cosine is about 0.94."""
TEXT_FIELDS = ("text", "text_a", "text_b", "question")
DO = "sort merge copy parse validate cache stream encode compress test deploy rename index query split debug".split()
WHAT = (
    "a list of orders|a large CSV file|an HTTP response|a PostgreSQL table|a Kafka topic|a Docker image|user input|"
    "a JSON document|an invoice|a tax report|log files|a time series|a git branch|a spreadsheet|an email campaign|"
    "a machine learning model|a password|a mobile app|a React form|an audio file|a contract|a Kubernetes cluster"
).split("|")
HOW = (
    "in Python|in Go|in Java|without losing data|for a small team|on a laptop|in production|at night|quickly|safely|"
    "with a free tool|step by step|on Linux|before a release|for thousands of users|under a deadline"
).split("|")
_ASK = "How do I|What is the best way to|Can you show me how to|Why is it hard to|When should I".split("|")


class Vectors(NamedTuple):
    """Unit vectors (n, dim), and a line that describes them."""

    units: Floats
    data: str


def question_vectors(
    count: int,
    embedding: Embedding,
    cache_dir: Path,
    questions: Path | None,
    seed: int,
    progress: Callable[[int, int], None],
) -> Vectors:
    """`count` unit vectors of questions.

    From a file (a question a line, or JSON lines with a text field, also gzipped) or, without one, synthetic
    questions; those without a vector are left out. What is embedded is kept in `cache_dir`. Raises WrongSetup for a
    file without questions.
    """
    asked = filter(str.strip, read_questions(questions) if questions else _synthetic_questions())
    texts = list(dict.fromkeys(asked))[: min(count, EMBEDDED_MAX)]
    embedder = load_embedder(embedding, cache_dir)
    units = _units(vectors_of(texts, embedder, cache_dir, progress))
    if not len(units):
        raise WrongSetup(f"{questions} holds no questions: one a line, or JSON with one of {', '.join(TEXT_FIELDS)}")
    origin = str(questions.name) if questions else "questions made of words"
    data = f"{len(units)} vectors of {origin} by {embedder.identity}"
    embedded = len(units)
    if count > embedded:
        units = np.concatenate((units, turned(units, count - embedded, seed)))
        data += f", {count - embedded} turned by a seeded {TURN}"
    return Vectors(units[:count], data)


def turned(units: Floats, count: int, seed: int, turn: float = TURN) -> Floats:
    """Rotate: `count` unit vectors near given ones (n, dim), which are taken in turn."""
    generator = np.random.default_rng(seed)
    base = units[np.arange(count) % len(units)]
    noise = generator.normal(size=base.shape).astype(np.float32)
    noise *= turn / np.linalg.norm(noise, axis=1, keepdims=True)
    moved: Floats = base + noise
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    return moved


def read_questions(path: Path) -> Iterator[str]:
    """The questions of a file. Raises BadInput naming the line that cannot be read."""
    for number, line in enumerate(whole_lines_of(path), 1):
        try:
            if line.lstrip().startswith(b"{"):
                row = json_object(line)
                yield from (row[field] for field in TEXT_FIELDS if isinstance(row.get(field), str))
            else:
                yield text_of(line).strip()
        except Unreadable as error:
            raise BadInput(f"{path}, line {number} cannot be read: {error}") from error


def _synthetic_questions() -> Iterator[str]:
    for how in HOW:
        for what in WHAT:
            for do in DO:
                for ask in _ASK:
                    yield f"{ask} {do} {what} {how}?"


def _units(found: Sequence[Ints | None]) -> Floats:
    """The unit vectors (n, dim) of the vectors of record that are there."""
    rows = [row for row in found if row is not None]
    units = np.array(rows, dtype=np.float32)
    if rows:
        units /= np.linalg.norm(units, axis=1, keepdims=True)
    return units
