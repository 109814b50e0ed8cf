"""The short form of `infra/faults`: what the long one promises, in the time that CI has.

Seeds are fixed, so that CI repeats itself; `--fault-seed N` takes another one.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from infra.local.faults import main
from tests.simulation.__main__ import again
from tests.simulation.bench import Run

pytestmark = pytest.mark.simulation

PLAIN = Run(requests=2_000, faults=10, seed=3)
SHARED = Run(requests=1_200, faults=4, seed=5, lookups=3, audit=True)


@pytest.mark.parametrize("run", [PLAIN, SHARED], ids=["one lookup worker", "lookup workers come and go"])
def test_every_promise_holds_while_workers_are_killed_and_paused(
    run: Run,
    kafka: str,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    wanted = pytestconfig.getoption("--fault-seed")
    run = run if wanted is None else replace(run, seed=wanted)
    monkeypatch.setenv("REFRAIN_KAFKA", kafka)
    code = main(
        [f"--requests={run.requests}", f"--faults={run.faults}", f"--seed={run.seed}", f"--lookups={run.lookups}"]
        + ["--audit"] * run.audit
    )
    said = capfd.readouterr()

    # A run that breaks a promise keeps its logs, and names their folder.
    assert code == 0, f"repeat with: {again(run)}\n{said.out}\n{said.err}"
    told = json.loads(said.out)
    assert (told["ok"], told["broken"], told["seed"]) == (True, [], run.seed)
    assert told["faults"] == told["kills"] + told["pauses"] == run.faults
    assert told["answered"] == told["requests"] >= run.requests
    assert told["restarted_hits"] == told["restarted_asked"] > 0
