"""`refrain explain` over recorded runs: what it says of each kind of decision, and what it does not show."""

from __future__ import annotations

import json
import re

import pytest

from refrain.ops.explain.command import Explained, explained
from refrain.ops.explain.gather import DecisionFacts
from refrain.ops.explain.page import page
from refrain.ops.explain.sentences import remedy, sentence
from refrain.ops.explain.sheet import Section, Sheet
from refrain.schemas.base import Dependence
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.journal import LoadChanged
from refrain.schemas.policy import Guard
from refrain.schemas.policy_rules import Match, Rule
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome
from refrain.streams.errors import BadInput
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.shard.behaviour import BEHAVIOUR
from tests.ops.explain.recording import Denied, Recording, Retained
from tests.streams.shard.journal import near, vector

MARKER = "zebrafinch"


def text_of(told: Explained) -> str:
    """All that any of the views shows."""
    return json.dumps(told.json, ensure_ascii=False) + page(told.sheet)


def section(told: Explained, heading: str) -> Section:
    (found,) = (each for each in told.sheet.sections if each.heading.startswith(heading))
    return found


def row(told: Explained, name: str) -> str:
    (found,) = (row.value for each in told.sheet.sections for row in each.rows if row.name == name)
    return found


def guarded() -> Recording:
    """A run whose last question is refused by the guard of numbers."""
    run = Recording(guards=(Guard.NUMBERS,))
    run.ask(f"How many legs have 8 {MARKER} birds?", vector(1.0), "16")
    run.ask(f"How many legs have 9 {MARKER} birds?", near(0.97))
    return run


def test_a_hit_by_meaning_is_told_with_its_age_its_question_and_its_numbers() -> None:
    run = Recording()
    run.ask("How do I do it?", vector(1.0), "so")
    id_ = run.ask("How can one do it?", near(0.95), after_ms=300_000)
    run.run()
    told = explained(run.cluster, id_)
    assert told.sheet.sentence == "served from an answer of 5 minutes ago to `How do I do it?`, 0.95 against 0.90"
    assert told.sheet.remedy is None
    assert row(told, "question") == "How can one do it?"
    assert section(told, "Policy 0, by ops").lines.startswith("code:\n")


@pytest.mark.parametrize("rules", ["1f4575dd", "00000000"])
def test_guards_of_this_version_are_no_others_whatever_rules_looked_at_the_question(rules: str) -> None:
    run = Recording()
    id_ = run.ask("Who is it today?", vector(1.0), depends=Dependence(rules=rules, volatile=("today",)))
    run.run()
    assert explained(run.cluster, id_).json["unseen"] == []


def test_guards_of_another_version_are_told() -> None:
    run = Recording()
    id_ = run.ask("a", vector(1.0), "so")
    run.run()
    row_ = run.cluster.topic("decisions").records[0][0]
    other = (row_.value or b"").replace(BEHAVIOUR.encode(), f"{BEHAVIOUR}0".encode())
    run.cluster.topic("decisions").records[0][0] = row_._replace(value=other)
    assert "the guards that decided" in explained(run.cluster, id_).json["unseen"][0]


def test_a_scan_comes_to_the_first_decision_of_the_fullest_partition() -> None:
    run = Recording()
    first, *_ = [run.ask(f"{number}", vector(float(number + 1))) for number in range(7)]
    run.run()
    assert [len(rows) for rows in run.cluster.topic("decisions").records] == [7, 0]
    assert explained(run.cluster, first, scan_all=True).json["decision"]["id"] == first


@pytest.mark.parametrize("value", [None, b"", b"{", b"[" * 100_000, b'{"v":99}'])
def test_what_is_no_decision_hides_none(value: bytes | None) -> None:
    run = Recording()
    id_ = run.ask("a", vector(1.0), "so")
    run.run()
    run.cluster.append([Outgoing("decisions", b"x", value, (), 0)] * 3)
    for scan_all in (False, True):
        assert explained(run.cluster, id_, scan_all=scan_all).json["decision"]["id"] == id_


