"""Judged pairs that tell what cosine cannot: two questions differ in one word, which means the same or does not."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

SAME_WORDS = (("blorf", "quintle"), ("drasp", "morkel"), ("fenlo", "vistag"))
"""Words of no language, so that no list of synonyms knows them."""
THINGS = (
    "boat",
    "lamp",
    "chair",
    "window",
    "garden",
    "bicycle",
    "kettle",
    "carpet",
    "mirror",
    "wagon",
    "fence",
    "tent",
)


def rows(count: int, seed: int = 1, told: bool = True) -> Iterator[dict[str, Any]]:
    """Pairs about things of their own: a third ask the same. Unless labels are `told`, they are drawn by lot."""
    draw = random.Random(seed)
    things = list(combinations(THINGS, 7))
    draw.shuffle(things)
    for some in things[:count]:
        words, others = draw.sample(SAME_WORDS, 2)
        same = draw.random() < 1 / 3
        mine = draw.choice(words)
        theirs = next(each for each in words if each != mine) if same else draw.choice(others)
        label = same if told else draw.random() < 1 / 3
        text = f"how to {{}} the {' '.join(some)}"
        yield {"text_a": text.format(mine), "text_b": text.format(theirs), "label": int(label), "category": "made"}


def write(path: Path, found: Iterator[dict[str, Any]]) -> Path:
    """Write pairs as the lines of a file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path
