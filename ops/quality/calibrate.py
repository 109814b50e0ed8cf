"""`refrain calibrate`: thresholds that keep a category's error budget, from labelled pairs or from judged hits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from refrain.ops.quality import options
from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of
from refrain.schemas.policy import Strictness

if TYPE_CHECKING:
    from refrain.ops.quality.calibration import Calibrated
    from refrain.ops.quality.pair_files import PairsFile
    from refrain.ops.quality.samples import Judging, Samples
    from refrain.schemas.policy import Policy
    from refrain.streams.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)


def calibrate(
    context: typer.Context,
    pairs: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Labelled pairs; without, the judged hits of the running system.",
            show_default=False,
        ),
    ] = None,
    category: Annotated[str | None, typer.Option(help="Only this one; else all.", show_default=False)] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0.0001,
            max=0.5,
            help="The share of hits that may be false; else the category's error_budget.",
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="How surely false hits stay within the budget.")
    ] = 0.95,
    method: Annotated[
        Literal["auto", "platt", "exact"],
        typer.Option(
            help="`platt`: a sigmoid, from 100 pairs on; `exact`: an interval, from hundreds of hits on; `auto`: the"
            " first where there are enough of both labels."
        ),
    ] = "auto",
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="A policy: its categories' guards and error budgets count.", show_default=False
        ),
    ] = None,
    guards: options.Guards = "all",
    strictness: options.StrictnessOption = Strictness.NORMAL,
    veto: options.Veto = "none",
    unverified: options.Unverified = "miss",
    verifier: options.VerifierName = None,
    verify_score: options.Score = 0.5,
    head: options.Head = None,
    text_a: options.TextA = "text_a",
    text_b: options.TextB = "text_b",
    label: options.Label = "label",
    positive: options.Positive = None,
    limit: options.Limit = None,
    as_json: options.AsJson = False,
) -> None:
    """The lowest threshold of each category whose false hits surely stay within its error budget.

    Prints the lines for the policy file and changes nothing. A category with too few pairs gets none, and is told how
    many it needs, of which label, and why. Pairs may name their `category`. Exit code 1 when no threshold can be
    proposed.

    [bold]Examples[/bold]

    refrain calibrate --pairs pairs.jsonl

    refrain calibrate --pairs pairs.jsonl.gz --category code --budget 0.02 --policy policy.yaml

    refrain calibrate --pairs hits.jsonl --head head.json

    refrain calibrate --confidence 0.9 --json
    """
    from refrain.ops.quality import pair_files, proposals, samples, stages
    from refrain.schemas.policy import CategoryPolicy

    given = samples.SampleTerms(stages.terms_of(guards, strictness, veto, unverified), CategoryPolicy().error_budget)
    if pairs is None and head is not None:
        raise typer.BadParameter("judged hits have their scores: leave it out, or give --pairs", param_hint="--head")
    settings = settings_of(context)
    acting = None if policy is None else options.policy_of(policy)
    about: dict[str, Any]
    if pairs is None:
        acting, found, about = _from_system(settings, acting, category)
        if not found:
            output.hint("no hit by meaning was judged yet: `refrain judge` says whether an answer was right")
    else:
        acting_verifier = options.verifier_of(verifier, verify_score, settings)
        fields = options.fields_of(text_a, text_b, label, positive)
        chosen = _Chosen(pair_files.PairsFile(pairs.name, pairs, fields), category, limit, head)
        found, about = _from_pairs(settings, chosen, samples.Judging(acting, given, acting_verifier))
    results = {
        name: proposals.propose(
            each.samples, samples.terms_of(acting, name, given).budget if budget is None else budget, confidence, method
        )
        for name, each in found.items()
    }
    if pairs is not None:
        results = {name: _with_both(each, found[name]) for name, each in results.items()}
    _print_results(results, acting, about, as_json)
    if all(each.threshold is None for each in results.values()):
        raise typer.Exit(exit_codes.FAILED)


def _from_system(
    settings: Settings, policy: Policy | None, only: str | None
) -> tuple[Policy | None, dict[str, Samples], dict[str, Any]]:
    """Samples from judged hits, and the policy in force where none is given."""
    from refrain.ops.control.client import ControlClient
    from refrain.ops.quality.judged_hits import judged_hits
    from refrain.ops.quality.samples import Samples

    client = ControlClient(settings)
    if policy is None:
        in_force = client.in_force()
        policy = None if in_force is None else in_force.policy
    judged = judged_hits(client.cluster)
    found = {
        name: Samples(each, sum(one.right for one in each), sum(not one.right for one in each))
        for name, each in judged.samples.items()
        if only in (None, name)
    }
    return policy, found, {"from": "judged hits", "judgements": judged.judgements}


class _Chosen(NamedTuple):
    """A pairs file, and which of its lines count."""

    file: PairsFile
    category: str | None
    limit: int | None
    head: Path | None


def _from_pairs(settings: Settings, chosen: _Chosen, judging: Judging) -> tuple[dict[str, Samples], dict[str, Any]]:
    from refrain.ops.data import lines
    from refrain.ops.quality import evaluated, heads, pair_files, samples

    read = pair_files.read(chosen.file, chosen.limit)
    grouped = samples.by_category(read.pairs, chosen.category, read.bad)
    mine = [pair for group in grouped.values() for pair in group]
    lines.check_any(mine, read.bad, str(chosen.file.path), "pair")
    embedder, cache = options.embedder_of(settings)
    head = None if chosen.head is None else heads.load_head(chosen.head, embedder.identity)
    compared = pair_files.compare(read._replace(pairs=mine), embedder, cache)
    judging = judging._replace(head=evaluated.weights_of_head(compared, chosen.file.name, head, embedder))
    found = {}
    for name, group in grouped.items():
        with options.bar(f"verifying {name}") as progress:
            found[name] = samples.samples(samples.part(compared, group), name, judging, progress)
    about = {
        "from": str(chosen.file.path),
        "embedder": embedder.identity,
        "verifier": None if judging.verifier is None else judging.verifier.verifier.identity,
        "head": None if head is None else head.version,
        "bad_lines": lines.bad_lines_summary(sorted(read.bad)),
    }
    return found, about


def _with_both(each: Calibrated, of: Samples) -> Calibrated:
    """Pairs without any that differ show nothing of what a threshold wrongly lets through."""
    if of.different or each.threshold is None:
        return each
    return each._replace(threshold=None, why="no pair of label 0 is among them: bring pairs that must not be served")


def _print_results(
    results: Mapping[str, Calibrated], policy: Policy | None, about: Mapping[str, Any], as_json: bool
) -> None:
    from refrain.ops.quality.samples import stands_against, yaml_lines

    proposed = {name: each.threshold for name, each in results.items() if each.threshold is not None}
    text = yaml_lines(proposed)
    notes = {
        name: note
        for name, threshold in proposed.items()
        if (note := stands_against(threshold, None if policy is None else policy.of(name))) is not None
    }
    if as_json:
        parts = {name: {**each.to_json(), "note": notes.get(name)} for name, each in results.items()}
        return output.emit({**about, "categories": parts, "yaml": text})
    if "bad_lines" in about:
        from refrain.ops.quality.report import show_bad

        show_bad(about["bad_lines"], about["from"])
    for name, each in results.items():
        threshold = "none proposed" if each.threshold is None else f"threshold {each.threshold:g}"
        terms = f"{each.budget:.2%} ({each.confidence:.0%} sure, {each.method})"
        output.hint(f"{name}: {threshold} for a budget of {terms}: {each.why}")
        if name in notes:
            output.hint(f"  {notes[name]}")
    if text:
        output.say(text.rstrip())
    return None
