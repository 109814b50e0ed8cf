"""`refrain hits train`: trains the head of the hit rule on judged pairs, and tells what it gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refrain.ops.quality import options
from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of

if TYPE_CHECKING:
    from refrain.ops.data.lines import BadLine
    from refrain.ops.data.vectors import Compared
    from refrain.ops.hits.train import Trained
    from refrain.ops.hits.training_pairs import JudgedPairs
    from refrain.ops.quality.pair_files import Read
    from refrain.streams.models.embedder import Embedder

EXAMPLES = """
Examples:

  refrain hits train hits.jsonl --out head.json

  refrain hits train hits.jsonl --category code --out code.json --json

  refrain hits train hits.jsonl sick.jsonl:label=entailment:positive=ENTAILMENT --out head.json
"""


def train(
    context: typer.Context,
    files: options.Files,
    out: Annotated[Path, typer.Option("--out", dir_okay=False, help="Where the head goes.", show_default=False)],
    category: Annotated[
        str | None, typer.Option(help="Only pairs whose category it is; else all.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write the head also when it gains nothing.")] = False,
    as_json: options.AsJson = False,
    text_a: options.TextA = "text_a",
    text_b: options.TextB = "text_b",
    label: options.Label = "label",
    positive: options.Positive = None,
    where: options.Where = None,
    limit: options.Limit = None,
) -> None:
    """Train a head that tells by the words of two questions whether they ask the same, on judged pairs of your own.

    It only takes off similarity, never adds any. Its figures are of pairs held out, in five folds by the texts that
    pairs share. The file holds weights and no text, and is written only when the recall at precisions of 0.90 and 0.95
    rises in four of five draws of the bootstrap; else exit code 1. Thresholds found without a head do not fit one:
    `refrain calibrate --head` finds new ones.
    """
    from refrain.ops.data.learn import check_learn
    from refrain.ops.data.lines import bad_lines_summary
    from refrain.ops.hits.train import train_head
    from refrain.ops.quality.pair_files import PairOptions, pair_files, read
    from refrain.streams.models.hit_head_artifact import HEAD_FILES

    check_learn()
    common = PairOptions(options.fields_of(text_a, text_b, label, positive), tuple(where or ()))
    found = [_of_category(read(file, limit), category) for file in pair_files(files, common)]
    embedder, cache = options.embedder_of(settings_of(context))
    judged = _judged(found, embedder, cache)
    with options.bar("training") as progress:
        trained = train_head(judged, embedder.identity, progress)
    written = trained.gains or force
    if written:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(HEAD_FILES.encode(trained.head))
    bad = {str(each.file.path): bad_lines_summary(sorted(each.bad)) for each in found}
    told = _to_json(trained, out if written else None, bad)
    output.emit(told) if as_json else _show(told, out, bad)
    if not written:
        raise typer.Exit(exit_codes.FAILED)


def _of_category(found: Read, category: str | None) -> Read:
    """The pairs of a category. Raises BadInput for a file without any."""
    from refrain.ops.data.lines import check_any
    from refrain.ops.quality.samples import by_category

    if category is None:
        return found
    bad: list[BadLine] = list(found.bad)
    mine = by_category(found.pairs, category, bad).get(category, [])
    check_any(mine, bad, str(found.file.path), f"pair of {category}")
    return found._replace(pairs=mine, bad=bad)


def _judged(found: Sequence[Read], embedder: Embedder, cache: Path) -> JudgedPairs:
    """The pairs of all files with what is learned from them, each pair once."""
    from refrain.ops.hits.training_pairs import judged_pairs
    from refrain.ops.quality.pair_files import compare
    from refrain.streams.guards import GuardTerms

    compared: list[Compared] = [compare(each, embedder, cache) for each in found]
    with options.bar("embedding tokens") as progress:
        return judged_pairs(compared, GuardTerms(), embedder, progress)


def _to_json(trained: Trained, out: Path | None, bad: dict[str, Any]) -> dict[str, Any]:
    head = trained.head
    return {
        "out": None if out is None else str(out),
        "version": head.version,
        "embedder": head.embedder,
        "bad_lines": bad,
        "gains": trained.gains,
        "chance": round(trained.chance, 3),
        **head.made.model_dump(mode="json"),
    }


def _show(told: dict[str, Any], out: Path, bad: dict[str, Any]) -> None:
    from refrain.ops.quality.report import show_bad

    for source, each in bad.items():
        show_bad(each, source)
    pairs, same = told["pairs"], told["positives"]
    output.hint(f"{output.counted(pairs, 'pair')} ({same} the same, {pairs - same} not) by {told['embedder']}")
    columns = ("precision", "rule alone", "threshold", "with the head", "threshold")
    output.table(columns, _rows(told), "Recall of held-out pairs, with 95 % intervals")
    output.hint(f"The head gains recall with a chance of {told['chance']:.0%}")
    if told["out"] is None:
        output.hint("too little to be sure of: nothing is written (--force writes it); more judged pairs may help")
    else:
        output.hint(f"{out}: head {told['version']}; refrain calibrate --head {out} finds its threshold")


def _rows(told: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for gain in told["held_out"]:
        yield f"{gain['precision']:.2f}", *_cells(gain["rule"]), *_cells(gain["head"])


def _cells(found: dict[str, Any]) -> tuple[str, str]:
    shown = f"{found['recall']:.1%} ({100 * found['low']:.1f}-{100 * found['high']:.1f})"
    return shown, output.number(found["threshold"], 4)
