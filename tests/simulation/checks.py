"""The promises, one function each: what was recorded in, figures and broken promises out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from refrain.ops.ask.client import AskReply
from refrain.schemas.decisions import Decision
from refrain.schemas.responses import Outcome, Response
from tests.simulation.records import Folded, Recorded, digest_of
from tests.simulation.replay import Replayed
from tests.simulation.traffic import question

CALLS_PER_FORWARD_MAX = 1.05
NAMED_MAX = 3
"""Examples named of each broken promise."""
ENDS = {
    Outcome.HIT: {Outcome.HIT},
    Outcome.MISS: {Outcome.MISS, Outcome.ERROR},
    # A miss where the answer was not kept, so that who asked in other words was forwarded apart.
    Outcome.COALESCED: {Outcome.COALESCED, Outcome.MISS, Outcome.ERROR},
    Outcome.BYPASS: {Outcome.BYPASS, Outcome.ERROR},
    Outcome.ERROR: {Outcome.ERROR},
}
"""How a request may be answered after each decision: a model may fail."""


@dataclass
class Report:
    """What the checks found so far."""

    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    differences: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    """What a fresh fold gave otherwise: what it is, live, and folded again."""

    def expect(self, promise: str, exceptions: Iterable[object]) -> None:
        """Note a promise as broken when it has exceptions."""
        found = list(exceptions)
        if found:
            named = "; ".join(str(each) for each in found[:NAMED_MAX])
            self.broken.append(f"{promise}: {len(found)} exceptions, such as {named}")


def answered(report: Report, replies: Sequence[AskReply], recorded: Recorded) -> None:
    """Every request has a response, and all responses of one request are the same bytes."""
    report.figures["requests"] = len(replies)
    report.figures["answered"] = sum(reply.response is not None for reply in replies)
    report.expect("every request is answered", (f"{r.request.request_id}: {r.failure}" for r in replies if r.failure))
    report.expect("every record of requests is answered", (a for a in recorded.requests if a not in recorded.responses))
    report.figures["responses_repeated"] = sum(len(found) - 1 for found in recorded.responses.values())
    report.expect(
        "repeated responses are byte-identical",
        (
            f"{a!r}: {b' | '.join(sorted(set(found))).decode()}"
            for a, found in recorded.responses.items()
            if len(set(found)) > 1
        ),
    )
    outcomes = Counter(reply.response.outcome.value for reply in replies if reply.response is not None)
    report.figures["outcomes"] = dict(sorted(outcomes.items()))


def decided(report: Report, recorded: Recorded) -> None:
    """One decision a request, of the id that its coordinates give, and the response says the same."""
    report.figures["decisions"] = sum(len(found) for found in recorded.decisions.values())
    report.expect("one decision a request: none is missing", recorded.asked.keys() - recorded.decisions.keys())
    twice = [id_ for id_, found in recorded.decisions.items() if len(found) > 1]
    report.expect("one decision a request: none twice", twice)
    report.expect("no decision without a request", recorded.decisions.keys() - recorded.asked.keys())
    report.expect("decisions stand as the journal had them, each in its shard's partition", recorded.misplaced)
    report.expect("response and decision agree", _disagreeing(recorded))
    reasons = Counter(Decision.decode(found[0]).reason.value for found in recorded.decisions.values())
    report.figures["reasons"] = dict(sorted(reasons.items()))


def _disagreeing(recorded: Recorded) -> Iterable[str]:
    for id_, ask_id in recorded.asked.items():
        if id_ not in recorded.decisions or ask_id not in recorded.responses:
            continue
        decision = Decision.decode(recorded.decisions[id_][0])
        response = Response.decode(recorded.responses[ask_id][0])
        told = response.decision
        if response.outcome not in ENDS[decision.outcome]:
            yield f"{id_}: decided {decision.outcome}, answered {response.outcome}"
        elif told is None or (told.id, told.reason) != (id_, decision.reason.value):
            yield f"{id_}: {decision.reason} decided, {told} told"
        elif (told.partition, told.offset) not in _places(decision):
            yield f"{id_}: of {decision.partition} at {decision.offset}, {told} told"


def _places(decision: Decision) -> list[tuple[int | None, int | None]]:
    """What a response may tell of a decision's place: none, where the request passed by before the journal had it."""
    place = (decision.partition, decision.offset)
    return [place, (None, None)] if decision.namespace is None else [place]


def called(report: Report, calls: Counter[str], forwards: Counter[str]) -> None:
    """The model is hardly ever asked twice for one forward."""
    ratio = sum(calls.values()) / max(1, len(forwards))
    report.figures |= {
        "forwards": len(forwards),
        "forwards_repeated": sum(forwards.values()) - len(forwards),
        "model_calls": sum(calls.values()),
        "calls_per_forward": round(ratio, 4),
    }
    if ratio > CALLS_PER_FORWARD_MAX:
        report.broken.append(f"model calls per forward: {ratio:.3f}, at most {CALLS_PER_FORWARD_MAX}")
    report.expect("every forward reaches the model", (id_ for id_ in forwards if id_ not in calls))


