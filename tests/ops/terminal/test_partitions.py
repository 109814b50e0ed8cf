"""A partition that the journal does not have is a wrong command line, whichever command names it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from refrain.ops.cli import application
from refrain.ops.cluster import connection
from refrain.ops.terminal import exit_codes
from refrain.ops.terminal.partitions import chosen_partitions
from refrain.streams.kafka import cluster as kafka
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.settings import Settings
from tests.ops.audit.audited import recorded
from tests.streams.lookup.stage import traffic


def test_all_are_meant_where_none_is_named() -> None:
    assert chosen_partitions(3, None) == chosen_partitions(3, []) == [0, 1, 2]
    assert chosen_partitions(3, [2, 0, 2]) == [0, 2]
    for wrong in ([3], [0, -1]):
        with pytest.raises(typer.BadParameter, match="the journal has the partitions 0 to 2, no"):
            chosen_partitions(3, wrong)


@pytest.mark.parametrize(
    "words",
    [
        ["audit"],
        ["snapshot"],
        ["state"],
        ["replay", "--into", "copy."],
        ["export", "journal", "-"],
        ["whatif", "--uniform"],
    ],
)
def test_a_partition_that_is_none_is_refused(
    words: Sequence[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFRAIN_CONFIG", raising=False)
    cluster = recorded(traffic(0)).cluster

    @contextmanager
    def opened(_: Settings) -> Iterator[MemoryCluster]:
        yield cluster

    monkeypatch.setattr(kafka, "KafkaCluster", opened)
    monkeypatch.setattr(connection, "reach", lambda _: None)
    result = CliRunner().invoke(application(words[0]), [*words, "--partition", "7"], terminal_width=200)
    assert result.exit_code == exit_codes.USAGE
    assert "the journal has the partitions 0 to 1, no 7" in " ".join(result.output.replace("│", " ").split())
