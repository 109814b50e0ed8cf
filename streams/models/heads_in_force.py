"""Trained heads in force: those that a policy brings along, ready to compare texts."""

from __future__ import annotations

from collections.abc import Mapping

from refrain.schemas.policy import Policy
from refrain.streams.models.hit_head import PairHead

Heads = Mapping[str, PairHead]
"""By version."""


def heads_of(policy: Policy | None, known: Heads) -> dict[str, PairHead]:
    """The heads of a policy; those that are `known` are not made again."""
    heads = () if policy is None else policy.hit_heads
    return {head.version: known.get(head.version) or PairHead(head) for head in heads}
