"""The endpoint with some hundred open streams: refusals, places of those who leave, and that all others end."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from refrain.ops.bench.streams.run import StreamsPlan, run
from refrain.ops.cli import application
from refrain.streams.errors import WrongSetup

SMALL = ["--streams", "250", "--more", "25", "--every", "0.2", "--leaving", "0.1"]


def test_open_streams_all_end_and_one_too_many_is_told_to_come_back() -> None:
    result = CliRunner().invoke(application("bench"), ["bench", "streams", *SMALL, "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["streams"], figures["refused"], figures["left"], figures["ended"]) == (250, 25, 25, 250)
    assert 0 < figures["memory_per_stream_kb"] < 200
    assert figures["health_p50_ms"] > 0


def test_more_streams_than_files_may_be_open_are_refused_at_once() -> None:
    with pytest.raises(WrongSetup, match="ulimit -Hn"):
        run(StreamsPlan(streams=10**12, more=0, every_s=1.0, leaving=0.0), print)
