"""What is told of a what-if: figures with bounds, sentences for what they rest on, the page, bounds for `apply`."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from refrain.ops.policies.gate import Limits as Gate
from refrain.ops.whatif import bounds, figures, page, report, uniform
from refrain.ops.whatif.ledger import Row
from refrain.ops.whatif.recording import Recording
from refrain.ops.whatif.run import WhatIf, run
from refrain.schemas.control import Judge, SetPolicy
from refrain.schemas.journal import Tick
from refrain.schemas.policy import CategoryPolicy, ModelPolicy, Policy, Prices
from refrain.schemas.policy_rules import Match, Rule
from refrain.streams.errors import BadInput, JournalUnreadable
from refrain.streams.kafka.interface import Outgoing
from tests.ops.whatif.service import Ask, Give, Service
from tests.ops.whatif.traffic import policy, script

RECORDED = policy().model_copy(
    update={"models": {"m": ModelPolicy(prices=Prices(input_per_million=100_000, output_per_million=1_000_000))}}
)
QUESTIONS = script(11, 250)


def first_repeat() -> int:
    """The number of a question that was asked before in the same words, long before."""
    asked = [each._replace(at_ms=0) for each in QUESTIONS if isinstance(each, Ask)]
    return next(number for number, each in enumerate(asked) if number > 50 and each in asked[: number - 10])


@pytest.fixture(scope="module")
def service() -> Service:
    """With one hit that was judged wrong."""
    at_ms = QUESTIONS[first_repeat()].at_ms + 1
    judge = Give(at_ms, Judge(who="w", decision_id="-", correct=False), first_repeat())
    return Service(RECORDED).run(sorted([*QUESTIONS, judge], key=lambda each: each.at_ms))


@pytest.fixture(scope="module")
def found(service: Service) -> WhatIf:
    others = {"near": policy(threshold=0.75), "far": policy(threshold=0.97), "off": policy(threshold=1.0, ttl_ms=1)}
    return run(Recording(service.cluster), others)


def test_totals_are_those_of_the_decisions(service: Service, found: WhatIf) -> None:
    decisions = service.decisions().values()
    whole = found.recorded.whole()
    assert whole.asked == len(decisions) == len(QUESTIONS)
    assert whole.hits == sum(each.outcome.value == "hit" for each in decisions)
    assert whole.forwards == len(service.cluster.records("forwards"))
    assert whole.saved_ms == sum(each.saved_ms for each in decisions)
    assert whole.saved_tokens == sum(each.saved_tokens for each in decisions)
    assert sum(found.recorded.hits_by_time) == whole.hits
    assert whole.entries == sum(found.recorded.of(name).entries for name in found.recorded.by_category)


def test_gained_and_lost_hits_make_up_the_difference(found: WhatIf) -> None:
    live = found.recorded.whole()
    for tally in found.alternatives:
        whole = tally.whole()
        assert whole.hits - live.hits == whole.gained - whole.lost
        assert whole.asked == live.asked
    near, far, off = (tally.whole() for tally in found.alternatives)
    assert (far.gained, off.hits) == (0, 0)
    assert near.gained > near.lost
    assert far.lost > 0
    assert far.hit_bounds().low < far.hit_bounds().high
    assert near.hits_assumed < far.hits_assumed


def test_a_hit_that_was_judged_wrong_is_avoided_by_a_policy_without_hits(found: WhatIf) -> None:
    near, _, off = (tally.whole() for tally in found.alternatives)
    assert found.recorded.whole().wrong >= 1
    assert near.wrong >= 1
    assert (off.wrong, off.wrong_avoided, off.wrong_added) == (0, found.recorded.whole().wrong, 0)


def test_money_is_what_the_answers_of_models_cost(service: Service, found: WhatIf) -> None:
    journal = [json.loads(record.value or b"") for record in service.cluster.records("journal")]
    answers = [each for each in journal if each["kind"] == "Answered"]
    used = [json.loads(each["body"]["data"])["usage"] for each in answers]
    cost = sum(each["prompt_tokens"] * 0.1 + each["completion_tokens"] for each in used)
    told = figures.to_json(found)["policies"]
    assert told[0]["all"]["money"] == pytest.approx(cost)
    assert told[1]["all"]["money"] < cost < told[2]["all"]["money"]
    assert sum(each["money"] for each in told[0]["categories"].values()) == pytest.approx(cost)


def test_without_prices_no_money_is_told(service: Service) -> None:
    found = run(Recording(Service(policy()).run(script(12, 30)).cluster), {"near": policy(threshold=0.75)})
    assert figures.to_json(found)["policies"][0]["all"]["money"] is None


def test_the_changed_decisions_are_handed_on_with_both_sides(service: Service) -> None:
    rows: list[Row] = []
    found = run(Recording(service.cluster), {"near": policy(threshold=0.75)}, on_changed=rows.append)
    sides = [(row, row["decisions"]["recorded"]["outcome"], row["decisions"]["near"]["outcome"]) for row in rows]
    gained = [row for row, was, is_ in sides if is_ == "hit" != was]
    assert len(gained) == found.alternatives[0].whole().gained
    assert len({row["request"] for row in rows}) == len(rows)
    assert all(row["decisions"]["near"]["answered_by"] in service.ids for row in gained)
    assert not [row for row in rows if row["decisions"]["near"] == row["decisions"]["recorded"]]


def test_the_table_has_a_row_a_category_and_policy(found: WhatIf, capsys: pytest.CaptureFixture[str]) -> None:
    report.show(found)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines if line[0] == "all"] == ["recorded", "near", "far", "off"]
    assert {line[0] for line in lines[1:17]} == {"all", "code", "chat", "uncategorised"}


class Looked(HTMLParser):
    """What a browser would fetch of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action") and not (value or "").startswith("#"):
                self.fetched.append(f"{tag} {name}={value}")


