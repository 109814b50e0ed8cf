"""What the bench of eviction reports, on streams of a few hundred questions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from refrain.ops.bench import evict
from refrain.ops.bench.evict import BOUND, ORDERS, Stream, Workload
from refrain.ops.cli import application
from refrain.streams.errors import BadInput

TINY = Workload(catalogue=40, requests=400)


@pytest.fixture(scope="module")
def results() -> list[dict[str, Any]]:
    return [evict.run_order(order, seed, TINY) for seed in (1, 2) for order in (*ORDERS, BOUND)]


def test_the_same_seed_gives_the_same_figures(results: list[dict[str, Any]]) -> None:
    assert evict.run_order("value", 1, TINY) == results[0]
    assert results[0]["cost_saved"] != results[len(ORDERS) + 1]["cost_saved"]


def test_no_order_saves_more_than_the_bound_and_the_bound_no_more_than_all(results: list[dict[str, Any]]) -> None:
    for seed in (1, 2):
        saved = {each["order"]: each["cost_saved"] for each in results if each["seed"] == seed}
        assert 0 < max(saved[order] for order in ORDERS) <= saved[BOUND] <= 1


def test_with_room_for_all_every_order_saves_everything() -> None:
    roomy = TINY._replace(room_share=1.0, once_share=0.0)
    assert [evict.run_order(order, 1, roomy)["cost_saved"] for order in (*ORDERS, BOUND)] == [1.0] * 5


def test_a_stream_holds_its_share_of_questions_that_come_once() -> None:
    questions = evict.stream(TINY._replace(requests=4_000), 3).questions
    once = questions[questions >= TINY.catalogue]
    assert len(np.unique(once)) == len(once)
    assert len(once) / 4_000 == pytest.approx(TINY.once_share, abs=0.03)


def test_the_bound_fills_the_room_with_the_spans_of_most_worth_for_their_length() -> None:
    # Spans: 0 of length 2 and cost 8, 1 of length 2 and cost 6, one slot for 4 requests: both fit.
    asked = Stream(np.array([0, 1, 0, 1]), np.array([8, 6]))
    assert evict.bound_ms(Workload(catalogue=2, requests=4, room_share=0.5), asked) == 14.0
    # Spans of length 3 and cost 9 twice, one slot for 6 requests, and one of length 1: the last is cut.
    asked = Stream(np.array([0, 1, 2, 0, 1, 1]), np.array([9, 6, 1]))
    assert evict.bound_ms(Workload(catalogue=2, requests=6, room_share=0.5), asked) == 6.0 + 9.0 + 6.0 * 2 / 3


def test_the_command_prints_figures_for_programs_and_rows_for_people(results: list[dict[str, Any]]) -> None:
    arguments = ["bench", "evict", "--catalogue", "40", "--requests", "400", "--seeds", "2", "--jobs", "1"]
    told = CliRunner().invoke(application("bench"), [*arguments, "--json"])
    assert told.exit_code == 0
    assert json.loads(told.stdout) == json.loads(json.dumps(evict.figures(TINY, [1, 2], results)))
    shown = list(evict.rows(json.loads(told.stdout)))
    assert [row[0] for row in shown] == [*ORDERS, BOUND]
    assert all(len(row) == len(evict.COLUMNS) for row in shown)


def test_a_stream_in_which_nothing_is_asked_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="nothing is asked twice"):
        evict.run(TINY._replace(once_share=1.0), [1], 1, lambda: None)
