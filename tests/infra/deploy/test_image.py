"""The image: what its file says, and, with an engine, that it runs as nobody on a read-only root and answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.examples.ask import ask
from infra.local.docker_broker import COMPOSE
from refrain.ops.config.resources import text_of
from refrain.ops.run.processors import NAMES, ON_DEMAND
from refrain.ops.testing.container import HTTP_PORT, PORTS, ContainerFailed, RefrainContainer

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = ROOT / "infra/Dockerfile"
TOOL_S = 60
BUILD_S = 1_200
MEGABYTES_MAX = 500
IMAGE = "refrain-cache:test"
QUESTION = "How do I reverse a list in Python?"

docker = pytest.mark.docker
slow = pytest.mark.timeout(BUILD_S)


HADOLINT = Path(sys.executable).parent / "hadolint"


def test_hadolint_finds_nothing_wrong_with_the_dockerfile() -> None:
    # Versions of the packages that build are those of the base image's distribution.
    command = [str(HADOLINT), "--ignore", "DL3008", str(DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_S, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_broker_of_the_container_is_that_of_the_compose_file() -> None:
    assert text_of("kafka", "compose.yaml") == COMPOSE.read_text(encoding="utf-8")


def test_the_container_waits_for_the_processors_that_it_runs_and_no_other() -> None:
    started = [name for name in NAMES if name not in ON_DEMAND]
    assert [NAMES[port - HTTP_PORT] for port in PORTS] == started


def run(*command: str, timeout_s: float = TOOL_S) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr[-4_000:]
    return done.stdout


@pytest.fixture(scope="module")
def image() -> str:
    """The name of the image, built anew. BUILD_PACKAGES in the environment is for base images that lack something."""
    run("docker", "build", "--build-arg", "BUILD_PACKAGES", "-f", str(DOCKERFILE), "-t", IMAGE, ".", timeout_s=BUILD_S)
    return IMAGE


@pytest.fixture(scope="module")
def refrain(image: str) -> Iterator[RefrainContainer]:
    # On a machine that others use, too: no question may wait too long to be embedded.
    with RefrainContainer(image, environment={"REFRAIN_CLASSIFY__WAIT_MAX_MS": "0"}) as running:
        yield running


@docker
@slow
def test_it_is_small_and_runs_as_nobody_in_particular_on_a_read_only_root(image: str) -> None:
    [told] = json.loads(run("docker", "image", "inspect", image))
    assert told["Size"] < MEGABYTES_MAX * 1_000_000
    assert told["Config"]["User"] == "10001:10001"
    bare = ["docker", "run", "--rm", "--read-only", "--cap-drop", "ALL", "--network", "none"]
    assert run(*bare, "--entrypoint", "id", image, "-u").strip() == "10001"
    assert "categories:" in run(*bare, image, "policies", "init", "-")


@docker
@slow
def test_others_ask_it_in_their_tests(refrain: RefrainContainer) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": QUESTION}]}
    outcomes = [ask(refrain.bootstrap_servers, body)["outcome"] for _ in range(2)]
    assert outcomes == ["miss", "hit"]
    told = json.loads(refrain.run("ask", "--json", "--model", "demo", "Reversing a list in Python - how?"))
    assert told["response"]["outcome"] == "hit"


@docker
@slow
def test_a_command_that_fails_says_why(refrain: RefrainContainer) -> None:
    with pytest.raises(ContainerFailed, match="polices"):
        refrain.run("polices")


@docker
@slow
def test_a_policy_that_cannot_be_taken_is_named_and_nothing_is_left_behind(image: str) -> None:
    before = run("docker", "ps", "-aq")
    with pytest.raises(ContainerFailed, match="did you mean threshold"):
        RefrainContainer(image, policy="categories: {code: {treshold: 0.9}}").start()
    assert run("docker", "ps", "-aq") == before
