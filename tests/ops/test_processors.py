"""Every processor of the table is started by `run all`, and known to those who look after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ops.cli import main
from ops.processors import NAMES
from schemas.topics import BY_NAME, GROUPS, PROCESSORS


def test_run_all_starts_every_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Sequence[str]] = []

    def supervise(names: Sequence[str], *_: Any) -> int:
        started.append(names)
        return 0

    monkeypatch.setattr("ops.supervisor.supervise", supervise)
    assert main(["run", "all"]) == 0
    assert started == [list(NAMES)]
    assert {"compare", "verify"} <= set(NAMES)


def test_the_doctor_knows_what_every_processor_reads() -> None:
    assert set(GROUPS) == set(NAMES) == set(PROCESSORS)
    for name, topic in GROUPS.items():
        assert name in BY_NAME[topic].readers
