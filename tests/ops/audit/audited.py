"""What audits are tried on: what a worker made of journals, records altered in their place, and what was found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from refrain.ops.audit.effects import Effects, PublishedEffects
from refrain.ops.audit.findings import Findings, Kind
from refrain.ops.audit.limits import Asked
from refrain.ops.audit.partition import Audited, PartitionAudit
from refrain.ops.audit.whole import lay_out
from refrain.streams.kafka.interface import Record
from refrain.streams.kafka.memory import MemoryCluster
from tests.streams.lookup.stage import NEVER_MS, Stage
from tests.streams.shard.journal import Journal

ALL = Asked()


def recorded(*journals: Journal, commit_records: int = 5) -> Stage:
    """What a worker made of the journals, committed in several steps."""
    stage = Stage()
    for journal in journals:
        stage.journal(journal)
    worker = stage.worker(NEVER_MS, commit_records=commit_records)
    stage.run(worker)
    worker.close()
    return stage


def audited(cluster: MemoryCluster, folder: Path, partition: int = 0, asked: Asked = ALL) -> Audited:
    """What an audit of one partition found; it keeps its files in `folder`."""
    laid = lay_out(cluster, [partition], folder)
    published = PublishedEffects(folder / str(partition))
    findings = Findings(partition)
    try:
        return PartitionAudit(cluster, partition, Effects(published, laid.kept_from_ms, findings), findings).run(asked)
    finally:
        published.close()
        findings.found += laid.strange.found


def rows(stage: Stage, topic: str, partition: int = 0) -> list[Record]:
    """The records of a partition, to be altered in place."""
    return stage.cluster.topic(topic).records[partition]


def rewrite(stage: Stage, topic: str, at: int, change: Callable[[dict[str, Any]], None], partition: int = 0) -> None:
    """Alter the JSON of a record in its place."""
    record = rows(stage, topic, partition)[at]
    value = json.loads(record.value or b"")
    change(value)
    rows(stage, topic, partition)[at] = record._replace(value=json.dumps(value, separators=(",", ":")).encode())


def kinds(found: Audited) -> list[Kind]:
    """The kinds of the findings."""
    return [one.kind for one in found.findings.found]
