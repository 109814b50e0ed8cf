"""Sends labels as judgements, where a pair was a served hit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from refrain.ops.hits.labels import LabelledPair
from refrain.schemas.control import Judge
from refrain.streams.errors import CommandRefused

WHY = "labelled as another question by refrain hits label"


class Sent(NamedTuple):
    """Judgements that were taken, and those that govern refused with its reasons."""

    right: int
    wrong: int
    refused: list[tuple[str, str]]


def judgements(pairs: Sequence[LabelledPair], verdicts: Mapping[str, bool], who: str) -> list[Judge]:
    """A judgement for each served hit among the pairs that has none yet, or the other one. The last label counts."""
    labels = {hit.id: (hit, pair.same) for pair in pairs if (hit := pair.hit) is not None}
    return [
        Judge(
            who=who,
            why="" if same else WHY,
            decision_id=hit.id,
            partition=hit.partition,
            offset=hit.offset,
            correct=same,
        )
        for hit, same in labels.values()
        if verdicts.get(hit.id) is not same
    ]


def send_all(commands: Sequence[Judge], send: Callable[[Judge], object]) -> Sent:
    """Send one after another; a refused one is told and does not keep the rest back."""
    refused = []
    for command in commands:
        try:
            send(command)
        except CommandRefused as error:
            refused.append((command.decision_id, str(error)))
    out = {decision for decision, _ in refused}
    taken = [command.correct for command in commands if command.decision_id not in out]
    return Sent(sum(taken), len(taken) - sum(taken), refused)
