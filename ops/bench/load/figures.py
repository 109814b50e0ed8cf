"""Figures of `refrain bench load`: counts and shares of each phase, and means with spreads over the seeds."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from refrain.ops.bench.load.run import LoadMove, Mode, OverloadSample, QuestionOutcome, SimulationRun
from refrain.ops.bench.load.scenario import CATEGORIES, CODER, SLOTS, START_MS, Phase, mean_service_s
from refrain.schemas.responses import Outcome
from refrain.streams.settings import Adapt

RISE_S = 60.0
"""From the start of a phase until its load is taken to be settled."""
OVERLOAD = "overload"
MINUTE_MS = 60_000
Figures = dict[str, float | None]


def bounds(phases: Sequence[Phase]) -> dict[str, tuple[int, int]]:
    """When each phase starts and ends (ms)."""
    start_ms, found = START_MS, {}
    for phase in phases:
        end_ms = start_ms + round(phase.seconds * 1_000)
        found[phase.name] = (start_ms, end_ms)
        start_ms = end_ms
    return found


def question_figures(outcomes: Iterable[QuestionOutcome]) -> Figures:
    """Counts and shares (percent) of some questions."""
    asked = list(outcomes)
    hits = [each for each in asked if each.outcome is Outcome.HIT]
    joined = [each for each in asked if each.outcome is Outcome.COALESCED]
    only = [each for each in hits if each.load_only]
    below = [each for each in only if each.below]
    only_joined = [each for each in joined if each.load_only]
    return {
        "requests": len(asked),
        "forwards": sum(each.forwarded for each in asked),
        "hits": len(hits),
        "hit_pct": _pct(len(hits), len(asked)),
        "coalesced": len(joined),
        "unanswered": sum(each.right is None for each in asked),
        "wrong_hits": _wrong(hits),
        "wrong_hits_pct": _pct(_wrong(hits), len(hits)),
        "stale_hits": _stale(hits),
        "stale_hits_pct": _pct(_stale(hits), len(hits)),
        "load_only_hits": len(only),
        "load_only_wrong": _wrong(only),
        "load_only_wrong_pct": _pct(_wrong(only), len(only)),
        "load_only_stale": _stale(only),
        "load_only_below_threshold": len(below),
        "load_only_below_threshold_wrong_pct": _pct(_wrong(below), len(below)),
        "load_only_coalesced": len(only_joined),
        "load_only_coalesced_wrong": _wrong(only_joined),
    }


def by_phase(run: SimulationRun, phases: Sequence[Phase]) -> dict[str, Figures]:
    """The overloaded model's questions of each phase, and of all of them together."""
    mine = [each for each in run.outcomes if CATEGORIES[each.category].model == CODER]
    found = {
        name: question_figures(each for each in mine if start <= each.at_ms < end)
        for name, (start, end) in bounds(phases).items()
    }
    return {**found, "all": question_figures(each for each in mine if each.at_ms >= START_MS)}


def by_category(run: SimulationRun, phase: tuple[int, int]) -> dict[str, float | None]:
    """The share (percent) of each category's questions of a phase that was served from the cache."""
    served, asked = Counter[int](), Counter[int]()
    for each in run.outcomes:
        if phase[0] <= each.at_ms < phase[1]:
            asked[each.category] += 1
            served[each.category] += each.outcome in (Outcome.HIT, Outcome.COALESCED)
    return {category.name: _pct(served[place], asked[place]) for place, category in enumerate(CATEGORIES)}


def compared(base: Mapping[str, Figures], other: Mapping[str, Figures]) -> dict[str, Figures]:
    """Comparison by phase: what the other run spares the model (percent of forwards), and its additional hits."""
    return {
        name: {
            "cut_pct": _pct(_of(figures, "forwards") - _of(other[name], "forwards"), _of(figures, "forwards")),
            "extra_hits": _of(other[name], "hits") - _of(figures, "hits"),
        }
        for name, figures in base.items()
    }


def demand(base: Figures, seconds: float) -> float:
    """Demand on the model without adaptation, as a multiple of its capacity."""
    return _of(base, "forwards") / seconds / (SLOTS / mean_service_s())


def movement(run: SimulationRun, phases: Sequence[Phase]) -> dict[str, Figures]:
    """Changes and turns of the load a minute, its lowest and its highest; the first `RISE_S` of a phase apart."""
    found: dict[str, Figures] = {}
    for name, (start, end) in bounds(phases).items():
        settled = min(end, start + round(RISE_S * 1_000))
        found[f"{name}, first minute"] = _movement(run, start, settled)
        found[f"{name}, then"] = _movement(run, settled, end)
    return found