def test_a_similarity_that_rounds_to_the_threshold_is_told_by_more_places() -> None:
    run = Recording()
    run.ask("a", vector(1.0), "so")
    id_ = run.ask("b", near(0.8991))
    run.run()
    assert "similar by 0.8991 against 0.9000" in explained(run.cluster, id_).sheet.sentence


def test_a_miss_below_the_threshold_tells_at_which_it_had_been_a_hit() -> None:
    run = Recording()
    run.ask("How do I do it?", vector(1.0), "so")
    id_ = run.ask("How can one do it?", near(0.88))
    (_, missed) = run.run()
    told = explained(run.cluster, id_)
    assert told.sheet.remedy == f"a hit at a threshold of {missed.candidates[0].similarity}"
    assert "`How do I do it?`" in told.sheet.sentence
    again = Recording(threshold=missed.candidates[0].similarity)
    again.ask("How do I do it?", vector(1.0), "so")
    again.ask("How can one do it?", near(0.88), seen_threshold=0.5)
    assert again.run()[-1].outcome is Outcome.HIT


def test_a_guard_is_told_with_the_words_it_weighed_and_what_it_kept_away() -> None:
    run = guarded()
    refused = run.run()[-1]
    assert refused.reason is Reason.GUARD_REFUSED
    told = explained(run.cluster, refused.id)
    assert (
        "the guard numbers (`9`, `8`)" in told.sheet.sentence or "the guard numbers (`8`, `9`)" in told.sheet.sentence
    )
    assert told.sheet.remedy == "a hit without the guard numbers"
    (weighed,) = told.json["guards"]
    assert set(weighed["words"]) == {"8", "9"}


def test_below_the_threshold_the_guards_that_were_never_asked_are_asked() -> None:
    run = Recording(guards=(Guard.NUMBERS,))
    run.ask("How many legs have 8 birds?", vector(1.0), "16")
    id_ = run.ask("How many legs have 9 birds?", near(0.85))
    assert run.run()[-1].reason is Reason.BELOW_THRESHOLD
    assert (
        explained(run.cluster, id_).sheet.remedy == "no threshold alone: the guard numbers refuses the nearest as well"
    )


def test_the_threshold_is_told_step_by_step() -> None:
    run = Recording(threshold_floor=0.8)
    run.journal.add(LoadChanged(version=1, model="m", load=0.5, valid_until_ms=run.journal.time_ms + 1_000_000))
    run.ask("a", vector(1.0), "so")
    id_ = run.ask("b", near(0.86))
    decided = run.run()[-1]
    assert (decided.outcome, decided.threshold) == (Outcome.HIT, 0.85)
    told = explained(run.cluster, id_)
    assert told.json["threshold"] == [
        {"by": "the policy", "threshold": 0.9},
        {"by": "a load of 0.5", "threshold": 0.85},
    ]
    assert row(told, "by load") == "without load it had been a miss"


def test_who_else_was_served_from_the_same_entry_is_listed() -> None:
    run = Recording()
    run.ask("a", vector(1.0), "so")
    hits = [run.ask("b", near(0.95)) for _ in range(3)]
    run.run()
    listed = section(explained(run.cluster, hits[1]), "Served from").table
    assert [line[3] for line in listed] == [hits[0], hits[2]]


def test_the_rule_that_chose_the_category_is_shown() -> None:
    run = Recording(rules=(Rule(when=Match(tag="py"), category="code"),))
    id_ = run.ask("a", vector(1.0), classifier="rule:0@v0")
    run.run()
    told = explained(run.cluster, id_)
    assert row(told, "chosen by") == "rule 0, in policy 0"
    assert section(told, "Category").lines == "- when:\n    tag: py\n  category: code\n"


@pytest.mark.parametrize("mode", [CacheMode.REFRESH, CacheMode.ONLY])
def test_what_the_client_wanted_is_told(mode: CacheMode) -> None:
    run = Recording()
    id_ = run.ask("a", vector(1.0), mode=mode)
    decided = run.run()[-1]
    assert decided.reason in (Reason.REFRESH_ASKED, Reason.NOT_CACHED)
    assert "the client wanted" in explained(run.cluster, id_).sheet.sentence


