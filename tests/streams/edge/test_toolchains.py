"""Other clients against an endpoint on a port, where their toolchains are: curl, OpenAI's in Node, LangChain."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.streams.edge.installed import LANGCHAIN, programs
from tests.streams.edge.keyed import keyed_endpoint

EXAMPLES = Path(__file__).resolve().parents[3] / "infra" / "examples"
PACKAGES = ("openai@6", "tsx@4")
RUN_S = 60.0
CHAIN = """
import openai
from langchain_openai import ChatOpenAI
model = ChatOpenAI(model="gpt", max_retries=0, include_response_headers=True)
for question in ("How do I make a chain?", "How can I make a chain?"):
    answer = model.invoke(question)
    print(answer.response_metadata["headers"]["x-refrain-outcome"], answer.content)
for _ in range(2):
    chunks = list(model.stream("What is a link?", stream_usage=True))
    whole = sum(chunks[1:], chunks[0])
    print(len(chunks) > 3, whole.usage_metadata["output_tokens"] > 0, whole.content)
try:
    model.invoke("Who knows?", extra_headers={"x-refrain-cache": "onyl"})
except openai.BadRequestError as wrong:
    print(wrong.body["code"], wrong.body["message"])
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables by which every client of OpenAI's finds the endpoint."""
    with keyed_endpoint(tmp_path_factory.mktemp("state")) as endpoint:
        yield {**os.environ, **endpoint.client_variables, "NO_PROXY": "127.0.0.1"}


def said(command: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=RUN_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_example_in_shell(environment: dict[str, str], tmp_path: Path) -> None:
    out = said(["bash", str(EXAMPLES / "openai.sh"), "What is a shell?"], environment, tmp_path)
    assert "x-refrain-outcome: miss" in out
    assert "What is a shell?" in out
    assert "x-refrain-outcome: hit" in out
    assert out.splitlines()[-1] == "data: [DONE]"


@pytest.mark.skipif(shutil.which("npm") is None or shutil.which("node") is None, reason="node is not installed")
def test_openais_client_in_node(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "openai.ts").write_bytes((EXAMPLES / "openai.ts").read_bytes())
    install = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *PACKAGES]
    try:
        done = subprocess.run(install, cwd=tmp_path, capture_output=True, text=True, timeout=RUN_S)
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not install openai and tsx in time")
    if done.returncode != 0:
        pytest.skip(f"npm could not install openai and tsx: {done.stderr.splitlines()[:1]}")
    first, second = said(["npx", "--no", "tsx", "openai.ts", "What is a node?"], environment, tmp_path).splitlines()
    assert first.startswith("miss: ")
    assert second.removeprefix("streamed: ") == first.removeprefix("miss: ")


def test_langchain(environment: dict[str, str], tmp_path: Path) -> None:
    python = programs(LANGCHAIN) / "python"
    miss, hit, live, replayed, wrong = said([str(python), "-c", CHAIN], environment, tmp_path).splitlines()
    assert (miss.split()[0], hit.split()[0]) == ("miss", "hit")
    assert miss.removeprefix("miss ") == hit.removeprefix("hit ")
    assert "How do I make a chain?" in miss
    # The replayed answer cost no tokens.
    assert live.startswith("True True ")
    assert replayed == live.replace("True True", "True False")
    assert wrong.startswith("bad_header ")
    assert "did you mean only?" in wrong
