"""Says in a sentence what a person would say of a decision, and what would have made a hit of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from refrain.ops.explain.gather import DecisionFacts
from refrain.ops.explain.lines import against, ago, digits, quoted
from refrain.ops.terminal.output import safe
from refrain.schemas.decisions import Candidate, Reason
from refrain.schemas.responses import Outcome

THRESHOLD_LEAST = 0.5
"""Policies take none below it."""
Say = Callable[[DecisionFacts], str]


def sentence(facts: DecisionFacts) -> str:
    """What a person would say of the decision."""
    # What differs is told by names of body fields, which clients choose.
    return safe(SENTENCES[facts.decision.reason](facts))


def remedy(facts: DecisionFacts) -> str | None:
    """What would have made a hit of it; None for what was served from the cache or joined."""
    decision = facts.decision
    if decision.outcome in (Outcome.HIT, Outcome.COALESCED):
        return None
    return safe(REMEDIES[decision.reason](facts))


def _age(facts: DecisionFacts) -> str:
    age = facts.decision.entry_age_ms
    return "an earlier answer" if age is None else f"an answer of {ago(age)} ago"


def _to(facts: DecisionFacts, entry_id: str | None) -> str:
    text = facts.text_of(entry_id)
    if text is not None:
        return quoted(text)
    return "another question" if entry_id is None else f"another question ({entry_id})"


def _against(facts: DecisionFacts) -> str:
    decision = facts.decision
    if decision.score is None or decision.score == decision.similarity:
        return against(decision.similarity, decision.threshold)
    return f"{digits(decision.similarity)}, of which differences leave {against(decision.score, decision.threshold)}"


def _nearest(facts: DecisionFacts) -> str:
    best = facts.best
    if best is None:
        return "nothing near it is kept"
    return (
        f"the nearest that is kept, {_to(facts, best.entry_id)}, is similar by"
        f" {against(best.similarity, facts.threshold)}"
    )


def _miss(why: str) -> Say:
    return lambda facts: f"{_how(facts)}: {why}; {_nearest(facts)}"


def _plain(why: str) -> Say:
    return lambda facts: f"{_how(facts)}: {why}"


def _how(facts: DecisionFacts) -> str:
    outcome = facts.decision.outcome
    if outcome is Outcome.ERROR:
        return "not answered"
    return "passed by the cache and answered by the model" if outcome is Outcome.BYPASS else "answered by the model"


def _below(facts: DecisionFacts) -> str:
    return f"{_how(facts)}: no kept question is similar enough; {_nearest(facts)}"


def _guarded(facts: DecisionFacts) -> str:
    best = facts.best
    guard = "" if best is None else best.verdict.removeprefix("guard:")
    weighed = None if best is None or not facts.with_text else facts.weighed(best.entry_id)
    said = [each for each in facts.decision.guards if best and (each.entry_id, each.guard) == (best.entry_id, guard)]
    words = weighed.words_of(said[0]) if weighed is not None and said else ()
    shown = f" ({', '.join(quoted(word) for word in words)})" if words else ""
    return f"{_how(facts)}: the guard {guard or 'of the category'}{shown} decided against it; {_nearest(facts)}"


def _expired(facts: DecisionFacts) -> str:
    best = facts.best
    old = "" if best is None else f": it is {ago(best.age_ms)} old"
    lifetime = "" if facts.decision.ttl_ms is None else f", and its lifetime is {ago(facts.decision.ttl_ms)}"
    return f"{_how(facts)}: the best match has outlived its time{old}{lifetime}; {_nearest(facts)}"


def _verified(facts: DecisionFacts) -> str:
    score = facts.decision.verifier_score
    told = "" if score is None else f" with {score:g}"
    return f"{_how(facts)}: the second opinion says{told} that another question was asked; {_nearest(facts)}"


def _observed(facts: DecisionFacts) -> str:
    entry = facts.decision.entry_id
    if entry is None:
        return f"{_how(facts)}: the category is only observed; {_nearest(facts)}"
    return f"{_how(facts)}: the category is only observed; {_to(facts, entry)} would have served, {_against(facts)}"


def _in_flight(facts: DecisionFacts) -> str:
    forward = facts.decision.forward_id or "on its way"
    similar = "" if facts.decision.similarity is None else f", {_against(facts)}"
    return f"answered together with a question that was on its way to the model already ({forward}){similar}"


def _depends(why: str) -> Say:
    def say(facts: DecisionFacts) -> str:
        question = facts.question if facts.with_text else None
        found = None if question is None else question.asked.depends
        words = () if found is None else (*found.volatile, *found.personal)
        shown = f" ({', '.join(quoted(word) for word in words)})" if words else ""
        return f"{_how(facts)}: {why}{shown}"

    return say


SENTENCES: Mapping[Reason, Say] = {
    Reason.EXACT_TEXT: lambda facts: f"served from {_age(facts)} to the same text",
    Reason.SIMILAR_TEXT: lambda facts: (
        f"served from {_age(facts)} to {_to(facts, facts.decision.entry_id)}, {_against(facts)}"
    ),
    Reason.STALE: lambda facts: (
        f"served once more from {_age(facts)} to {_to(facts, facts.decision.entry_id)}, beyond its lifetime of"
        f" {ago(facts.decision.ttl_ms or 0)}, while a new one is fetched"
    ),
    Reason.IN_FLIGHT: _in_flight,
    Reason.NAMESPACE_EMPTY: _plain("nothing is kept yet for this tenant, category and context"),
    Reason.CONTEXT_DIFFERS: lambda facts: (
        f"{_how(facts)}: the same text is kept under another context; what differs is"
        f" {', '.join(facts.decision.differs) or 'not told'}"
    ),
    Reason.BELOW_THRESHOLD: _below,
    Reason.EXPIRED: _expired,
    Reason.WITHDRAWN: _miss("the best match has been withdrawn"),
    Reason.GUARD_REFUSED: _guarded,
    Reason.HEAD_REFUSED: _miss("the category's trained head takes too much off the similarity"),
    Reason.AMBIGUOUS: _miss("two kept questions with different answers are too close to each other"),
    Reason.UNCORROBORATED: _miss("its answer came from one question alone, and the category asks for two"),
    Reason.VERIFIER_REFUSED: _verified,
    Reason.VERIFIER_SILENT: _miss("no second opinion came in time"),
    Reason.EXACT_ONLY: _plain("it may only match the same text, and that is not kept"),
    Reason.REFRESH_ASKED: _plain("the client wanted a new answer"),
    Reason.OBSERVED: _observed,
    Reason.NO_POLICY: _plain("no policy was known yet"),
    Reason.CATEGORY_NEVER: _plain("answers of its category are never kept"),
    Reason.VOLATILE: _depends("its answer depends on now, and the category keeps none that does"),
    Reason.PERSONAL: _depends("its answer depends on who asks, and is not kept"),
    Reason.CATEGORY_UNKNOWN: _plain("the client named a category that the policy does not define"),
    Reason.BYPASS_ASKED: _plain("the client wanted no cache"),
    Reason.SWITCHED_OFF: _plain("an operator had switched the cache off"),
    Reason.WAITING_FULL: _plain("too many requests of the shard waited for a model"),
    Reason.TOO_LARGE: _plain("what would be remembered of it is larger than is kept"),
    Reason.TENANT_LIMIT: _plain("the tenant asks more, or has more waiting, than the policy grants it"),
    Reason.SHARD_STOPPED: _plain("its shard had stopped, and questions pass by it until it is mended"),
    Reason.READ_AGAIN: _plain("it was read again after an outage, and another shard may have it already"),
    Reason.OVERLOAD: _plain("it waited too long for its vector"),
    Reason.NOT_CACHED: _miss("the client wanted an answer from the cache only, and there is none"),
    Reason.DEADLINE_PASSED: _plain("its deadline was over before it could be looked up"),
    Reason.FOLD_FAILED: _plain("its record could not be folded; it is in dead-letters"),
}


def _by_threshold(facts: DecisionFacts, best: Candidate) -> str:
    """What threshold a candidate would have served at."""
    weighed = facts.weighed(best.entry_id)
    if weighed is not None and weighed.evidence.refused is not None:
        return f"no threshold alone: the guard {weighed.evidence.refused.value} refuses the nearest as well"
    left = best.score if weighed is None else weighed.score(best.similarity)
    left = best.similarity if left is None else min(left, best.similarity)
    if left < THRESHOLD_LEAST:
        return f"no threshold: the nearest comes to {digits(left)}, and policies take none below {THRESHOLD_LEAST}"
    policy = facts.category
    told = weighed is not None or best.score is not None or (policy is not None and not policy.guards)
    asked = "" if told else ", if no guard refuses it"
    return f"a hit at a threshold of {digits(left)}{asked}"


def _lower(facts: DecisionFacts) -> str:
    return "a kept answer to a question like it" if facts.best is None else _by_threshold(facts, facts.best)


def _without_guards(facts: DecisionFacts) -> str:
    best = facts.best
    if best is None:
        return "a kept answer to a question like it"
    named = best.verdict.removeprefix("guard:")
    least = f", or at a threshold of {digits(best.score)}" if (best.score or 0) >= THRESHOLD_LEAST else ""
    if facts.weighed(best.entry_id) is None:
        return f"a hit without the guard {named}{least}, if no guard after it refuses"
    guards = facts.in_the_way(best)
    if not guards:
        return f"not without its guards either{least}"
    names = [guard.value for guard in guards]
    return f"a hit without the {'guard' if len(names) == 1 else 'guards'} {' and '.join(names)}{least}"


def _longer(facts: DecisionFacts) -> str:
    best = facts.best
    return "a longer lifetime" if best is None else f"a hit with a lifetime above {ago(best.age_ms)} (`ttl_ms`)"


def _not_cached(facts: DecisionFacts) -> str:
    best = facts.best
    if best is not None and best.verdict.startswith("guard:"):
        return _without_guards(facts)
    return _longer(facts) if best is not None and best.verdict == "expired" else _lower(facts)


def _fixed(text: str) -> Say:
    return lambda _: text


REMEDIES: Mapping[Reason, Say] = {
    Reason.EXACT_TEXT: _fixed("nothing: the same text is kept"),
    Reason.SIMILAR_TEXT: _fixed("nothing: a question like it is kept"),
    Reason.STALE: _fixed("nothing: it may be served once beyond its lifetime"),
    Reason.IN_FLIGHT: _fixed("an answer that came before it"),
    Reason.NAMESPACE_EMPTY: _fixed("an answer that is kept for the same tenant, category and context"),
    Reason.CONTEXT_DIFFERS: lambda facts: (
        f"a hit with the same {', '.join(facts.decision.differs) or 'context'}, or with it left out of the context"
        " (`leave_out`, `mask`)"
    ),
    Reason.BELOW_THRESHOLD: _lower,
    Reason.EXPIRED: _longer,
    Reason.WITHDRAWN: _fixed("a hit before the withdrawal; a new answer is kept again"),
    Reason.GUARD_REFUSED: _without_guards,
    Reason.HEAD_REFUSED: lambda facts: "a hit without the trained head (`hit_head`), or: " + _lower(facts),
    Reason.AMBIGUOUS: _fixed("a smaller `margin`, or one answer to both"),
    Reason.UNCORROBORATED: _fixed("a hit with `corroborate: 1`, or once a second question brings the same answer"),
    Reason.VERIFIER_REFUSED: lambda facts: (
        f"a hit with `verify` at {facts.decision.verifier_score:g} or below"
        if facts.decision.verifier_score
        else "a hit without a second opinion (`verify`)"
    ),
    Reason.VERIFIER_SILENT: _fixed("a second opinion within `verify_timeout_ms`, or none asked for"),
    Reason.EXACT_ONLY: _fixed("the same text, asked and answered before"),
    Reason.REFRESH_ASKED: _fixed("the mode `use`"),
    Reason.OBSERVED: lambda facts: (
        "a hit with `cache: allow`" if facts.decision.entry_id else "with `cache: allow`: " + _lower(facts)
    ),
    Reason.NO_POLICY: _fixed("a policy (`refrain policies apply`)"),
    Reason.CATEGORY_NEVER: _fixed("a category whose answers are kept (`cache: allow`)"),
    Reason.VOLATILE: _fixed("`volatile: allow`, or a lifetime of its own"),
    Reason.PERSONAL: _fixed("`personal: allow`, or a request that names who asks"),
    Reason.CATEGORY_UNKNOWN: _fixed("a category that the policy defines"),
    Reason.BYPASS_ASKED: _fixed("the mode `use`"),
    Reason.SWITCHED_OFF: _fixed("the cache switched on (`refrain on`)"),
    Reason.WAITING_FULL: _fixed("room among what waits (`limits.waiting_max`)"),
    Reason.TOO_LARGE: _fixed("a smaller question"),
    Reason.TENANT_LIMIT: _fixed("fewer questions at once, or higher limits (`tenants`)"),
    Reason.SHARD_STOPPED: _fixed("a shard that goes on (`refrain shards list`)"),
    Reason.READ_AGAIN: _fixed("no outage at that moment"),
    Reason.OVERLOAD: _fixed("more capacity to embed (`classify`)"),
    Reason.NOT_CACHED: _not_cached,
    Reason.DEADLINE_PASSED: _fixed("a later deadline"),
    Reason.FOLD_FAILED: _fixed("a record that can be folded"),
}
