"""The promises, one function each: what was recorded in, figures and broken promises out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.client import Reply
from schemas.decisions import Decision
from schemas.responses import Outcome, Response
from tests.simulation.records import Recorded, State, digest_of
from tests.simulation.replay import Replayed
from tests.simulation.traffic import question

CALLS_PER_FORWARD_MAX = 1.05
NAMED_MAX = 3
"""Examples named of each broken promise."""
ENDS = {
    Outcome.HIT: {Outcome.HIT},
    Outcome.MISS: {Outcome.MISS, Outcome.ERROR},
    Outcome.COALESCED: {Outcome.COALESCED, Outcome.ERROR},
    Outcome.BYPASS: {Outcome.BYPASS, Outcome.ERROR},
    Outcome.ERROR: {Outcome.ERROR},
}
"""How a request may be answered after each decision: a model may fail."""


@dataclass
class Report:
    """What the checks found so far."""

    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def expect(self, promise: str, exceptions: Iterable[object]) -> None:
        """Note a promise as broken when it has exceptions."""
        found = list(exceptions)
        if found:
            named = "; ".join(str(each) for each in found[:NAMED_MAX])
            self.broken.append(f"{promise}: {len(found)} exceptions, such as {named}")


def answered(report: Report, replies: Sequence[Reply], recorded: Recorded) -> None:
    """Every request has a response, and all responses of one request are the same bytes."""
    report.figures["requests"] = len(replies)
    report.figures["answered"] = sum(reply.response is not None for reply in replies)
    report.expect("every request is answered", (f"{r.request.request_id}: {r.failure}" for r in replies if r.failure))
    report.expect("every record of requests is answered", (a for a in recorded.requests if a not in recorded.responses))
    report.figures["responses_repeated"] = sum(len(found) - 1 for found in recorded.responses.values())
    report.expect(
        "repeated responses are byte-identical", (a for a, found in recorded.responses.items() if len(set(found)) > 1)
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


def stored(report: Report, name: str, documents: Sequence[State], stores: Sequence[str | None]) -> None:
    """The folded `documents` are what the local stores hold."""
    wanted = [digest_of(state) for state in documents]
    different = [at for at, (a, b) in enumerate(zip(wanted, stores, strict=True)) if a != b and (documents[at] or b)]
    report.figures[f"{name}_shards_equal"] = len(wanted) - len(different)
    report.expect(f"{name}: documents equal the local store", (f"shard {at}" for at in different))


def folded_again(
    report: Report, recorded: Recorded, replayed: Sequence[Replayed], documents: Sequence[State], *, graphs: bool
) -> None:
    """A fresh fold gives every decision and response again; with `graphs`, every hit and every exact decision."""
    decisions: dict[str, bytes] = {}
    responses: dict[bytes, bytes] = {}
    for each in replayed:
        decisions |= each.decisions
        responses |= each.responses
    live = {id_: found[0] for id_, found in recorded.decisions.items()}
    different = [id_ for id_, data in live.items() if decisions.get(id_) != data]
    report.figures["folded_again_decisions"] = len(live) - len(different)
    report.expect("a fresh fold decides as often", decisions.keys() ^ live.keys())
    report.expect("a fresh fold decides once", (at for at, each in enumerate(replayed) if each.twice))
    ann = [id_ for id_ in different if graphs and id_ in decisions and _only_search_differs(live[id_], decisions[id_])]
    report.figures["ann_decisions_different"] = len(ann)
    report.expect("a fresh fold gives every decision again", (id_ for id_ in different if id_ not in set(ann)))
    answers = [a for a, data in responses.items() if a not in recorded.responses or recorded.responses[a][0] != data]
    report.figures["folded_again_responses"] = len(responses) - len(answers)
    report.expect("a fresh fold gives every response again", answers)
    report.expect("only what passes the cache is answered past the fold", _unexplained(recorded, responses))
    states = [at for at, state in enumerate(documents) if state and replayed[at].digest != digest_of(state)]
    report.figures["folded_again_states"] = len(documents) - len(states)
    report.expect("a fresh fold gives every state again", (f"shard {at}" for at in states))


def _only_search_differs(live: bytes, again: bytes) -> bool:
    """Whether both searched an HNSW and the live decision was no hit, or the same hit with other candidates."""
    mine, other = Decision.decode(live), Decision.decode(again)
    if "ann" not in (mine.search, other.search):
        return False
    if mine.outcome is Outcome.HIT:
        return (mine.outcome, mine.entry_id, mine.similarity) == (other.outcome, other.entry_id, other.similarity)
    return True


def _unexplained(recorded: Recorded, responses: Mapping[bytes, bytes]) -> Iterable[str]:
    for id_, ask_id in recorded.asked.items():
        if ask_id not in responses and id_ in recorded.decisions:
            decision = Decision.decode(recorded.decisions[id_][0])
            if decision.forward_id is not None and decision.outcome is not Outcome.BYPASS:
                yield f"{id_}: {decision.outcome}"


def missed_by_index(report: Report, recorded: Recorded, exact: Sequence[Replayed]) -> None:
    """Counts what an exact search would have found and the HNSW did not."""
    truth: dict[str, bytes] = {}
    for each in exact:
        truth |= each.decisions
    live = {id_: Decision.decode(found[0]) for id_, found in recorded.decisions.items()}
    by_graph = {id_: decision for id_, decision in live.items() if decision.search == "ann"}
    missed = [
        id_
        for id_, decision in by_graph.items()
        if decision.outcome is not Outcome.HIT and Decision.decode(truth[id_]).outcome is Outcome.HIT
    ]
    report.figures |= {
        "ann_decisions": len(by_graph),
        "ann_hits": sum(decision.outcome is Outcome.HIT for decision in by_graph.values()),
        "index_misses": len(missed),
    }


def remembered(report: Report, name: str, replies: Sequence[Reply], messages: Sequence[Mapping[str, Any]]) -> None:
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


def _is_hit_with(reply: Reply, message: Mapping[str, Any]) -> bool:
    response = reply.response
    if response is None or response.outcome is not Outcome.HIT or response.body is None:
        return False
    told: Mapping[str, Any] = response.body["choices"][0]["message"]
    return told == message


def _told(reply: Reply) -> str:
    if reply.response is None:
        return reply.failure or "no response"
    decision = reply.response.decision
    return f"{reply.response.outcome} ({decision.reason if decision else '-'})"