def stored(report: Report, name: str, documents: Sequence[Folded], stores: Sequence[Sequence[str]]) -> None:
    """The folded `documents` are what the local stores hold. `stores` are the digests by shard."""
    used = [at for at, each in enumerate(documents) if each.state]
    different = [at for at in used if not stores[at] or {digest_of(documents[at].state)} != set(stores[at])]
    report.figures[f"{name}_shards_equal"] = len(used) - len(different)
    report.expect(f"{name}: documents equal the local store", (f"shard {at}: {stores[at]}" for at in different))


def folded_again(report: Report, recorded: Recorded, replayed: Sequence[Replayed], documents: Sequence[Folded]) -> None:
    """A fresh fold gives every decision, every response and every state again, byte for byte."""
    decisions: dict[str, bytes] = {}
    responses: dict[bytes, bytes] = {}
    counts: Counter[str] = Counter()
    withheld: set[str] = set()
    for each in replayed:
        withheld |= each.withheld
        decisions |= each.decisions
        responses |= each.responses
        counts += each.counts
    live = {id_: found[0] for id_, found in recorded.decisions.items()}
    different = [id_ for id_, data in live.items() if decisions.get(id_) != data]
    answers = [a for a, data in responses.items() if recorded.responses.get(a, [b""])[0] != data]
    states = [at for at, each in enumerate(documents) if each.state and replayed[at].state != each.state]
    report.expect("a fresh fold decides what was decided, and no more", decisions.keys() ^ live.keys())
    report.expect("a fresh fold decides once", (at for at, each in enumerate(replayed) if each.twice))
    report.expect("a fresh fold gives every decision again", different)
    report.expect("a fresh fold gives every response again", answers)
    report.expect(
        "only what passes the cache, or may not be kept any more, is answered past the fold",
        _unexplained(recorded, responses, withheld),
    )
    report.expect("a fresh fold gives every state again", (f"shard {at}" for at in states))
    report.expect("what an HNSW found is alive and as similar as was said", (w for e in replayed for w in e.wrong))
    report.figures |= {
        "folded_again_decisions": len(live) - len(different),
        "folded_again_responses": len(responses) - len(answers),
        "folded_again_states": len(documents) - len(states),
        "evictions": counts["evicted_cap"],
        "withdrawn": counts["evicted_withdrawn"] + counts["evicted_judged"],
        "answers_withheld": len(withheld),
        "ann_searches": counts["ann"],
        "ann_hits": sum(b'"search":"ann"' in data and b'"outcome":"hit"' in data for data in live.values()),
        "index_misses": counts["ann_missed"],
        "index_lesser_hits": counts["ann_lesser"],
    }
    report.differences += [("decision", live[id_], decisions.get(id_, b"")) for id_ in different]
    report.differences += [("response", recorded.responses.get(a, [b""])[0], responses[a]) for a in answers]
    report.differences += [
        (f"shard {at} {key.decode()}", documents[at].state.get(key, b""), replayed[at].state.get(key, b""))
        for at in states
        for key in sorted(documents[at].state.keys() | replayed[at].state.keys())
        if documents[at].state.get(key) != replayed[at].state.get(key)
    ]


def _unexplained(recorded: Recorded, responses: Mapping[bytes, bytes], withheld: Set[str]) -> Iterable[str]:
    for id_, ask_id in recorded.asked.items():
        if ask_id not in responses and id_ in recorded.decisions and id_ not in withheld:
            decision = Decision.decode(recorded.decisions[id_][0])
            if decision.namespace is not None:
                yield f"{id_}: {decision.outcome}"


def governed(report: Report, commands: Sequence[tuple[int, ...]], taken: Sequence[int]) -> None:
    """Every command that govern took stands once in every shard's journal. `commands` are the versions by shard."""
    report.figures["commands"] = len(taken)
    report.expect(
        "every command is in every shard's journal once",
        (f"shard {at}: {len(mine)} of {len(taken)}" for at, mine in enumerate(commands) if list(mine) != list(taken)),
    )


def remembered(report: Report, name: str, replies: Sequence[AskReply], messages: Sequence[Mapping[str, Any]]) -> None:
    """What was kept is served again: hits, with the same message."""
    report.figures[f"{name}_hits"] = sum(r.response is not None and r.response.outcome is Outcome.HIT for r in replies)
    report.figures[f"{name}_asked"] = len(replies)
    report.expect(
        f"{name}: the cache answers what it answered before",
        (
            f"{question(reply.request)!r}: {_told(reply)}"
            for reply, message in zip(replies, messages, strict=True)
            if not _is_hit_with(reply, message)
        ),
    )


def _is_hit_with(reply: AskReply, message: Mapping[str, Any]) -> bool:
    response = reply.response
    if response is None or response.outcome is not Outcome.HIT or response.body is None:
        return False
    told: Mapping[str, Any] = response.body["choices"][0]["message"]
    return told == message


def _told(reply: AskReply) -> str:
    if reply.response is None:
        return reply.failure or "no response"
    decision = reply.response.decision
    return f"{reply.response.outcome} ({decision.reason if decision else '-'})"
