"""The short form of `infra/faults`, with fixed seeds: what the long one promises, in the time that CI has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.__main__ import again
from tests.simulation.bench import Run
from tests.simulation.scenario import carry_out

pytestmark = pytest.mark.simulation

PLAIN = Run(requests=2_000, faults=10, seed=3)
SHARED = Run(requests=1_200, faults=4, seed=5, lookups=3)


@pytest.mark.parametrize("run", [PLAIN, SHARED], ids=["one lookup worker", "lookup workers come and go"])
def test_every_promise_holds_while_workers_are_killed_and_paused(run: Run, kafka: str, tmp_path: Path) -> None:
    report = carry_out(run, kafka, tmp_path, lambda name, done, total: None)

    assert report.broken == [], f"repeat with: {again(run)}; logs: {tmp_path}; {report.figures}"
    assert report.figures["faults"] == run.faults
    assert report.figures["answered"] == report.figures["requests"]