def test_a_joined_request_is_told_with_the_forward_that_it_waited_for() -> None:
    run = Recording()
    first = run.ask("a", vector(1.0))
    joined = run.ask("a", vector(1.0))
    assert run.run()[-1].outcome is Outcome.COALESCED
    told = explained(run.cluster, joined)
    assert first in told.sheet.sentence
    assert told.sheet.remedy is None


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_reason_has_a_sentence_and_a_remedy(reason: Reason, outcome: Outcome) -> None:
    decision = Decision(
        id="0-0-x", partition=0, offset=0, time_ms=0, tenant="acme", category=None, model="m",
        outcome=outcome, reason=reason,
    )  # fmt: skip
    facts = DecisionFacts(decision=decision)
    assert len(sentence(facts)) > 20
    assert "None" not in sentence(facts) + str(remedy(facts) or "")
    assert (remedy(facts) is None) == (outcome in (Outcome.HIT, Outcome.COALESCED))


def test_no_two_reasons_are_told_alike() -> None:
    def told(reason: Reason) -> str:
        return sentence(
            DecisionFacts(
                decision=Decision(
                    id="0-0-x", partition=0, offset=0, time_ms=0, tenant="a", category=None, model="m",
                    outcome=Outcome.MISS, reason=reason,
                )
            )
        )  # fmt: skip

    assert len({told(reason) for reason in Reason}) == len(Reason)


def test_without_text_no_word_of_a_question_is_in_any_view() -> None:
    run = guarded()
    hit = run.ask(f"How many legs have 8 {MARKER} birds?", vector(1.0))
    decisions = run.run()
    for id_ in [decisions[1].id, hit, decisions[-1].entry_id or ""]:
        assert MARKER in text_of(explained(run.cluster, id_))
        told = explained(run.cluster, id_, with_text=False)
        assert MARKER not in text_of(told)
        assert "`9`" not in text_of(told)


def test_who_may_not_read_the_journal_sees_the_rest() -> None:
    run = guarded()
    refused = run.run()[-1]
    for given in (refused.id, refused.encode().decode()):
        told = explained(Denied(run.cluster, "journal", "documents", "control", "requests"), given)
        assert MARKER not in text_of(told)
        assert "the guard numbers" in told.sheet.sentence
        assert "reading journal is not allowed" in " ".join(section(told, "Not to be seen").notes)
    life = explained(Denied(run.cluster, "journal", "documents", "control"), refused.candidates[0].entry_id)
    assert MARKER not in text_of(life)


def test_a_response_a_decision_and_a_request_id_name_the_same_decision() -> None:
    run = guarded()
    decisions = run.run()
    said = explained(run.cluster, decisions[0].id).json["decision"]
    (response,) = (value for value in run.stage.responses() if json.loads(value)["decision"]["id"] == decisions[0].id)
    for given in (response.decode(), decisions[0].encode().decode(), decisions[0].request_id or ""):
        assert explained(run.cluster, given).json["decision"] == said


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "nothing is named"),
        ("what?", "known forms are"),
        ("{}", "names no decision"),
        ("0-77-000000000000", "no decision 0-77-000000000000 is recorded"),
        ("0-1-elsewher", "of another incarnation of `journal`"),
        ("9-1--_journa", "`journal` has no partition 9"),
        ("0-0--_journa", "a record of the kind PolicySet at offset 0, no answer"),
        ("0-1--_journa", "a record of the kind Asked at offset 1, no answer"),
        ("0-999--_journa", "nothing at offset 999"),
    ],
)
def test_what_is_not_there_is_named(given: str, why: str) -> None:
    run = guarded()
    run.run()
    with pytest.raises(BadInput, match=re.escape(why)):
        explained(run.cluster, given)


def test_what_retention_took_is_named() -> None:
    run = guarded()
    first, last = run.run()
    with pytest.raises(BadInput, match="retention has taken"):
        explained(Retained(run.cluster, "decisions", 1), first.id)
    gone = explained(Retained(run.cluster, "journal", 99), last.id)
    assert any("retention took it" in note for note in section(gone, "Not to be seen").notes)


