"""The table of pairs by kind: none that asks for another answer may pass, and most true rewordings must."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from refrain.streams.errors import WrongSetup
from refrain.streams.models.loading import load_embedder
from refrain.streams.settings import Embedding
from tests.streams.guards.verdicts import refusal

Pairs = list[tuple[str, str]]
TABLE: dict[str, dict[str, Pairs]] = yaml.safe_load((Path(__file__).parent / "adversarial.yaml").read_text())
SHARE = 0.7
THRESHOLD = 0.8


def test_the_table_is_large_enough() -> None:
    assert sum(len(pairs["differ"]) for pairs in TABLE.values()) >= 150
    assert sum(len(pairs["same"]) for pairs in TABLE.values()) >= 150


@pytest.mark.parametrize("kind", TABLE)
def test_no_pair_that_differs_passes(kind: str) -> None:
    assert [pair for pair in TABLE[kind]["differ"] if refusal(*pair) is None] == []


@pytest.mark.parametrize("kind", TABLE)
def test_most_rewordings_pass(kind: str) -> None:
    pairs = TABLE[kind]["same"]
    refused = [(*pair, said) for pair in pairs if (said := refusal(*pair))]
    print(f"{kind}: {len(pairs) - len(refused)} of {len(pairs)} rewordings pass")
    assert len(refused) <= (1 - SHARE) * len(pairs), refused


@pytest.mark.model
def test_most_rewordings_are_served(tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        embedder = load_embedder(Embedding(), tmp_path_factory.mktemp("model"))
    except WrongSetup as problem:
        pytest.skip(str(problem))
    served, asked = 0, 0
    for kind, table in TABLE.items():
        pairs = table["same"]
        vectors = embedder.embed([text for pair in pairs for text in pair])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        near = (vectors[::2] * vectors[1::2]).sum(axis=1) >= THRESHOLD
        hits = sum(bool(n) and refusal(*pair) is None for n, pair in zip(near, pairs, strict=True))
        print(f"{kind}: {hits} of {len(pairs)} rewordings are served at {THRESHOLD}")
        served, asked = served + hits, asked + len(pairs)
    assert served >= SHARE * asked
