"""An HNSW through which vectors come and go."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refrain.streams.shard.index.hnsw import LEAST, MOVED_PER_ADD, SUCCEED_FROM, HnswIndex
from refrain.streams.vectors import Floats

DIM = 8


def unit(seed: int) -> Floats:
    """A unit vector."""
    vector = np.random.default_rng(seed).normal(size=DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_what_comes_and_goes_takes_a_bounded_room() -> None:
    graph, alive = HnswIndex(DIM, 16, 64), 200
    most = 0
    for number in range(5_000):
        if number >= alive:
            graph.remove(number % alive)
        graph.add(number % alive, unit(number))
        most = max(most, graph.index.get_current_count())
    assert len(graph) == alive
    assert most <= (1 + SUCCEED_FROM + 2 / MOVED_PER_ADD) * alive + LEAST


def test_a_table_emptied_to_the_last_vector_begins_anew() -> None:
    graph = HnswIndex(DIM, 16, 64)
    for owner in range(100):
        graph.add(owner, unit(owner))
    for owner in range(100):
        graph.remove(owner)
    assert graph.nearest(unit(1), 3, 64) == ([], [])
    for owner in range(3):
        graph.add(owner, unit(owner))
    assert graph.index.get_current_count() <= 3
    assert graph.nearest(unit(2), 1, 64)[0] == [2]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), steps=st.integers(50, 600))
def test_every_vector_alive_is_found_and_no_other_while_successors_take_over(seed: int, steps: int) -> None:
    draw = np.random.default_rng(seed)
    graph = HnswIndex(DIM, 16, 64)
    alive: dict[int, Floats] = {}
    for step in range(steps):
        owner = int(draw.integers(60))
        if owner in alive:
            graph.remove(owner)
            del alive[owner]
        if draw.random() < 0.8:
            alive[owner] = unit(step)
            graph.add(owner, alive[owner])
    assert len(graph) == len(alive)
    for owner, vector in alive.items():
        found, similarities = graph.nearest(vector, 1, 200)
        assert (found, round(similarities[0], 5)) == ([owner], 1.0)
        assert np.allclose(graph.vectors([owner])[0], vector)
    assert set(graph.nearest(unit(1), 60, 200)[0]) <= alive.keys()