def test_a_page_holds_nothing_that_leaves_it_and_takes_no_text_for_html() -> None:
    run = Recording()
    run.ask("<script src=//evil.example/x.js></script><img src=x onerror=alert(1)>", vector(1.0), "so")
    id_ = run.ask("<a href='http://evil.example'>go</a>\x1b[2J", near(0.95))
    run.run()
    told = explained(run.cluster, id_)
    assert "\x1b" not in text_of(told).replace("\\u001b", "")
    made = page(told.sheet)
    tags = re.findall(r"<[a-zA-Z/!][^>]*>", made)
    assert not [tag for tag in tags if re.search(r"\b(src|href|srcset|action|data|poster)\s*=", tag)]
    assert not [tag for tag in tags if re.match(r"<(script|img|a|link|iframe|object)\b", tag)]
    assert "url(" not in made
    assert "@import" not in made


def test_an_empty_sheet_is_a_page() -> None:
    assert "<h1>t</h1>" in page(Sheet("t", "s"))


def test_the_entry_that_a_reason_speaks_of_is_told_though_another_is_more_similar() -> None:
    listed = [
        {"entry_id": "0-1-x", "similarity": 0.99, "age_ms": 90_000, "verdict": "expired"},
        {"entry_id": "0-2-x", "similarity": 0.95, "age_ms": 5, "verdict": "guard:names"},
    ]
    decision = Decision.model_validate(
        {
            "id": "0-0-x", "partition": 0, "offset": 0, "time_ms": 0, "tenant": "a", "category": None, "model": "m",
            "outcome": "miss", "reason": "guard_refused", "threshold": 0.9, "candidates": listed,
        }
    )  # fmt: skip
    assert "the guard names decided" in sentence(DecisionFacts(decision=decision))
    expired = decision.model_copy(update={"reason": Reason.EXPIRED})
    assert "it is 1 minute old" in sentence(DecisionFacts(decision=expired))


def test_names_that_clients_choose_move_no_cursor() -> None:
    decision = Decision(
        id="0-0-x", partition=0, offset=0, time_ms=10**17, tenant="a", category=None, model="m",
        outcome=Outcome.MISS, reason=Reason.CONTEXT_DIFFERS, differs=("\x1b[2J",),
    )  # fmt: skip
    assert "\x1b" not in sentence(DecisionFacts(decision=decision)) + (remedy(DecisionFacts(decision=decision)) or "")


def test_a_decision_of_another_version_says_whose_guards_weigh_here() -> None:
    run = guarded()
    refused = run.run()[-1]
    rows = run.cluster.topic("decisions").records[0]
    altered = refused.model_copy(update={"behaviour": "fold-1/0000"})
    rows[-1] = rows[-1]._replace(value=altered.encode())
    assert "fold-1/0000 did" in " ".join(section(explained(run.cluster, refused.id), "Not to be seen").notes)


def test_of_an_entry_that_serves_often_the_first_hits_are_listed_unless_all_are_asked_for() -> None:
    run = Recording()
    run.ask("a", vector(1.0), "so")
    hits = [run.ask("a", vector(1.0)) for _ in range(230)]
    run.run()
    some = explained(run.cluster, hits[0])
    assert (some.json["served"]["complete"], len(some.json["served"]["decisions"])) == (False, 200)
    assert section(some, "Served from").notes[0] == "at least 199 others"
    every = explained(run.cluster, hits[0], who=True)
    assert [each["decision_id"] for each in every.json["served"]["decisions"]] == hits


def test_guards_that_passed_stand_in_one_row_an_entry_below_those_that_found_something() -> None:
    run = Recording(guards=(Guard.NEGATION, Guard.NUMBERS, Guard.CODE), threshold=0.6)
    run.ask("How many legs have 8 birds of the wood in the winter?", vector(1.0), "16")
    run.ask("How many legs have 9 birds of the wood in the winter?", near(0.97))
    first, last = run.run()
    shown = section(explained(run.cluster, last.id), "Guards").table
    found, *passed = shown
    assert (found[1], found[2]) == ("numbers", "refused")
    assert [each[1:4] for each in passed] == [["negation", "passed", "-"]]
    assert len({each[0] for each in shown}) == 1
    assert first.id != last.id