def test_the_page_has_three_plots_and_fetches_nothing(found: WhatIf) -> None:
    text = page.page(found)
    looked = Looked()
    looked.feed(text)
    assert looked.fetched == []
    assert looked.tags.count("svg") == 3
    assert {"link", "script", "img", "iframe"}.isdisjoint(looked.tags)
    assert not re.search(r"@import|url\((?!#)", text)
    ids = re.findall(r'<clipPath id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_names_of_policies_are_text_on_the_page(service: Service) -> None:
    text = page.page(run(Recording(service.cluster), {"<script>x</script>": policy()}))
    assert "<script" not in text


def test_a_page_that_cannot_be_written_is_named(found: WhatIf, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        page.write(found, tmp_path / "nowhere" / "page.html")


@pytest.mark.parametrize(
    ("name", "limits", "why"),
    [
        ("near", Gate("50%", None), None),
        ("far", Gate("1%", None), "would be lost"),
        ("far", Gate("100%", None), None),
        ("off", Gate("5", None), "would be lost"),
        ("near", Gate(None, 0), "judged wrong"),
        ("off", Gate(None, 0), None),
        ("near", Gate(None, 1_000), None),
    ],
)
def test_a_policy_that_breaks_a_bound_is_told_with_its_figures(
    name: str, limits: Gate, why: str | None, found: WhatIf
) -> None:
    one = found._replace(alternatives=[tally for tally in found.alternatives if tally.name == name])
    broken = bounds.broken(one, limits)
    assert [why in each for each in broken] == [True] if why else broken == []


@pytest.mark.parametrize("text", ["", "five", "-1", "101%", "5 %%", "1e3"])
def test_a_bound_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no bound"):
        bounds.lost_hits_max(text, 100)


def test_single_policies_are_alike_for_all_categories_and_keep_what_is_never_kept() -> None:
    own = Policy(
        categories={
            "code": CategoryPolicy(threshold=0.95, threshold_floor=0.9, ttl_ms=1_000),
            "chat": CategoryPolicy(threshold=0.7, ttl_ms=5_000, threshold_ceiling=0.9),
            "secret": CategoryPolicy.model_validate({"cache": "never"}),
        }
    )
    singles = uniform.grid(own)
    assert len(singles) == 2 * 5
    for each in singles.values():
        Policy.model_validate(each.model_dump())
        kept = [each.categories[name] for name in ("code", "chat")]
        assert len({(one.threshold, one.ttl_ms, one.quota) for one in kept}) == 1
        assert each.categories["secret"] == own.categories["secret"]


def test_the_best_single_policy_serves_no_more_wrong_answers(service: Service) -> None:
    singles = {uniform.IN_FORCE: RECORDED, **uniform.grid(RECORDED)}
    mine, *others = run(Recording(service.cluster), singles).alternatives
    best = uniform.best(mine, others)
    assert best is not None
    assert best.whole().wrong <= mine.whole().wrong
    able = [each.whole() for each in others if each.whole().wrong <= mine.whole().wrong]
    assert best.whole().saved_ms == max(each.saved_ms for each in able)
    assert "by categories" in report.best_sentence(mine, best)


def test_categories_that_never_occur_and_those_that_are_gone_are_told(service: Service) -> None:
    categories = {name: each for name, each in RECORDED.categories.items() if name != "chat"}
    other = RECORDED.model_copy(update={"categories": {**categories, "legal": CategoryPolicy()}})
    told = " ".join(run(Recording(service.cluster), {"other": other}).told)
    assert "nothing was asked of legal" in told
    assert "questions of chat, which it does not define" in told


def test_requests_without_text_in_the_journal_are_told() -> None:
    never = CategoryPolicy.model_validate({"cache": "never"})
    rules = (Rule(when=Match(pattern="kafka"), category="secret"),)
    categories = {**RECORDED.categories, "secret": never}
    recorded = Service(RECORDED.model_copy(update={"categories": categories, "rules": rules})).run(script(13, 60))
    found = run(Recording(recorded.cluster), {"all": RECORDED})
    passed = found.alternatives[0].whole().passed
    assert passed > 0
    assert f"{passed} requests went past the cache without text" in found.told[0]


def test_a_journal_without_a_policy_is_refused() -> None:
    empty = Service(RECORDED)
    empty.cluster.append([Outgoing("journal", None, Tick().encode(), (), 0)])
    with pytest.raises(BadInput, match="no policy was ever in force"):
        Recording(empty.cluster).survey()


def test_a_partition_whose_first_records_are_gone_is_left_out_and_told(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = service.cluster.ends("journal")
    monkeypatch.setattr(service.cluster, "ends", lambda topic: {0: (7, ends[0][1]), 1: ends[1]})
    found = run(Recording(service.cluster), {"other": RECORDED})
    assert "partition 0: its journal begins at offset 7" in found.told[0]
    assert found.recorded.whole().asked < len(QUESTIONS)
    monkeypatch.setattr(service.cluster, "ends", lambda topic: {0: (7, 9), 1: (3, 4)})
    with pytest.raises(BadInput, match="no partition of the journal can be folded"):
        Recording(service.cluster)


def test_a_partition_that_does_not_exist_is_refused(service: Service) -> None:
    with pytest.raises(BadInput, match="partitions 0 to 1, no 2"):
        Recording(service.cluster, [2])


def test_a_record_of_another_version_ends_it_by_name() -> None:
    service = Service(RECORDED).run(script(14, 20))
    service.cluster.append([Outgoing("journal", None, b'{"kind":"Tick","v":99}', (), 0)])
    with pytest.raises(JournalUnreadable, match="version 99"):
        run(Recording(service.cluster), {"other": RECORDED})


def test_where_another_version_decided_it_is_told() -> None:
    service = Service(RECORDED).run(script(15, 20))
    rows = service.cluster.topic("decisions").records
    for partition in rows:
        partition[:] = [
            each._replace(value=re.sub(rb'"behaviour":"[^"]*"', b'"behaviour":"fold-1/0"', each.value or b""))
            for each in partition
        ]
    assert "fold-1/0 decided" in run(Recording(service.cluster), {"other": RECORDED}).told[0]


def test_a_later_policy_takes_the_place_of_the_recorded_one() -> None:
    asked = script(16, 40)
    last = asked[-1].at_ms + 20_000
    recorded = Service(RECORDED).run([*asked, Give(last, SetPolicy(who="w", policy=policy(threshold=0.8)))])
    found = run(Recording(recorded.cluster), {"far": policy(threshold=0.97)})
    assert found.recorded.policy.categories["code"].threshold == 0.8
    assert found.alternatives[0].whole().hits < found.recorded.whole().hits


@pytest.mark.parametrize(("seconds", "unit"), [(20, "seconds"), (300, "minutes"), (10_000, "hours"), (900_000, "days")])
def test_a_plot_tells_time_in_a_unit_that_fits(found: WhatIf, seconds: int, unit: str) -> None:
    span = found.span._replace(last_ms=found.span.first_ms + seconds * 1_000)
    assert f"{unit} since its start" in page.page(found._replace(span=span))


def test_a_policy_has_one_colour_in_all_plots(found: WhatIf) -> None:
    over_time, saved, _ = re.findall(r"<svg.*?</svg>", page.page(found), re.DOTALL)
    drawn = [re.findall(r"stroke: (#[0-9a-f]{6}); stroke-width: 1\.[25]", plot) for plot in (over_time, saved)]
    assert set(drawn[1]) < set(drawn[0])
