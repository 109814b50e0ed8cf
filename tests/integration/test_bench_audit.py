"""`infra/bench audit` in small, on the broker of the tests: what it prints, by one process and by two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from infra.local.bench import main
from tests.conftest import ADMIN_S

SPENT = {"records_s", "records_s_core", "seconds", "resident_mb"}


@pytest.fixture(autouse=True)
def _environment(kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFRAIN_CONFIG", raising=False)
    monkeypatch.setenv("REFRAIN_KAFKA", kafka)
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")


def test_audits_and_a_what_if_are_told_beside_the_worker(capfd: pytest.CaptureFixture[str], admin: AdminClient) -> None:
    assert main(["audit", "--entries", "200", "--namespaces", "2", "--json"]) == 0, capfd.readouterr().err
    (line,) = capfd.readouterr().out.splitlines()
    told = json.loads(line)
    # A policy for each of two partitions; a question that misses, its answer and a question that hits for each entry.
    assert (told["records"], told["decisions"]) == (602, 400)
    # An audit that finds anything ends the bench: what is told was reproduced.
    for spent in (told["live"], told["audit"]["1"], told["audit"]["2"], told["audit_sample_100"], told["whatif"]):
        assert set(spent) == SPENT
        assert min(spent.values()) > 0
    assert told["ratio_audit_live"] == pytest.approx(told["live"]["seconds"] / told["audit"]["1"]["seconds"], abs=0.02)
    assert not [name for name in admin.list_topics(timeout=ADMIN_S).topics if name.startswith("bench-audit-")]
