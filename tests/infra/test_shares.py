"""How the tests are shared out among workers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.shares import in_order, workers

GB = 1 << 30


@pytest.mark.parametrize(
    ("cores", "memory_gb", "started"),
    [(1, 16, 2), (2, 16, 3), (3, 16, 4), (4, 16, 4), (4, 7, 3), (4, 4, 2), (64, 512, 4), (64, 5, 2), (1, 1, 1)],
)
def test_one_worker_more_than_cores_four_at_most_where_memory_allows(cores: int, memory_gb: int, started: int) -> None:
    assert workers(cores, memory_gb * GB) == started


def test_files_stay_whole_the_waiting_ones_first_then_the_longer_ones() -> None:
    files = ["small", "large", "large", "kafka", "even", "large", "small", "even"]
    items: Any = [SimpleNamespace(path=Path(name), number=number) for number, name in enumerate(files)]
    found: Any = in_order(items, {Path("kafka")})
    assert [item.path.name for item in found] == ["kafka"] + ["large"] * 3 + ["small"] * 2 + ["even"] * 2
    assert [item.number for item in found] == [3, 1, 2, 5, 0, 6, 4, 7]
