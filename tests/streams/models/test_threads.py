"""How many threads an embedding model takes of its machine."""

from __future__ import annotations

import pytest

from refrain.streams.models.threads import AUTO_MAX, cores, local_threads_of, threads_of
from refrain.streams.settings import Embedding


@pytest.mark.parametrize(
    ("available", "sharing", "expected"),
    [(2, 1, 2), (2, 2, 1), (2, 5, 1), (8, 2, 4), (7, 2, 3), (1, 1, 1), (64, 1, AUTO_MAX), (64, 16, 4), (4, 0, 4)],
)
def test_workers_divide_the_cores_and_each_has_one_at_least(available: int, sharing: int, expected: int) -> None:
    assert threads_of(Embedding(), sharing, available) == expected


def test_a_number_in_the_settings_is_taken_as_it_is() -> None:
    assert threads_of(Embedding(threads=3), sharing=2, available=64) == 3


@pytest.mark.parametrize("wrong", [0, -1, "many", 1.5])
def test_other_settings_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="threads"):
        Embedding.model_validate({"threads": wrong})


def test_a_number_may_be_written_as_text_as_in_a_variable() -> None:
    assert Embedding.model_validate({"threads": "2"}).threads == 2


def test_a_model_that_runs_elsewhere_takes_no_threads() -> None:
    assert local_threads_of(Embedding(backend="http")) == local_threads_of(Embedding(backend="free")) == 0
    assert local_threads_of(Embedding(backend="light")) == min(AUTO_MAX, cores())
