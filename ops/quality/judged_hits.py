"""Samples from judged hits of the running system: the judgements in `control`, joined with `decisions` by id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from refrain.ops.cluster.scan import records
from refrain.ops.quality.calibration import Sample
from refrain.schemas.control import Judge, decode_command
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Cluster, Record

CONTROL, DECISIONS = "control", "decisions"


class JudgedHits(NamedTuple):
    """Samples by category, and how many judgements there were in all."""

    samples: dict[str, list[Sample]]
    judgements: int


def judged_hits(cluster: Cluster) -> JudgedHits:
    """Collect every judged hit by meaning; of several judgements of one decision the last counts."""
    said = verdicts(cluster)
    found: dict[str, list[Sample]] = defaultdict(list)
    # By id: a decision may stand in the topic twice.
    for decision in {each.id: each for each in _decisions(cluster, said)}.values():
        if _is_hit_by_meaning(decision) and decision.category is not None and decision.similarity is not None:
            similarity = decision.similarity if decision.score is None else decision.score
            sample = Sample(similarity, said[decision.id], decision.threshold or 0.0)
            found[decision.category].append(sample)
    return JudgedHits(dict(sorted(found.items())), len(said))


def verdicts(cluster: Cluster) -> dict[str, bool]:
    """Whether the answer of each judged decision was right, by the decision's id; the last judgement counts."""
    found: dict[str, bool] = {}
    for record in records(cluster, CONTROL, "reading judgements"):
        try:
            command = decode_command(record.value or b"")
        except ValidationError:
            continue
        if isinstance(command, Judge):
            found[command.decision_id] = command.correct
    return found


def _decisions(cluster: Cluster, judged: Mapping[str, bool]) -> list[Decision]:
    if not judged:
        return []
    scanned = records(cluster, DECISIONS, "reading what was judged")
    # The record's key is the decision's id: what was not judged is not even read.
    mine = (record for record in scanned if (record.key or b"").decode(errors="replace") in judged)
    return [decision for record in mine if (decision := _decision(record)) is not None]


def _decision(record: Record) -> Decision | None:
    try:
        return Decision.decode(record.value or b"")
    except ValidationError:
        return None


def _is_hit_by_meaning(decision: Decision) -> bool:
    """The same text says nothing of how near is near enough, and a stale answer may be wrong for its age."""
    return decision.outcome is Outcome.HIT and decision.reason is Reason.SIMILAR_TEXT
