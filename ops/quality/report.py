"""Report of `refrain evaluate`: put together for programs, and as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from refrain.ops.data.intervals import CONFIDENCE
from refrain.ops.data.lines import BadLine, Pair, Unreadable, bad_lines_summary, text_of_value, value_of
from refrain.ops.data.vectors import Compared
from refrain.ops.quality.pooled import EACH_FILE, EACH_PAIR
from refrain.ops.quality.precision import Labelled, figures, shares_by
from refrain.ops.quality.stages import FLOOR, NAMES, Mask, Scores, Stages
from refrain.ops.terminal import output
from refrain.streams.errors import WrongValue

GROUPS_MAX = 50
"""Values of the field of `--by`: a field with more tells pairs apart, not kinds of pairs."""
POOLED = {EACH_FILE: "each file alike", EACH_PAIR: "each pair alike"}
POOLED_CELLS = ("precision", "recall", "false hits")
SHOWN = (0.70, 0.75, 0.80, 0.85, 0.88, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)
"""Thresholds of the table for people; programs get all."""


def labelled(compared: Compared, scores: Scores) -> Labelled:
    """The pairs of one stage as numbers: a pair counts by its score (n) at that stage."""
    same = np.array([pair.label for pair in compared.pairs], dtype=np.bool_)
    return Labelled(scores, same, scores >= FLOOR)


def groups_by(pairs: Sequence[Pair], field: str) -> dict[str, Mask]:
    """Groups of pairs (masks of n) by the value of a field. Raises WrongValue for one missing or with too many."""
    try:
        values = [text_of_value(value_of(pair.row, field)) for pair in pairs]
    except Unreadable as error:
        raise WrongValue(f"--by {field}: some lines are without it") from error
    names = sorted(set(values))
    if len(names) > GROUPS_MAX:
        raise WrongValue(f"--by {field}: it has {len(names)} values, more than {GROUPS_MAX}: name a field with few")
    found = np.array(values, dtype=object)
    return {name: found == name for name in names}


def report(
    compared: Compared, stages: Stages, bad: Sequence[BadLine], about: Mapping[str, Any], groups: Mapping[str, Mask]
) -> dict[str, Any]:
    """Report for JSON; `about` describes its inputs."""
    positives = sum(pair.label for pair in compared.pairs)
    made: dict[str, Any] = {
        **about,
        "pairs": len(compared.pairs),
        "same": positives,
        "different": len(compared.pairs) - positives,
        "unseen_differs": compared.unseen,
        "bad_lines": bad_lines_summary(bad),
        "confidence": CONFIDENCE,
        "refused": stages.refused,
        "stages": {name: figures(labelled(compared, scores)) for name, scores in stages.scores.items()},
    }
    if groups:
        made["by"] = {
            name: shares_by(labelled(compared, scores), dict(groups)) for name, scores in stages.scores.items()
        }
        made["groups"] = {name: int(np.count_nonzero(mask)) for name, mask in groups.items()}
    return made


def wrongly_served(compared: Compared, stages: Stages) -> Iterator[dict[str, Any]]:
    """The pairs of label 0 that the last stage lets through, the most similar first."""
    scores = list(stages.scores.values())[-1]
    served = np.flatnonzero(scores >= FLOOR)
    for number in sorted(served, key=lambda n: (-scores[n], compared.pairs[n].line)):
        pair = compared.pairs[number]
        if not pair.label:
            told = {"similarity": float(compared.similarities[number]), "score": float(scores[number])}
            yield {"line": pair.line, **told, "text_a": pair.text_a, "text_b": pair.text_b}


def show(made: Mapping[str, Any]) -> None:
    """Print the report of labelled pairs for people: of one file, or of several and pooled."""
    if "files" not in made:
        return _show_file(made)
    for each in made["files"]:
        output.hint(f"\n{each['name']}")
        _show_file(each, each["name"])
    names = [each["name"] for each in made["files"]]
    for way, title in POOLED.items():
        pooled = made["pooled"][way]
        output.table(("pool", "stage", "threshold", *POOLED_CELLS), _pooled_rows(title, pooled), f"Pooled, {title}")
        columns = ("pool", "precision", "stage", "threshold", "recall", "reached", *(f"recall of {n}" for n in names))
        output.table(columns, _pooled_best_rows(title, pooled, names), f"The best recall with one threshold, {title}")
    return None


def _show_file(made: Mapping[str, Any], name: str | None = None) -> None:
    output.hint(
        f"{output.counted(made['pairs'], 'pair')} ({made['same']} the same, {made['different']} not) by"
        f" {made['embedder']}; intervals of {made['confidence']:.0%}"
    )
    show_bad(made["bad_lines"], made["file"])
    if made["unseen_differs"]:
        differ = output.counted(made["unseen_differs"], "pair")
        output.hint(f"{differ} never served: what differs is beyond the embedder's window, or not read by it")

    def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str) -> None:
        """Where there are several files each row names its own: where no terminal is, tables have no title."""
        if name is None:
            return output.table(columns, rows, title)
        return output.table(("file", *columns), ((name, *row) for row in rows), title)

    stages = made["stages"]
    cells = ("served", "precision", "recall", "false hits")
    table(("stage", "threshold", *cells), _threshold_rows(stages), "What a threshold does")
    table(("precision", "stage", "threshold", "recall", "reached"), _best_rows(stages), "The best recall")
    if refused := list(_refused_rows(made["refused"])):
        table(("guard", "the same, refused", "not the same, refused"), refused, "What guards refuse")
    if "by" in made:
        names = list(made["groups"])
        columns = ("stage", "threshold", *(f"{name} ({made['groups'][name]})" for name in names))
        table(columns, _group_rows(made["by"], names), "The share that is served")


def show_queries(made: Mapping[str, Any]) -> None:
    """Print the report of a question stream for people."""
    output.hint(f"{output.counted(made['requests'], 'question')} by {made['embedder']}; intervals of {CONFIDENCE:.0%}")
    show_bad(made["bad_lines"], made["file"])
    parts = {"all": made, **made["by_category"]}
    cells = ("hit_rate", "precision", "false_hits", "answered_before")
    lines = [
        (name, str(each["hit_rate"]["of"]), *(percent(each[cell]) for cell in cells)) for name, each in parts.items()
    ]
    columns = ("category", "questions", "hit rate", "precision of hits", "false hits of all", "hits of those possible")
    output.table(columns, lines, "Hits")
    output.table(("outcome", "questions"), [(name, str(n)) for name, n in made["reasons"].items()], "Why")
    if made["first_false_hits"]:
        false = [
            (str(each["line"]), each["question"], each["cached_question"], output.number(each["similarity"], 6))
            for each in made["first_false_hits"]
        ]
        output.table(("line", "question", "got the answer of", "similarity"), false, "The first false hits")


def show_bad(bad: Mapping[str, Any], source: str) -> None:
    """Print the lines that were left out, the first by name."""
    if bad["count"]:
        output.hint(f"{output.counted(bad['count'], 'bad line')} left out:")
    for each in bad["first"]:
        output.hint(f"  {source}:{each['line']}: {each['why']}")
    if bad["count"] > len(bad["first"]):
        output.hint(f"  and {bad['count'] - len(bad['first'])} more")


def percent(found: Mapping[str, Any], places: int = 1) -> str:
    """A share with its interval: `12.3% (11.0-13.8)`."""
    if found["value"] is None:
        return "-"
    return f"{found['value']:.{places}%} ({100 * found['low']:.{places}f}-{100 * found['high']:.{places}f})"


def _threshold_rows(stages: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, found in stages.items():
        for row in found["thresholds"]:
            if row["threshold"] in SHOWN:
                shares = (percent(row[each]) for each in ("precision", "recall", "false_hit_rate"))
                yield NAMES[name], f"{row['threshold']:.2f}", str(row["served"]), *shares


def _best_rows(stages: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for number in range(len(next(iter(stages.values()))["best_recall"])):
        for name, found in stages.items():
            best = found["best_recall"][number]
            reached = percent(best["precision_reached"])
            threshold = output.number(best["threshold"], 6)
            yield f"{best['precision']:.2f}", NAMES[name], threshold, percent(best["recall"]), reached


def _pooled_rows(pool: str, stages: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, found in stages.items():
        for row in found["thresholds"]:
            if row["threshold"] in SHOWN:
                shares = (_plain(row[each]) for each in ("precision", "recall", "false_hit_rate"))
                yield pool, NAMES[name], f"{row['threshold']:.2f}", *shares


def _pooled_best_rows(pool: str, stages: Mapping[str, Any], files: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for number in range(len(next(iter(stages.values()))["best_recall"])):
        for name, found in stages.items():
            best = found["best_recall"][number]
            each = (_plain(best["files"][file]["recall"]["value"] if best["files"] else 0.0) for file in files)
            recall, reached = percent(best["recall"]), _plain(best["precision_reached"])
            threshold = output.number(best["threshold"], 6)
            yield pool, f"{best['precision']:.2f}", NAMES[name], threshold, recall, reached, *each


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _refused_rows(refused: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, ...]]:
    for guard in dict.fromkeys((*refused["different"], *refused["same"])):
        yield guard, str(refused["same"].get(guard, 0)), str(refused["different"].get(guard, 0))


def _group_rows(by: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for stage, found in by.items():
        for number, row in enumerate(found[names[0]]):
            if row["threshold"] in SHOWN:
                shares = (percent(found[name][number]) for name in names)
                yield NAMES[stage], f"{row['threshold']:.2f}", *shares
