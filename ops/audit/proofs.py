"""What `refrain audit` does with proofs: makes keys, seals what was read, compares the logs with a seal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from refrain.ops.terminal import output
from refrain.ops.terminal.progress import progress_bar

if TYPE_CHECKING:
    from refrain.ops.audit.seal.model import Seal
    from refrain.ops.audit.whole import Audit
    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings


def make_seal_key(path: Path) -> None:
    """Make a key that signs seals, and beside it the one that checks them."""
    from refrain.ops.audit.seal import keys

    public = keys.make_key(path)
    output.say(f"{path} signs: keep it away from those who can write to the cluster")
    output.say(f"{public} checks: give it to whoever audits")


def compare_with_seal(
    settings: Settings, path: Path, public_key: Path | None, wanted: Sequence[int] | None, *, as_json: bool
) -> bool:
    """Compare the logs with a seal. Returns whether the logs are those that were sealed."""
    from refrain.ops.audit.seal import file, keys, report
    from refrain.ops.audit.seal.against import prove_all
    from refrain.ops.cluster.connection import reach
    from refrain.streams.kafka.cluster import KafkaCluster

    seal = file.read(path, None if public_key is None else keys.read_public(public_key))
    _check_sealed(seal, wanted)
    reach(settings)
    records = sum(log.records for log in seal.logs)
    with KafkaCluster(settings) as cluster, progress_bar("reading", records) as progress:
        proof = prove_all(cluster, seal, wanted, progress)
    if as_json:
        output.emit(report.to_json(proof))
    else:
        report.show(proof, key_given=public_key is not None)
    return proof.is_ok


def _check_sealed(seal: Seal, wanted: Sequence[int] | None) -> None:
    """Raises typer.BadParameter for a partition that the seal does not hold."""
    known = {each.journal.partition for each in seal.partitions}
    for number in wanted or ():
        if number not in known:
            raise typer.BadParameter(f"the seal holds nothing of partition {number}", param_hint="--partition")


class Sealer:
    """Seals what an audit has read. What is wrong with its files is told before the audit, not after it."""

    def __init__(self, path: Path, key: Path | None) -> None:
        """Raises BadInput for a file that exists, and for a key that cannot be read."""
        from refrain.ops.audit.seal import file, keys

        file.check_free(path)
        self._path, self._key = path, None if key is None else keys.read_private(key)

    def begin(self, cluster: Cluster) -> None:
        """Note which topics they are."""
        from refrain.ops.audit.seal.sealing import sealed_topics

        self._topics = sealed_topics(cluster)

    def finish(self, cluster: Cluster, audited: Audit) -> None:
        """Write the seal. Raises BadInput when that is not possible."""
        from refrain.ops.audit import report
        from refrain.ops.audit.seal import file
        from refrain.ops.audit.seal.sealing import seal_all
        from refrain.streams.shard.behaviour import BEHAVIOUR

        sealed = [each.sealed for each in audited.partitions if each.sealed is not None]
        found, now_ms = report.broken(audited), int(time.time() * 1_000)
        seal = seal_all(cluster, self._topics, sealed, fold=BEHAVIOUR, findings=found, now_ms=now_ms)
        file.write(self._path, seal, self._key)
        output.hint(f"{self._path} seals {output.counted(sum(log.records for log in seal.logs), 'record')}")
