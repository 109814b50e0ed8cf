"""Trained heads in force: those that a policy brings along, ready to compare texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from refrain.schemas.hit_heads import HitHead
from refrain.streams.models.hit_head import PairHead


def heads_of(heads: Iterable[HitHead], known: Mapping[str, PairHead]) -> dict[str, PairHead]:
    """The heads of a policy by version; those that are `known` are not made again."""
    return {head.version: known.get(head.version) or PairHead(head) for head in heads}
