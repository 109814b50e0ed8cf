"""`refrain bench load` in small: what it counts, that a seed decides everything, and that the load comes and goes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from refrain.ops.bench.load.bench import LoadPlan, run
from refrain.ops.bench.load.figures import bounds, movement, returns, spread
from refrain.ops.bench.load.model import Call, CompletedCall, Connector
from refrain.ops.bench.load.questions import Intent, read_pairs, synthetic_questions
from refrain.ops.bench.load.run import LoadMove, OverloadSample, SimulationRun
from refrain.ops.bench.load.scenario import CATEGORIES, CODER, NEAR_MISSES, START_MS, Phase, capacity_rps
from refrain.ops.bench.load.traffic import traffic
from refrain.ops.cli import application
from refrain.streams.errors import WrongSetup
from refrain.streams.models.hashing_embedder import HashingEmbedder

PHASES = (Phase("calm", 30, 0.5), Phase("overload", 80, 1.6), Phase("rest", 120, 0.3))
PLAN = LoadPlan(seeds=1, phases=PHASES, known=200)


def bench(plan: LoadPlan = PLAN) -> dict[str, Any]:
    return run(synthetic_questions(), HashingEmbedder(), plan, lambda what, done, of: None)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return bench()


def test_a_seed_decides_everything(figures: dict[str, Any]) -> None:
    assert json.dumps(bench()) == json.dumps(figures)


def test_what_is_wanted_is_told_with_what_was_found(figures: dict[str, Any]) -> None:
    assert set(figures["wanted"]) == {
        "cut_pct_at_least_9",
        "load_only_wrong_pct_at_most_10",
        "back_to_base_within_windows_2",
        "turns_of_settled_load_per_min_at_most_half",
    }
    for each in figures["wanted"].values():
        assert set(each) == {"found", "met"}
    assert "made of words" in figures["settings"]["data"]


def test_without_adaptation_no_hit_is_one_of_load_alone(figures: dict[str, Any]) -> None:
    runs = figures["runs"]
    assert runs["base"]["all"]["load_only_hits"]["mean"] == 0
    assert runs["adaptive"]["overload"]["load_only_hits"]["mean"] > 0
    assert runs["relaxed"]["calm"]["load_only_hits"]["mean"] > 0


def test_all_runs_are_asked_the_same(figures: dict[str, Any]) -> None:
    asked = [{name: each["requests"] for name, each in run.items()} for run in figures["runs"].values()]
    assert asked[0] == asked[1] == asked[2]


def test_relief_spares_the_overloaded_model_and_nothing_before(figures: dict[str, Any]) -> None:
    against = figures["against_base"]["adaptive"]
    assert against["calm"]["cut_pct"]["mean"] == 0
    assert against["overload"]["cut_pct"]["mean"] > 0
    assert against["overload"]["extra_hits"]["mean"] > 0


def test_the_load_returns_to_nothing(figures: dict[str, Any]) -> None:
    assert figures["load"]["overload, then"]["highest"]["mean"] > 0
    assert figures["load"]["rest, then"]["lowest"]["mean"] == 0
    assert "missing" not in figures["back_to_base"]["overload"]["windows_after_overload"]


def test_the_command_prints_one_json_line_or_tables() -> None:
    command = ["bench", "load", "--embedder", "free", "--seeds", "1", "--length", "0.05"]
    told = CliRunner().invoke(application("bench"), [*command, "--json"])
    assert (told.exit_code, len(told.stdout.splitlines())) == (0, 1)
    found = json.loads(told.stdout)
    assert (found["settings"]["embedder"], found["settings"]["known_at_start"]) == ("free-1", 100)
    assert sum(phase["seconds"] for phase in found["settings"]["phases"]) == pytest.approx(0.05 * 1_680)
    assert set(found["runs"]) == {"base", "adaptive", "relaxed"}
    for each in found["runs"].values():
        whole = {name: figure["mean"] for name, figure in each["all"].items()}
        parts = [phase["requests"]["mean"] for name, phase in each.items() if name != "all"]
        assert whole["requests"] == sum(parts) > 0
        assert whole["hits"] + whole["coalesced"] + whole["forwards"] <= whole["requests"]
        assert 0 <= whole["wrong_hits"] <= whole["hits"]
        assert 0 <= whole["hit_pct"] <= 100
    shown = CliRunner().invoke(application("bench"), command)
    assert shown.exit_code == 0
    assert "overload\tadaptive" in shown.stdout


# --- questions


def pairs_file(folder: Path, *pairs: tuple[str, str, int]) -> Path:
    path = folder / "pairs.jsonl.gz"
    lines = [json.dumps({"text_a": a, "text_b": b, "label": label}) for a, b, label in pairs]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def test_pairs_that_mean_the_same_become_intents_and_the_others_near_misses(tmp_path: Path) -> None:
    path = pairs_file(tmp_path, ("a", "b", 1), ("b", "c", 1), ("c", "d", 0), ("a", "c", 0), ("e ", "e", 1))
    questions = read_pairs(path)
    assert questions.texts == ["a", "b", "c", "d", "e"]
    assert questions.intents == [Intent((0, 1, 2), (1,)), Intent((3,), (0,)), Intent((4,), ())]
    assert "1 pairs that contradict" in questions.data


@pytest.mark.parametrize("line", ["junk", "[]", '{"text_a":"a","text_b":"b"}', '{"text_a":"a","text_b":"","label":1}'])
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"text_a":"a","text_b":"b","label":0}\n' + line)
    with pytest.raises(WrongSetup, match="line 2"):
        read_pairs(path)


def test_a_damaged_file_and_one_without_near_misses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongSetup, match="label 0"):
        read_pairs(pairs_file(tmp_path, ("a", "b", 1)))
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(b"no gzip")
    with pytest.raises(WrongSetup, match="cannot be read"):
        read_pairs(damaged)


# --- traffic


def test_traffic_keeps_to_the_shares_and_rates() -> None:
    arrivals = traffic(synthetic_questions(), 1, (Phase("one", 400, 1.0),), 0, NEAR_MISSES)
    assert len(arrivals) == pytest.approx(400 * capacity_rps(), rel=0.1)
    for place, category in enumerate(CATEGORIES):
        share = sum(each.category == place for each in arrivals) / len(arrivals)
        assert share == pytest.approx(category.share, abs=0.03)


def test_a_near_miss_asks_another_intent_than_was_asked_before() -> None:
    intents = synthetic_questions().intents
    asked: set[int] = set()
    for each in traffic(synthetic_questions(), 2, PHASES, 100, NEAR_MISSES):
        if each.kind == "near_miss":
            assert each.intent not in asked
            assert asked & set(intents[each.intent].near)
        elif each.kind in ("same", "reworded"):
            assert each.intent in asked
        asked.add(each.intent)


# --- the model


def test_calls_wait_in_order_and_late_ones_are_not_made() -> None:
    connector = Connector("m", slots=1, open_max=2, median_ms=1_000, sigma=0.0, seed=1)
    for number in range(3):
        assert connector.take(Call(f"0-{number}-x", 900 if number == 2 else 60_000), 0) == []
    assert connector.samples(0)[0].queue_depth == 3
    assert connector.next_ms == 1_000
    assert connector.advance(1_000) == [CompletedCall("0-0-x", True, 1_000), CompletedCall("0-2-x", False, 0)]
    assert connector.advance(2_000) == [CompletedCall("0-1-x", True, 2_000)]
    assert connector.samples(2_000)[0].latency_p95_ms == 2_000
    assert connector.samples(2_000)[0].queue_depth == 0


# --- figures


def test_movement_counts_changes_and_turns() -> None:
    phases = (Phase("overload", 120, 2.0),)
    loads = [(1, 0.5), (2, 0.6), (61, 0.5), (70, 0.7), (80, 0.5)]
    moved = [LoadMove(START_MS + at * 1_000, CODER, load) for at, load in loads]
    seen = [OverloadSample(START_MS + 60_000, True, 0.6), OverloadSample(START_MS + 90_000, True, 0.5)]
    told = movement(SimulationRun([], moved, seen), phases)
    assert told["overload, then"] == {"changes_per_min": 3, "turns_per_min": 2, "lowest": 0.5, "highest": 0.6}


def test_the_return_to_base_counts_from_the_end_of_the_overload() -> None:
    phases = (Phase("overload", 10, 2.0), Phase("rest", 60, 0.5))
    _, fell = bounds(phases)["overload"]
    seen = [OverloadSample(fell + at * 1_000, at < 20, 0.0 if at >= 25 else 1.0) for at in range(60)]
    found = returns(SimulationRun([], [], seen), phases, 10_000)
    assert found == {"overload": {"windows_after_arrivals_fall": 2.5, "windows_after_overload": 0.5}}


def test_a_spread_tells_of_seeds_that_found_nothing() -> None:
    assert spread([{"a": 1}, {"a": 3}]) == {"a": {"mean": 2.0, "sd": 1.41}}
    assert spread([{"a": None}, {"a": 3}]) == {"a": {"mean": 3.0, "sd": 0.0, "missing": 1}}
