"""The state at a point is what the worker had committed there, told in its parts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refrain.ops.replay import state_view
from refrain.ops.replay.state import KnownState, Wanted, state_at
from refrain.ops.replay.stretch import Stretch
from refrain.ops.terminal.points import Point
from refrain.schemas.journal import CacheSwitched, EntriesInvalidated, LoadChanged
from refrain.streams.errors import BadInput
from refrain.streams.store.interface import digest
from tests.ops.audit.audited import recorded, rewrite, rows
from tests.ops.replay.copying import asked_id, run
from tests.streams.lookup.stage import Stage
from tests.streams.shard.journal import DIM, Journal, vector


def known(stage: Stage, point: Point | None = None, wanted: Wanted = Wanted()) -> KnownState:  # noqa: B008
    (state,) = state_at(stage.cluster, Stretch(stage.cluster, [0], point), wanted)
    return state


def told() -> Journal:
    """Two entries, one served twice; a question that waits; a load; a switch of another category."""
    journal = Journal()
    journal.policy(ttl_ms=600_000, ttl_cap_ms=1_200_000)
    journal.answer(asked_id(journal.ask("first", vector(1.0))), "one")
    journal.answer(asked_id(journal.ask("second", vector(0.0, 1.0), tenant="other", space="other")), "two")
    journal.ask("first", vector(1.0))
    journal.ask("first", vector(1.0))
    journal.add(LoadChanged(version=1, model="m", load=0.5, valid_until_ms=10**12))
    journal.add(CacheSwitched(version=2, on=False, category="secret"))
    journal.ask("third", vector(0.0, 0.0, 1.0))
    return journal


def test_the_state_at_the_end_is_that_of_the_worker() -> None:
    stage = run()
    first, second = state_at(stage.cluster, Stretch(stage.cluster), Wanted())
    assert [first.digest, second.digest] == [digest(stage.stores[number].scan()) for number in range(2)]
    held = [key for key, _ in stage.stores[0].scan(b"entries/")]
    assert len(first.entries) == len(held) == first.stats.entries > 0


def test_what_an_approximate_index_did_not_find_live_is_not_known_either() -> None:
    journal = Journal()
    journal.policy(limits={"hnsw_from": 16})
    where = [vector(*row) for row in np.random.default_rng(7).normal(size=(20, DIM))]
    for number, each in enumerate(where):
        journal.answer(asked_id(journal.ask(f"q{number}", each)), f"a{number}")
    journal.ask("in other words", where[3])
    stage = recorded(journal)
    decisions = [json.loads(record.value or b"") for record in rows(stage, "decisions")]
    (at,) = (n for n, each in enumerate(decisions) if each["outcome"] == "hit")
    assert decisions[at]["search"] == "ann"
    whole = known(stage)
    assert whole.digest == digest(stage.stores[0].scan())
    rewrite(stage, "decisions", at, lambda value: value.update(candidates=[]))
    assert known(stage).digest != whole.digest


def test_entries_waiting_loads_and_counters_are_told() -> None:
    state = known(recorded(told()))
    one, two = state.entries
    assert (one.tenant, one.category, one.uses, one.ttl_ms, one.status) == ("acme", "code", 2, 900_000, "alive")
    assert (two.tenant, two.uses) == ("other", 0)
    assert [(each.tenant, each.outcome) for each in state.waiting] == [("acme", "miss")]
    assert (state.stats.policy_version, state.stats.loads, state.flights) == (0, {"m": 0.5}, 1)
    assert state.switched_off == ["secret"]
    assert (state.stats.categories["code"].tally.hits, state.stats.categories["code"].tally.asked) == (2, 5)


def test_what_came_later_was_not_known() -> None:
    stage = recorded(told())
    before, after = (known(stage, Point("", offset=offset)) for offset in (2, 3))
    assert [len(before.entries), len(before.waiting), len(after.entries), len(after.waiting)] == [0, 1, 1, 0]
    assert known(stage, Point("0", offset=0)).stats.policy_version is None


def test_entries_on_their_way_out_say_so() -> None:
    journal = told()
    journal.add(EntriesInvalidated(version=3, tenant="acme"))
    assert [each.status for each in known(recorded(journal)).entries] == ["withdrawn", "alive"]


def test_entries_of_one_category_and_tenant_are_chosen() -> None:
    stage = recorded(told())
    assert [each.tenant for each in known(stage, None, Wanted(tenant="other")).entries] == ["other"]
    assert known(stage, None, Wanted(category="secret")).entries == []
    with pytest.raises(BadInput, match=r"nothing of category 'chat' was known there; .* categories code, secret"):
        known(stage, None, Wanted(category="chat"))
    with pytest.raises(BadInput, match="nothing of tenant 'nobody' was known there"):
        known(stage, None, Wanted(tenant="nobody"))


def test_texts_are_told_only_where_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    stage = recorded(told())
    for wanted, there in ((Wanted(), False), (Wanted(text=True), True)):
        state = known(stage, None, wanted)
        state_view.show([state])
        shown = capsys.readouterr().out + json.dumps(state_view.to_json(state))
        assert ("second" in shown, "two" in shown) == (there, there)
        assert state.digest in shown
