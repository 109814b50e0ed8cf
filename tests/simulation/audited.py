"""`refrain audit` of what a run has published: all of it, one partition, what was decided since its middle, and from
snapshots where any were made on the way.
"""

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
    middle = _middle(bench).isoformat()
    late = _audited(bench, "from the middle", "--from", middle)
    bench.report.expect(
        "an audit from a moment on compares what was decided since",
        [] if 0 < late.get("decisions", 0) < decisions else [str(late.get("decisions"))],
    )
    if bench.run.snapshot_every_ms:
        _check_from_snapshots(bench, middle, whole, late)


def _check_from_snapshots(bench: Bench, middle: str, whole: dict[str, Any], late: dict[str, Any]) -> None:
    """From snapshots of before the middle as much is compared as from the first record, and the state is the same."""
    bench.report.figures["snapshots"] = len(list((bench.folder / "snapshots").glob("shard-*/*/manifest.json")))
    since = _audited(bench, "from snapshots of before the middle", "--from", middle, "--from-snapshot")
    newest = _audited(bench, "from the newest snapshots", "--from-snapshot")
    for name, told in (("of before the middle", since), ("the newest", newest)):
        begun = sum(each["snapshot"] is not None for each in told.get("partitions", ()))
        bench.report.figures[f"shards_audited_from_snapshots {name}"] = begun
        bench.report.expect(f"audits begin from snapshots: {name}", [] if begun else ["none does"])
        different = [] if _states(told) == _states(whole) else [f"{_states(told)}, not {_states(whole)}"]
        bench.report.expect(f"an audit from snapshots comes to the same states: {name}", different)
    compared = [told.get("decisions") for told in (late, since)]
    bench.report.expect(
        "an audit from snapshots compares each decision since that moment",
        [] if compared[0] == compared[1] else [f"{compared[1]} of {compared[0]}"],
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
