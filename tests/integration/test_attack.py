"""The short form of `infra/attack`, against a Refrain that it starts on the broker of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

LIMIT_S = 280
MUTATED = 20_000
NAMES = {"batches that no client can read", "forged routes", "never, spelled oddly", "hidden text", "mutated together"}
"""Some of the attacks, of each kind one."""


@pytest.mark.timeout(LIMIT_S + 20)
def test_every_attack_of_the_short_form_holds(kafka: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REFRAIN_")}
    command = [sys.executable, "-m", "tests.attack", "--short", "--mutations", str(MUTATED), "--json"]
    done = subprocess.run(
        command, env={**kept, "REFRAIN_KAFKA": kafka}, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.stdout, done.stderr
    *rows, whole = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, whole["wrong"]) == (0, []), done.stderr
    assert whole["held"] == whole["attacks"] == len(rows)
    assert {row["attack"] for row in rows} >= NAMES
    assert next(row["sent"] for row in rows if row["attack"] == "mutated together") >= MUTATED
    assert all(row["calm"]["answered"] == row["calm"]["asked"] > 0 for row in rows)
