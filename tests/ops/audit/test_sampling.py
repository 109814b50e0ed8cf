"""A sample: the same seed draws the same decisions, those are compared as in a whole audit, and others are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refrain.ops.audit.effects import Effects, PublishedEffects
from refrain.ops.audit.findings import Findings, Kind
from refrain.ops.audit.limits import Asked
from refrain.ops.audit.lockstep import Commit, merged
from refrain.ops.audit.partition import Audited, PartitionAudit
from refrain.ops.audit.sampling import Sample, draw, draw_published
from refrain.ops.audit.whole import lay_out
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.columns import META_KEY
from refrain.streams.store.interface import digest
from tests.ops.audit.audited import kinds, recorded, rewrite, rows
from tests.streams.lookup.stage import Stage, moving, traffic
from tests.streams.shard.journal import Journal, near, vector

IDS = [f"0-{number}-tag" for number in range(1_000)]


def sampled(stage: Stage, folder: Path, sample: Sample) -> Audited:
    laid = lay_out(stage.cluster, [0], folder, sample)
    published = PublishedEffects(folder / "0")
    findings = Findings(0)
    try:
        effects = Effects(published, laid.kept_from_ms, findings, sample)
        return PartitionAudit(stage.cluster, 0, effects, findings, sample=sample).run(Asked())
    finally:
        published.close()


def drawn(stage: Stage, count: int, seed: int = 1, asked: Asked = Asked()) -> Sample:  # noqa: B008 - frozen
    return draw_published(stage.cluster, [0], asked, count, seed)


def test_a_seed_draws_the_same_decisions_in_any_order() -> None:
    sample = draw(IDS, 100, 7)
    assert sample == draw(reversed(IDS), 100, 7)
    assert (sample.size, sample.of) == (100, 1_000)
    assert sum(sample.holds(id_) for id_ in IDS) == 100
    others = draw(IDS, 100, 8)
    assert sum(sample.holds(id_) and others.holds(id_) for id_ in IDS) < 50


@pytest.mark.parametrize("seed", [0, -1, 2**70])
def test_any_number_is_a_seed(seed: int) -> None:
    assert sum(draw(IDS, 10, seed).holds(id_) for id_ in IDS) == 10


def test_more_than_there_are_is_all_and_of_none_there_is_none() -> None:
    whole = draw(IDS, 5_000, 1)
    assert (whole.size, whole.of, whole.share_at_most) == (1_000, 1_000, 0)
    assert all(map(whole.holds, IDS))
    none = draw([], 5, 1)
    assert (none.size, none.share_at_most) == (0, 1)
    assert not any(map(none.holds, IDS))


def test_what_a_sample_proves_is_what_chance_leaves() -> None:
    # Of a share of 3 % a sample of 100 finds none once in 21 times, of 2.9 % more often than once in 20.
    assert draw(IDS, 100, 1).share_at_most == pytest.approx(0.0295, abs=1e-4)
    assert (1 - draw(IDS, 100, 1).share_at_most) ** 100 == pytest.approx(0.05)


def test_a_sample_of_an_honest_log_finds_nothing_and_compares_as_many_as_were_drawn(tmp_path: Path) -> None:
    stage = recorded(moving(), commit_records=2)
    found = sampled(stage, tmp_path, drawn(stage, 7))
    counts = found.findings.counts
    assert found.findings.found == []
    assert counts["decisions"] == 7
    assert 0 < counts["responses"] <= 7
    assert counts["records"] == len(rows(stage, "journal"))
    assert found.state == digest(stage.stores[0].scan())


def test_an_altered_decision_is_named_where_the_sample_holds_it_and_not_elsewhere(tmp_path: Path) -> None:
    stage = recorded(traffic())
    sample = drawn(stage, 10)
    held = [sample.holds((record.key or b"").decode()) for record in rows(stage, "decisions")]
    assert sum(held) == 10
    within, without = held.index(True), held.index(False)
    rewrite(stage, "decisions", without, lambda value: value.update(similarity=0.123))
    assert sampled(stage, tmp_path / "a", sample).findings.found == []
    rewrite(stage, "decisions", within, lambda value: value.update(similarity=0.123))
    (one,) = sampled(stage, tmp_path / "b", sample).findings.found
    assert one.kind is Kind.DECISION_DIFFERS
    assert one.what == (rows(stage, "decisions")[within].key or b"").decode()


@pytest.mark.parametrize("topic", ["responses", "forwards"])
def test_of_the_effects_those_of_the_sample_are_compared(topic: str, tmp_path: Path) -> None:
    stage = recorded(traffic())
    sample = drawn(stage, 12)
    altered = []
    for at, record in enumerate(rows(stage, topic)):
        value = json.loads(record.value or b"")
        id_ = value["forward_id"] if topic == "forwards" else value["decision"]["id"]
        if sample.holds(id_):
            altered.append(id_)
        rewrite(stage, topic, at, lambda value: value.update(unheard="of"))
    found = sampled(stage, tmp_path, sample).findings.found
    assert [one.what for one in found] == altered
    assert {one.kind for one in found} == {Kind[f"{topic.removesuffix('s').upper()}_DIFFERS"]}
    assert 0 < len(altered) < len(rows(stage, topic))


def test_the_state_is_compared_whatever_the_sample(tmp_path: Path) -> None:
    stage = recorded(traffic())
    keys = [record.key or b"" for record in rows(stage, "documents")]
    at = next(n for n, key in enumerate(keys) if key.startswith(b"entries/") and keys.count(key) == 1)
    rewrite(stage, "documents", at, lambda value: value.update(model="other"))
    assert kinds(sampled(stage, tmp_path, drawn(stage, 1))) == [Kind.DOCUMENT_DIFFERS]


def test_a_sample_is_of_what_the_limits_leave() -> None:
    stage = recorded(traffic())
    every = len(rows(stage, "decisions"))
    assert drawn(stage, 5).of == every
    assert drawn(stage, 5, asked=Asked(category="code")).of == every
    assert drawn(stage, 5, asked=Asked(category="chat")).of == 0
    assert drawn(stage, 5, asked=Asked(to_ms=1)).of == 0


def large() -> Journal:
    """A namespace past the switch to an approximate index, then questions near its entries."""
    journal = Journal(0)
    journal.policy(limits={"hnsw_from": 16})
    for number in range(20):
        asked = journal.ask(f"q{number}", vector(*[0.0] * (number % 16), 1.0 if number < 16 else -1.0))
        journal.answer(json.loads(asked.value or b"")["id"], f"a{number}")
    for number in range(6):
        journal.ask(f"again {number}", near(0.95))
    return journal


def test_what_an_approximate_index_missed_is_looked_for_in_the_sample_alone(tmp_path: Path) -> None:
    stage = recorded(large())
    whole = sampled(stage, tmp_path / "a", drawn(stage, 1_000))
    few = sampled(stage, tmp_path / "b", drawn(stage, 2, seed=3))
    none = sampled(stage, tmp_path / "c", draw([], 1, 1))
    assert [each.findings.found for each in (whole, few, none)] == [[], [], []]
    assert whole.index_searched > few.index_searched >= none.index_searched == 0
    assert whole.state == few.state == none.state


def test_candidates_that_a_decision_outside_of_the_sample_made_up_are_named(tmp_path: Path) -> None:
    stage = recorded(large())
    at = next(
        n
        for n, record in enumerate(rows(stage, "decisions"))
        if b'"search":"ann"' in (record.value or b"") and b'"outcome":"hit"' in (record.value or b"")
    )
    rewrite(stage, "decisions", at, lambda value: value["candidates"][0].update(similarity=0.999))
    assert Kind.CANDIDATE_WRONG in kinds(sampled(stage, tmp_path, draw([], 1, 1)))


def test_commits_are_merged_as_compaction_might() -> None:
    def commit(offset: int, **rows: bytes) -> Commit:
        changes = {key.encode(): Record("documents", 0, 0, 0, key.encode(), v) for key, v in rows.items()}
        return Commit(offset, "", changes)

    made = list(merged([commit(3, a=b"1", b=b"1"), commit(6, a=b"2"), commit(9, c=b"3")], 5))
    assert [each.next_offset for each in made] == [6, 9]
    assert {key: record.value for key, record in made[0].changes.items()} == {b"a": b"2", b"b": b"1"}
    assert META_KEY not in made[1].changes
