"""The parts of `bench edge`: its HTTP client, against the simulated model, and the other gateway's process."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from refrain.ops.bench.edge.gateway import litellm, with_cache
from refrain.ops.bench.edge.http_client import ask, first_pieces
from refrain.ops.bench.path.questions import question_body
from refrain.ops.bench.processes import child
from refrain.streams.errors import ClusterFailed, WrongSetup
from refrain.streams.settings import Upstream
from refrain.streams.upstream.simulated.server import Scripted, SimulatedServer

MODEL_MS = 40.0
NOWHERE = "http://127.0.0.1:1/v1"
EVENTS = (("content-type", "text/event-stream"), ("x-refrain-outcome", "miss"))


@pytest.fixture
def model() -> Iterator[SimulatedServer]:
    with SimulatedServer(Upstream(latency_median_ms=MODEL_MS, latency_sigma=0)) as server:
        yield server


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_each_question_is_asked_and_its_time_is_that_of_its_answer(model: SimulatedServer) -> None:
    bodies = [question_body(f"What is the number {number}?") for number in range(5)]
    told = asyncio.run(ask(model.base_url, bodies, 200.0, {"x-mine": "1"}))
    assert [each.outcome for each in told] == [""] * 5
    assert all(each.latency_ms >= MODEL_MS for each in told)
    assert sorted(str(call.body) for call in model.calls) == sorted(str(body) for body in bodies)
    assert {call.headers["x-mine"] for call in model.calls} == {"1"}


def test_the_first_piece_of_a_stream_is_no_comment(model: SimulatedServer) -> None:
    model.script.append(Scripted(200, b': here\n\ndata: {"choices": []}\n\ndata: [DONE]\n\n', EVENTS))
    (told,) = asyncio.run(first_pieces(model.base_url, [question_body("What is a stream?")], {}))
    assert told.outcome == "miss"
    assert model.calls[0].body["stream"] is True
    (live,) = asyncio.run(first_pieces(model.base_url, [question_body("What is a stream?")], {}))
    assert live.latency_ms >= MODEL_MS / 2
    model.script.append(Scripted(200, b": here\n\ndata: [DONE]\n\n", EVENTS))
    with pytest.raises(ClusterFailed, match="streamed nothing"):
        asyncio.run(first_pieces(model.base_url, [question_body("What is a stream?")], {}))


def test_an_error_is_no_latency(model: SimulatedServer) -> None:
    model.script.append(Scripted(503, b"busy"))
    with pytest.raises(ClusterFailed, match="answered 503"):
        asyncio.run(ask(model.base_url, [question_body("Who is busy?")], 10.0, {}))


def test_a_gateway_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program(tmp_path / "broken", "import sys; sys.exit('no module named proxy')")
    # As somebody names it who stands in its folder.
    with pytest.raises(WrongSetup, match=r"(?s)ended with 1 before it was up.*no module named proxy"):
        litellm(Path("broken"), {}, {}).__enter__()
    (tmp_path / "plain").touch()
    with pytest.raises(WrongSetup, match="plain cannot be run: Permission denied"):
        litellm(tmp_path / "plain", {}, {}).__enter__()


def test_a_gateway_gets_its_configuration_and_its_variables(tmp_path: Path) -> None:
    shows = program(tmp_path / "shows", "import os, sys; sys.exit(open(sys.argv[2]).read() + os.environ['MINE'])")
    with pytest.raises(WrongSetup, match=r'"cache": true.*sk-mine') as told:
        litellm(shows, with_cache(NOWHERE), {"MINE": "sk-mine"}).__enter__()
    assert NOWHERE in str(told.value)


def test_a_child_ends_with_its_block() -> None:
    waits = [sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()"]
    with child(waits, os.environ, subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        assert process.poll() is None
    assert process.returncode == -signal.SIGTERM
