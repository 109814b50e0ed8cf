"""Tables of pairs by kind: how many that are due another answer are served, and how many true rewordings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from refrain.streams.classify.framing import frame
from refrain.streams.errors import WrongSetup
from refrain.streams.models.loading import load_embedder
from refrain.streams.settings import Embedding
from tests.streams.guards.verdicts import LEAST, score
from tests.tables import table

Pair = tuple[str, str]
_HERE = Path(__file__).parent
_KINDS: dict[str, dict[str, list[Pair]]] = table(_HERE / "adversarial.yaml")
_TOPICS: dict[str, list[Pair]] = table(_HERE / "rewordings.yaml")
DIFFER = {kind: pairs["differ"] for kind, pairs in _KINDS.items() if "differ" in pairs}
LIGHT = {kind: pairs["same"] for kind, pairs in _KINDS.items() if "same" in pairs}
FREE = _TOPICS
ALMOST_EQUAL = 0.97
"""A similarity that is served unless the guards find something."""


class Held(NamedTuple):
    """Shares held at a threshold: at most `differ` and at least `light` and `free` of the pairs are served."""

    differ: float
    light: float
    free: float


# Of free rewordings the similarity itself (median 0.78) lies below the thresholds: no guard can serve more of them.
HELD = {
    0.83: Held(differ=0.0085, light=0.95, free=0.18),
    0.85: Held(differ=0.0070, light=0.924, free=0.09),
    0.87: Held(differ=0.0063, light=0.89, free=0.05),
}


def test_the_tables_are_large_enough() -> None:
    assert len(_all(DIFFER)) >= 400
    assert len(_all(LIGHT)) >= 150
    assert len(_all(FREE)) >= 200


def test_no_pair_counts_twice() -> None:
    pairs = [frozenset(pair) for pair in (*_all(DIFFER), *_all(LIGHT), *_all(FREE))]
    assert len(set(pairs)) == len(pairs)
    assert all(len(pair) == 2 for pair in pairs)


def test_of_most_pairs_that_differ_the_guards_say_so() -> None:
    silent = [pair for pair in _all(DIFFER) if score(*pair, ALMOST_EQUAL) == ALMOST_EQUAL]
    print(f"{len(silent)} of {len(_all(DIFFER))} pairs that differ lose nothing of {ALMOST_EQUAL}")
    assert len(silent) <= 0.016 * len(_all(DIFFER)), silent


def test_most_pairs_that_differ_are_not_served_however_similar() -> None:
    served = [pair for pair in _all(DIFFER) if score(*pair, ALMOST_EQUAL) >= LEAST]
    print(f"{len(served)} of {len(_all(DIFFER))} pairs that differ are served at a similarity of {ALMOST_EQUAL}")
    assert len(served) <= 0.09 * len(_all(DIFFER)), served


@pytest.mark.parametrize("table", [LIGHT, FREE], ids=["light", "free"])
def test_the_guards_stop_few_rewordings_that_are_similar(table: dict[str, list[Pair]]) -> None:
    stopped = [pair for pair in _all(table) if score(*pair, ALMOST_EQUAL) < LEAST]
    assert len(stopped) <= 0.019 * len(_all(table)), stopped


@pytest.fixture(scope="module")
def similarities(tmp_path_factory: pytest.TempPathFactory) -> dict[Pair, float]:
    """Cosine under the default model of every pair that guards would let an equal similarity serve."""
    try:
        embedder = load_embedder(Embedding(), tmp_path_factory.mktemp("model"))
    except WrongSetup as problem:
        pytest.skip(str(problem))
    pairs = [pair for pair in (*_all(DIFFER), *_all(LIGHT), *_all(FREE)) if score(*pair, 1.0) >= LEAST]
    vectors = embedder.embed([frame(text, embedder).head for pair in pairs for text in pair])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return dict(zip(pairs, (vectors[::2] * vectors[1::2]).sum(axis=1).tolist(), strict=True))


@pytest.mark.model
@pytest.mark.parametrize("threshold", HELD)
def test_few_pairs_that_differ_are_served(threshold: float, similarities: dict[Pair, float]) -> None:
    served = list(_served(DIFFER, threshold, similarities))
    assert _share("pairs that differ", DIFFER, threshold, served) <= HELD[threshold].differ, served


@pytest.mark.model
@pytest.mark.parametrize("threshold", HELD)
def test_light_rewordings_are_served(threshold: float, similarities: dict[Pair, float]) -> None:
    served = list(_served(LIGHT, threshold, similarities))
    assert _share("light rewordings", LIGHT, threshold, served) >= HELD[threshold].light


@pytest.mark.model
@pytest.mark.parametrize("threshold", HELD)
def test_free_rewordings_are_served(threshold: float, similarities: dict[Pair, float]) -> None:
    served = list(_served(FREE, threshold, similarities))
    assert _share("free rewordings", FREE, threshold, served) >= HELD[threshold].free


def _all(table: dict[str, list[Pair]]) -> list[Pair]:
    return [(a, b) for pairs in table.values() for a, b in pairs]


def _served(table: dict[str, list[Pair]], threshold: float, similarities: dict[Pair, float]) -> Iterator[Pair]:
    return (pair for pair in _all(table) if pair in similarities and score(*pair, similarities[pair]) >= threshold)


def _share(what: str, table: dict[str, list[Pair]], threshold: float, served: list[Pair]) -> float:
    share = len(served) / len(_all(table))
    print(f"{len(served)} of {len(_all(table))} {what} ({share:.1%}) are served at {threshold}")
    return share
