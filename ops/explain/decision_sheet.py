"""Lays a decision's facts out as a sheet, and as JSON. Pure."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from refrain.ops.explain.gather import DecisionFacts
from refrain.ops.explain.lines import ago, digits, moment, quoted
from refrain.ops.explain.policies import AppliedPolicy, Chosen, category_lines, chosen_by, rule_lines
from refrain.ops.explain.sentences import remedy, sentence
from refrain.ops.explain.sheet import Row, Section, Sheet
from refrain.ops.explain.thresholds import steps
from refrain.ops.terminal.output import safe
from refrain.schemas.decisions import Decision, Guarded

SERVED_SHOWN = 20
"""Requests that were served from the same entry, as a sheet lists them; JSON has all that were found."""
GUARDS = ("entry", "guard", "verdict", "weight", "words")
CANDIDATES = ("entry", "similarity", "score", "letters", "stems", "head", "age", "verdict", "question")


def decision_sheet(facts: DecisionFacts) -> Sheet:
    """The sheet of a decision."""
    sections = [
        Section("Request", _request(facts)),
        Section("Category", _category(facts), lines=_rule(facts) or ""),
        Section("Threshold and lifetime", _terms(facts)),
        Section("Nearest that is kept", columns=CANDIDATES, table=[_candidate(facts, *each) for each in _named(facts)]),
        Section("Guards", columns=GUARDS, table=_guards(facts)),
        Section("Second opinions", _opinions(facts.decision)),
        _served(facts),
        Section(_policy_heading(facts.policy), lines=_applied(facts) or ""),
        Section("Not to be seen", notes=_unseen(facts)),
    ]
    return Sheet(
        f"Decision {facts.decision.id}",
        sentence(facts),
        remedy(facts),
        [section for section in sections if not section.empty],
    )


def decision_json(facts: DecisionFacts) -> dict[str, Any]:
    """The same for programs: the decision as it is recorded, and what was found beside it."""
    decision = facts.decision
    served = facts.served
    return {
        "kind": "decision",
        "sentence": sentence(facts),
        "would_hit": remedy(facts),
        "decision": decision.model_dump(mode="json"),
        "question": facts.text(),
        "entries": [
            {"entry_id": id_, "question": facts.text_of(id_), "admitted_at_ms": admission.time_ms}
            for id_, admission in facts.admissions.items()
        ],
        "threshold": [{"by": step.by, "threshold": step.threshold} for step in steps(decision, facts.category)],
        "guards": [said.model_dump(mode="json") | {"words": _words(facts, said)} for said in decision.guards],
        "policy": None if facts.policy is None else _policy_json(facts, facts.policy),
        "rule": _rule(facts),
        "served": None
        if served is None
        else {"complete": served.complete, "decisions": [_use(each) for each in served.decisions]},
        "unseen": _unseen(facts),
    }


def _use(decision: Decision) -> dict[str, Any]:
    return {
        "decision_id": decision.id,
        "request_id": decision.request_id,
        "tenant": decision.tenant,
        "time_ms": decision.time_ms,
        "reason": decision.reason.value,
    }


def _policy_json(facts: DecisionFacts, policy: AppliedPolicy) -> dict[str, Any]:
    return {
        "version": policy.version,
        "who": policy.who,
        "why": policy.why,
        "at_ms": policy.at_ms,
        "category": _applied(facts),
    }


def _request(facts: DecisionFacts) -> list[Row]:
    decision, text = facts.decision, facts.text()
    rows = [Row("asked", moment(decision.time_ms))]
    if text is not None:
        rows.append(Row("question", safe(text)))
    rows += [
        Row("outcome", f"{decision.outcome.value}: {decision.reason.value}"),
        Row("request", safe(decision.request_id or "-")),
        Row("tenant", safe(decision.tenant)),
        Row("model", safe(decision.model)),
        Row("journal", f"partition {decision.partition}, offset {decision.offset}"),
        Row("namespace", decision.namespace or "-"),
        Row("search", decision.search),
    ]
    if decision.forward_id is not None:
        rows.append(Row("forward", decision.forward_id))
    depends = decision.depends
    if depends is not None:
        told = f"on now by {depends.volatile_words} words, on who asks by {depends.personal_words}"
        rows.append(Row("depends", told))
    return rows


def _category(facts: DecisionFacts) -> list[Row]:
    decision = facts.decision
    chosen = chosen_by(decision.classifier)
    by = safe(decision.classifier or "not told") if chosen is None else _by(chosen)
    return [Row("category", safe(decision.category or "-")), Row("chosen by", by)]


def _by(chosen: Chosen) -> str:
    what = {
        "request": "the request, which names it",
        "rule": f"rule {chosen.what}",
        "examples": f"the nearest example (embedder {chosen.what})",
        "trained": f"the trained classifier {chosen.what}",
        "none": "nothing: no rule and no example claims it",
    }.get(chosen.by, chosen.by)
    return f"{what}, in policy {chosen.version}"


def _rule(facts: DecisionFacts) -> str | None:
    chosen = chosen_by(facts.decision.classifier)
    if chosen is None or chosen.by != "rule" or facts.chosen is None or not (chosen.what or "").isdigit():
        return None
    return rule_lines(int(chosen.what or 0), facts.chosen.policy)


def _terms(facts: DecisionFacts) -> list[Row]:
    decision = facts.decision
    if decision.threshold is None:
        return []
    way = "; ".join(f"{digits(step.threshold)} by {step.by}" for step in steps(decision, facts.category))
    rows = [
        Row("threshold", digits(decision.threshold)),
        Row("how", way or "not told"),
        Row("load", f"{decision.load:g}"),
    ]
    if decision.ttl_ms is not None:
        base = decision.base_ttl_ms
        moved = f" ({ago(base)} without load)" if base not in (None, decision.ttl_ms) and base is not None else ""
        rows.append(Row("lifetime", ago(decision.ttl_ms) + moved))
    if decision.entry_age_ms is not None:
        rows.append(Row("age", ago(decision.entry_age_ms)))
    if decision.load_only:
        rows.append(Row("by load", "without load it had been a miss"))
    return rows


def _named(facts: DecisionFacts) -> list[tuple[str, ...]]:
    """The candidates; of a hit on the same text, which lists none, the entry that served."""
    decision = facts.decision
    named: list[tuple[str, ...]] = [
        (
            each.entry_id,
            digits(each.similarity),
            digits(each.score),
            "-" if each.letters is None else f"{each.letters / 1_000:g}",
            "-" if each.stems is None else f"{each.stems / 1_000:g}",
            digits(each.head_weight),
            ago(each.age_ms),
            each.verdict,
        )
        for each in decision.candidates
    ]
    if not named and decision.entry_id is not None:
        age = "-" if decision.entry_age_ms is None else ago(decision.entry_age_ms)
        named = [(decision.entry_id, digits(decision.similarity), "-", "-", "-", "-", age, "served")]
    return named


def _candidate(facts: DecisionFacts, entry_id: str, *cells: str) -> list[str]:
    text = facts.text_of(entry_id)
    return [entry_id, *cells, "" if text is None else quoted(text)]


def _words(facts: DecisionFacts, said: Guarded) -> list[str] | None:
    """The words that a guard weighed; None where texts are not read or not shown."""
    weighed = facts.weighed(said.entry_id) if facts.with_text else None
    return None if weighed is None else list(weighed.words_of(said))


def _guards(facts: DecisionFacts) -> list[list[str]]:
    """What the guards said of each entry: a row each of those that found something, and one of all that passed it."""
    rows = []
    for entry_id, of_entry in groupby(facts.decision.guards, lambda said: said.entry_id):
        said = list(of_entry)
        rows += [_guard(facts, each) for each in said if each.verdict != "passed"]
        passed = ", ".join(each.guard.value for each in said if each.verdict == "passed")
        if passed:
            rows.append([entry_id, passed, "passed", "-", ""])
    return rows


def _guard(facts: DecisionFacts, said: Guarded) -> list[str]:
    words = _words(facts, said)
    told = ", ".join(quoted(word) for word in words) if words else ""
    if not told and said.own_words + said.other_words:
        told = f"{said.own_words} of the question, {said.other_words} of the other"
    return [said.entry_id, said.guard.value, said.verdict, digits(said.weight) if said.weight else "-", told]


def _opinions(decision: Decision) -> list[Row]:
    rows = []
    if decision.verifier is not None:
        score = "none in time" if decision.verifier_score is None else f"{decision.verifier_score:g}"
        rows.append(Row("verifier", f"{safe(decision.verifier)}: {score}"))
    if decision.hit_head is not None:
        rows.append(Row("trained head", f"{decision.hit_head}: takes off {digits(decision.head_weight)}"))
    return rows


def _served(facts: DecisionFacts) -> Section:
    served = facts.served
    if served is None:
        return Section("Served from the same entry")
    others = [each for each in served.decisions if each.id != facts.decision.id]
    shown = others[:SERVED_SHOWN]
    notes = [f"{len(others)} others" if served.complete else f"at least {len(others)} others"]
    if len(others) > len(shown):
        notes.append(f"the first {len(shown)} are listed; `refrain served --entry {facts.decision.entry_id}` lists all")
    if not served.complete:
        notes.append("later decisions were not looked through: --who does")
    rows = [
        [moment(each.time_ms), safe(each.tenant), safe(each.request_id or "-"), each.id, each.reason.value]
        for each in shown
    ]
    return Section(
        "Served from the same entry",
        columns=("time", "tenant", "request", "decision", "reason"),
        table=rows,
        notes=notes,
    )


def _policy_heading(policy: AppliedPolicy | None) -> str:
    if policy is None:
        return "Policy"
    return f"Policy {policy.version}, by {safe(policy.who)} at {moment(policy.at_ms)}"


def _applied(facts: DecisionFacts) -> str | None:
    name, category = facts.decision.category, facts.category
    return None if name is None or category is None else category_lines(name, category)


def _unseen(facts: DecisionFacts) -> list[str]:
    return [*facts.missing, *([] if facts.with_text else ["texts of users: --no-text"])]
