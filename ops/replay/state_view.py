"""Shows what shards knew: JSON for programs, tables for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from refrain.ops.replay.state import KnownState
from refrain.ops.terminal import output
from refrain.ops.terminal.moments import local

SHOWN_MAX = 50
"""Rows of a table of entries or of waiting requests; all with --json."""


def to_json(state: KnownState) -> dict[str, Any]:
    """One shard as one object; texts where they were asked for."""
    stats = state.stats.model_dump(mode="json", exclude={"v", "stopped"})
    return {
        "partition": stats.pop("partition"),
        "offset": state.offset,
        **stats,
        "flights": state.flights,
        "switched_off": state.switched_off,
        "entries_held": [
            {name: value for name, value in each._asdict().items() if name not in ("question", "answer") or value}
            for each in state.entries
        ],
        "requests_waiting": [each._asdict() for each in state.waiting],
        "digest": state.digest,
        "other_version": state.other_version or None,
    }


def show(states: Sequence[KnownState]) -> None:
    """Print the shards, the counters of their categories, the entries, and who waited."""
    output.table(
        ("partition", "offset", "time", "policy", "entries", "flights", "waiting", "withdrawing", "loads", "digest"),
        [_shard(each) for each in states if each.offset],
    )
    for each in states:
        if each.other_version:
            output.hint(
                f"partition {each.stats.partition}: {each.other_version} decided live, and this version may decide"
                " otherwise: what was known live may be another"
            )
    off = sorted({name for each in states for name in each.switched_off})
    if off:
        output.tell("switched off: " + ", ".join("everything" if name == "*" else name for name in off))
    output.table(
        ("partition", "category", "asked", "hits", "coalesced", "forwarded", "passed", "errors", "admitted", "held",
         "threshold", "lifetime"),
        [
            (each.stats.partition, name, now.tally.asked, now.tally.hits, now.tally.coalesced, now.tally.forwarded,
             now.tally.passed, now.tally.errors, now.tally.admitted, now.entries, output.similarity(now.threshold),
             output.span(now.ttl_ms))
            for each in states
            for name, now in each.stats.categories.items()
        ],
    )  # fmt: skip
    _show_rows(
        "entry",
        ("entry", "tenant", "category", "model", "age", "uses", "lifetime", "status", "question", "answer"),
        [
            (e.id, e.tenant, e.category, e.model, output.span(e.age_ms), e.uses, output.span(e.ttl_ms), e.status,
             e.question, _content(e.answer))
            for each in states
            for e in each.entries
        ],
        "entries",
    )  # fmt: skip
    _show_rows(
        "waiting request",
        ("decision", "tenant", "category", "outcome", "waits for", "until its deadline"),
        [(*each[:5], output.span(each.left_ms)) for state in states for each in state.waiting],
    )


def _shard(state: KnownState) -> tuple[object, ...]:
    stats = state.stats
    when = local(stats.time_ms)
    loads = ", ".join(f"{model} {load:.2f}" for model, load in stats.loads.items())
    return (
        stats.partition, state.offset, when, stats.policy_version, stats.entries, state.flights, stats.waiting,
        stats.withdrawing, loads, state.digest[:12],
    )  # fmt: skip


def _show_rows(noun: str, columns: Sequence[str], rows: Sequence[Sequence[object]], plural: str | None = None) -> None:
    used = [at for at in range(len(columns)) if any(row[at] is not None for row in rows)]
    if rows:
        output.table([columns[at] for at in used], [[row[at] for at in used] for row in rows[:SHOWN_MAX]])
    if len(rows) > SHOWN_MAX:
        output.hint(f"{output.counted(len(rows), noun, plural)} in all: --json has them")


def _content(answer: str | None) -> str | None:
    """The words of an answer."""
    if answer is None:
        return None
    try:
        return str(json.loads(answer)["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError):
        return answer