def returns(run: SimulationRun, phases: Sequence[Phase], window_ms: int) -> dict[str, Figures]:
    """Recovery after each phase at or over the model's capacity: windows until the shard is back at base.

    Counted from the fall of the arrivals, and from the end of the overload: from when on the model's samples are within
    its targets for a whole window, its backlog worked off. None: not before the run ends.
    """
    found: dict[str, Figures] = {}
    for phase in phases:
        if phase.demand < 1:
            continue
        fell_ms = bounds(phases)[phase.name][1]
        after = [each for each in run.overload_samples if each.at_ms >= fell_ms]
        base_ms = next((each.at_ms for each in after if each.load == 0), None)
        over_ms = _overload_end(after, window_ms)
        found[phase.name] = {
            "windows_after_arrivals_fall": _windows(base_ms, fell_ms, window_ms),
            "windows_after_overload": _windows(base_ms, over_ms, window_ms),
        }
    return found


def spread(rows: Sequence[Any]) -> Any:
    """Mean and standard deviation of each number over the seeds."""
    if isinstance(rows[0], dict):
        return {key: spread([row[key] for row in rows]) for key in rows[0]}
    known = [float(row) for row in rows if row is not None]
    if not known:
        return {"mean": None, "sd": None, "missing": len(rows)}
    figures = {"mean": round(statistics.fmean(known), 2), "sd": round(statistics.stdev(known), 2) if known[1:] else 0.0}
    return figures if len(known) == len(rows) else {**figures, "missing": len(rows) - len(known)}


def seed_figures(runs: Mapping[Mode, SimulationRun], phases: Sequence[Phase]) -> dict[str, Any]:
    """All figures of one seed."""
    phased = {mode.value: by_phase(run, phases) for mode, run in runs.items()}
    first = next(iter(bounds(phases).values()))
    base = phased[Mode.BASE.value]
    adaptive = runs[Mode.ADAPTIVE]
    return {
        "runs": phased,
        "against_base": {mode.value: compared(base, phased[mode.value]) for mode in (Mode.ADAPTIVE, Mode.RELAXED)},
        "demand_of_capacity": {phase.name: demand(base[phase.name], phase.seconds) for phase in phases},
        "load": movement(adaptive, phases),
        "back_to_base": returns(adaptive, phases, Adapt().window_ms),
        "base_served_pct": by_category(runs[Mode.BASE], first),
        "asked_pct": _kinds(runs[Mode.BASE].outcomes),
    }


def _movement(run: SimulationRun, start: int, end: int) -> Figures:
    minutes = (end - start) / MINUTE_MS
    loads = [each.load for each in run.overload_samples if start <= each.at_ms < end]
    if not minutes or not loads:
        return {"changes_per_min": None, "turns_per_min": None, "lowest": None, "highest": None}
    steps = _steps(run.load_moves, start, end)
    turns = sum(before * after < 0 for before, after in pairwise(steps))
    return {
        "changes_per_min": len(steps) / minutes,
        "turns_per_min": turns / minutes,
        "lowest": min(loads),
        "highest": max(loads),
    }


def _steps(load_moves: Sequence[LoadMove], start: int, end: int) -> list[float]:
    """Steps of the load at each change between the two moments."""
    mine = [each for each in load_moves if each.model == CODER and each.at_ms < end]
    before = [0.0, *(each.load for each in mine)]
    return [each.load - was for each, was in zip(mine, before, strict=False) if each.at_ms >= start]


def _overload_end(after: Sequence[OverloadSample], window_ms: int) -> int | None:
    since: int | None = None
    for each in after:
        since = None if each.over else since if since is not None else each.at_ms
        if since is not None and each.at_ms - since >= window_ms:
            return since
    return None


def _windows(to_ms: int | None, from_ms: int | None, window_ms: int) -> float | None:
    return None if to_ms is None or from_ms is None else max(0.0, (to_ms - from_ms) / window_ms)


def _kinds(outcomes: Sequence[QuestionOutcome]) -> dict[str, float | None]:
    kinds = Counter(each.kind for each in outcomes if each.at_ms >= START_MS)
    return {kind: _pct(kinds[kind], kinds.total()) for kind in ("same", "reworded", "near_miss", "new")}


def _wrong(outcomes: Sequence[QuestionOutcome]) -> int:
    return sum(each.right is False for each in outcomes)


def _stale(outcomes: Sequence[QuestionOutcome]) -> int:
    return sum(each.stale is True for each in outcomes)


def _of(figures: Figures, name: str) -> float:
    return figures[name] or 0.0


def _pct(part: float, whole: float) -> float | None:
    return 100 * part / whole if whole else None
