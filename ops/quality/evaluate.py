"""`refrain evaluate`: precision and recall of threshold, guards and verifier on labelled pairs or a question stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from refrain.ops.quality import options
from refrain.ops.terminal import output
from refrain.ops.terminal.options import settings_of
from refrain.schemas.policy import Strictness

app = typer.Typer(no_args_is_help=True, help="How right hits are: labelled pairs, or questions with their answers.")


def register(to: typer.Typer) -> None:
    """Add the group to the command."""
    to.add_typer(app, name="evaluate")


PAIRS_EXAMPLES = """
Examples:

  refrain evaluate pairs pairs.jsonl

  refrain evaluate pairs pairs.jsonl.gz --json --plot pairs.png --verifier words

  refrain evaluate pairs sick.jsonl --label entailment --positive ENTAILMENT --by entailment --where "relatedness>=4.5"

  refrain evaluate pairs others.jsonl --head head.json

  refrain evaluate pairs questions.jsonl sick.jsonl:label=entailment:positive=ENTAILMENT:by=entailment
"""


@app.command(epilog=PAIRS_EXAMPLES)
def pairs(
    context: typer.Context,
    files: options.Files,
    as_json: options.AsJson = False,
    text_a: options.TextA = "text_a",
    text_b: options.TextB = "text_b",
    label: options.Label = "label",
    positive: options.Positive = None,
    where: options.Where = None,
    by: Annotated[
        str | None, typer.Option(help="Also the share served per value of this field.", show_default=False)
    ] = None,
    guards: options.Guards = "all",
    strictness: options.StrictnessOption = Strictness.NORMAL,
    veto: options.Veto = "none",
    unverified: options.Unverified = "miss",
    verifier: options.VerifierName = None,
    verify_score: options.Score = 0.5,
    head: options.Head = None,
    plot: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write precision against recall as a PNG.", show_default=False)
    ] = None,
    wrong: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write the pairs of label 0 that would be served.", show_default=False),
    ] = None,
    limit: options.Limit = None,
) -> None:
    """Precision, recall and false hits of labelled pairs at thresholds from 0.70 to 0.99, and the best recalls.

    For cosine alone, with guards, with a trained head, and with a verifier. Similarities are those of the shard:
    vectors of record, rounded to six places. Bad lines are named and left out. Exit code 1 for a file without good
    pairs.

    Several files are told one by one and pooled: the best recalls with one threshold for all, where each file counts
    alike, and where each pair does. A file may have options of its own, text_a, text_b, label, positive, where and by,
    which stand for those of the command.
    """
    from refrain.ops.quality import evaluated, heads, pair_files, report, stages
    from refrain.ops.quality.plot import draw
    from refrain.ops.terminal.figures import check_plot

    chosen = stages.terms_of(guards, strictness, veto, unverified)
    if plot is not None:
        check_plot()
    common = pair_files.PairOptions(options.fields_of(text_a, text_b, label, positive), tuple(where or ()), by)
    found = [pair_files.read(file, limit) for file in pair_files.pair_files(files, common)]
    settings = settings_of(context)
    acting_verifier = options.verifier_of(verifier, verify_score, settings)
    embedder, cache = options.embedder_of(settings)
    acting_head = None if head is None else heads.load_head(head, embedder.identity)
    terms = evaluated.Terms(embedder, cache, chosen, acting_verifier, acting_head)
    made = [evaluated.evaluate(each, terms) for each in found]
    if plot is not None:
        draw(evaluated.curves(made), evaluated.title(made, embedder.identity), plot)
    if wrong is not None:
        _write_lines(wrong, (line for each in evaluated.wrongly_served(made) for line in each))
    told = evaluated.to_json(made)
    output.emit(told) if as_json else report.show(told)


QUERIES_EXAMPLES = """
Examples:

  refrain evaluate queries traffic.jsonl

  refrain evaluate queries traffic.jsonl.gz --policy policy.yaml --json

  refrain evaluate queries traffic.jsonl --threshold 0.88 --guards none
"""


@app.command(epilog=QUERIES_EXAMPLES)
def queries(
    context: typer.Context,
    file: options.File,
    as_json: options.AsJson = False,
    policy: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A policy; else one category by the options below.", show_default=False),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0.5, max=1, help="Without a policy: the threshold.", show_default=False)
    ] = None,
    guards: options.Guards = "all",
    strictness: options.StrictnessOption = Strictness.NORMAL,
    veto: options.Veto = "none",
    unverified: options.Unverified = "miss",
    verifier: options.VerifierName = None,
    verify_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Without a policy: the least score of a second opinion.", show_default=False),
    ] = None,
    limit: options.Limit = None,
) -> None:
    """Hit rate, precision and false hits of a stream of questions whose right answers are known.

    A line says `question` (or `text`), `answer` (a text or an id: equal ones are the same answer) and, as it likes,
    `category` and `tenant`. Each miss is answered with its right answer and kept. Exit code 1 for a file without good
    lines.
    """
    from refrain.ops.data import lines
    from refrain.ops.quality import report, stages, stream
    from refrain.schemas.policy import CategoryPolicy

    if policy is not None and (threshold is not None or verify_score is not None):
        raise typer.BadParameter("the policy says it: leave it out", param_hint="--threshold/--verify-score")
    asked, bad = stream.queries(lines.lines_of(file))
    lines.check_any(asked, bad, str(file), "question")
    settings = settings_of(context)
    acting_verifier = options.verifier_of(verifier, verify_score or 0.0, settings)
    category = CategoryPolicy(
        threshold=CategoryPolicy().threshold if threshold is None else threshold,
        guards=stages.guards_of(guards),
        strictness=strictness,
        veto=stages.guards_of(veto),
        unverified=unverified,
        verify=(0.5 if verify_score is None else verify_score) if verifier is not None else None,
    )
    acting = stream.default_policy(asked, category) if policy is None else options.policy_of(policy)
    embedder, _ = options.embedder_of(settings)
    with options.bar("asking") as progress:
        found = stream.run(asked[:limit], acting, embedder, acting_verifier, progress)
    made = {
        "file": str(file),
        "policy": policy,
        "embedder": embedder.identity,
        "verifier": None if acting_verifier is None else acting_verifier.verifier.identity,
        "bad_lines": lines.bad_lines_summary(bad),
        **stream.report(found),
    }
    output.emit(made) if as_json else report.show_queries(made)


def _write_lines(path: Path, found: Iterable[dict[str, Any]]) -> None:
    from refrain.streams.errors import FileUnwritable

    try:
        path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in found), encoding="utf-8")
    except OSError as error:
        raise FileUnwritable(f"{path} cannot be written: {error.strerror or error}") from error
