"""`refrain audit` of what a run has published: all of it, one partition, and what was decided since its middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

from tests.simulation.bench import Bench, environment_of

AUDIT_S = 1_800.0
FINDINGS_MAX = 20


def check_audits(bench: Bench) -> None:
    """Audit as an operator does; every decision must be reproduced. No worker may run."""
    whole = _audited(bench, "whole")
    decisions = whole.get("decisions", 0)
    bench.report.figures["audited"] = {name: whole.get(name) for name in ("records", "decisions", "responses")}
    bench.report.expect("the audit looks at every decision", [] if decisions else ["it looks at none"])
    one = _audited(bench, "one partition", "--partition", "0")
    ends = {each["partition"]: each["end"] for each in whole.get("partitions", ())}
    bench.report.expect(
        "an audit of one partition comes to the same state",
        [] if _states(one).items() <= _states(whole).items() and ends else [str(_states(one))],
    )
    late = _audited(bench, "from the middle", "--from", _middle(bench).isoformat())
    bench.report.expect(
        "an audit from a moment on compares what was decided since",
        [] if 0 < late.get("decisions", 0) < decisions else [str(late.get("decisions"))],
    )


def _audited(bench: Bench, name: str, *options: str) -> dict[str, Any]:
    """The report of an audit, which is expected to find nothing."""
    bench.step(f"audit: {name}", 0, 1)
    command = [sys.executable, "-m", "refrain.ops.cli", "audit", "--json", *options]
    done = subprocess.run(
        command,
        env={**os.environ, **environment_of(bench.settings, "http://127.0.0.1:1")},
        capture_output=True,
        text=True,
        timeout=AUDIT_S,
        check=False,
    )
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        told = {}
    found = [json.dumps(each) for each in told.get("findings", ())][:FINDINGS_MAX]
    if done.returncode != 0 and not found:
        found = [f"exit code {done.returncode}: {done.stderr.strip() or done.stdout[:500]}"]
    bench.report.expect(f"an audit finds nothing: {name}", found)
    return told


def _states(told: dict[str, Any]) -> dict[int, str]:
    return {each["partition"]: each["state"] for each in told.get("partitions", ())}


def _middle(bench: Bench) -> datetime:
    """The moment in the middle between the first and the last decision."""
    log = bench.log
    records = (record for partition in log.ends("decisions") for record in log.scan("decisions", partition))
    times_ms = [json.loads(record.value or b"")["time_ms"] for record in records]
    return datetime.fromtimestamp((min(times_ms) + max(times_ms)) / 2_000, UTC)
