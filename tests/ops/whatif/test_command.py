"""`refrain whatif` and `policies apply --after-whatif`, over a recording in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from refrain.ops.cli import application
from refrain.ops.policies.file import write_policy
from refrain.ops.policies.gate import Limits
from refrain.ops.whatif.command import check
from refrain.schemas.policy import Policy
from refrain.streams.errors import BadInput, CommandRefused
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.settings import Settings
from tests.ops.whatif.service import Service
from tests.ops.whatif.traffic import policy, script

RECORDED = policy()


@pytest.fixture(scope="module")
def service() -> Service:
    return Service(RECORDED).run(script(21, 150))


@pytest.fixture(autouse=True)
def _on_the_recording(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @contextmanager
    def cluster(_: Settings) -> Iterator[MemoryCluster]:
        yield service.cluster

    monkeypatch.setattr("refrain.streams.kafka.cluster.KafkaCluster", cluster)
    monkeypatch.setattr("refrain.ops.cluster.connection.reach", lambda _: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFRAIN_CONFIG", raising=False)


def file(name: str, policy: Policy) -> str:
    Path(name).write_text(write_policy(policy), encoding="utf-8")
    return name


def ran(*words: str) -> Result:
    return CliRunner().invoke(application("whatif"), ["whatif", *words])


def test_policies_stand_side_by_side_under_the_names_of_their_files() -> None:
    found = ran(file("near.yaml", policy(threshold=0.75)), file("far.yaml", policy(threshold=0.97)), "--json")
    told = json.loads(found.stdout)
    assert [each["name"] for each in told["policies"]] == ["recorded", "near", "far"]
    live, near, far = (each["all"] for each in told["policies"])
    assert near["hits"] > live["hits"] > far["hits"]
    assert live["requests"] == near["requests"] == 150
    assert far["hits_bounds"][1] == far["hits"]


def test_changed_decisions_and_a_page_are_written() -> None:
    name = file("near.yaml", policy(threshold=0.75))
    found = ran(name, "--changed", "changed.jsonl", "--html", "page.html", "--json")
    rows = [json.loads(line) for line in Path("changed.jsonl").read_text(encoding="utf-8").splitlines()]
    gained = [row for row in rows if row["decisions"]["near"]["outcome"] == "hit"]
    assert len(gained) >= json.loads(found.stdout)["policies"][1]["all"]["gained"] > 0
    assert "<svg" in Path("page.html").read_text(encoding="utf-8")


def test_nothing_is_written_to_the_cluster(service: Service) -> None:
    before = {topic: service.cluster.ends(topic) for topic in ("journal", "decisions", "documents", "responses")}
    assert ran(file("near.yaml", policy(threshold=0.75)), "--json").exit_code == 0
    assert {topic: service.cluster.ends(topic) for topic in before} == before


def test_the_best_single_policy_is_told() -> None:
    assert "by categories" in ran("--uniform").stdout
    told = json.loads(ran("--uniform", "--json").stdout)
    assert told["policies"][1]["name"] == "in force"
    assert told["policies"][1]["all"]["hits"] == told["policies"][0]["all"]["hits"]
    assert told["best_single"] in [each["name"] for each in told["policies"]]


@pytest.mark.parametrize("words", [[], ["--uniform", "near.yaml"], ["near.yaml", "--from", "yesterday"]])
def test_a_wrong_line_is_refused(words: list[str]) -> None:
    file("near.yaml", RECORDED)
    assert ran(*words).exit_code == 2


def test_a_time_in_which_nothing_was_asked_is_told() -> None:
    found = ran(file("near.yaml", policy(threshold=0.75)), "--from", "2026-01-01", "--json")
    assert "nothing was asked in this time" in json.loads(found.stdout)["told"]


def test_one_partition_alone_is_less(service: Service) -> None:
    told = [json.loads(ran(file("near.yaml", RECORDED), "--json", "--partition", str(each)).stdout) for each in (0, 1)]
    assert sum(each["policies"][0]["all"]["requests"] for each in told) == 150


def test_a_file_that_cannot_be_written_is_named() -> None:
    found = ran(file("near.yaml", RECORDED), "--changed", "nowhere/changed.jsonl")
    assert isinstance(found.exception, BadInput)
    assert "nowhere/changed.jsonl cannot be written" in str(found.exception)


def test_meaning_needs_the_embedder_of_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = {
        name: each.model_copy(update={"examples": (f"a {name}",)}) for name, each in RECORDED.categories.items()
    }
    name = file("other.yaml", RECORDED.model_copy(update={"categories": examples}))
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")
    assert ran(name, "--json").exit_code == 0

    class Stranger:
        identity = "another"

    monkeypatch.setattr("refrain.streams.models.loading.load_embedder", lambda *_: Stranger())
    found = ran(name, "--json")
    assert isinstance(found.exception, BadInput)
    assert "embedded by free-1, and the settings load another" in str(found.exception)


def test_a_policy_that_breaks_a_bound_is_not_put_in_force() -> None:
    with pytest.raises(CommandRefused, match=r"of \d+ recorded hits .* would be lost; 5% may"):
        check(Settings(), policy(threshold=1.0, ttl_ms=1), Limits("5%", 0))
    check(Settings(), policy(threshold=0.75), Limits("5%", 0))


def test_bounds_without_a_whatif_are_refused() -> None:
    line = ["policies", "apply", file("near.yaml", RECORDED), "--max-judged-wrong", "0"]
    found = CliRunner().invoke(application("policies"), line)
    assert found.exit_code == 2
    assert "--after-whatif" in found.output
