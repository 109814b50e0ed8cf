"""`refrain whatif`: what other policies would have made of recorded traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.policies import gate
from refrain.ops.terminal import output
from refrain.ops.terminal.moments import between
from refrain.ops.terminal.options import settings_of
from refrain.ops.terminal.out_files import check_writable
from refrain.ops.terminal.partitions import chosen_partitions
from refrain.ops.terminal.progress import progress_bar

if TYPE_CHECKING:
    from refrain.ops.whatif.ledger import Row
    from refrain.ops.whatif.recording import Recording, Survey
    from refrain.ops.whatif.redo import Meaning
    from refrain.ops.whatif.run import WhatIf
    from refrain.schemas.policy import Policy
    from refrain.streams.settings import Settings

FOLDING = "folding under other policies"


def register(app: typer.Typer) -> None:
    """Add the command, and let `policies apply` ask for it."""
    app.command()(whatif)
    gate.set_check(check)


def whatif(
    context: typer.Context,
    files: Annotated[
        list[str] | None, typer.Argument(help="Policies, as YAML files.", metavar="FILE...", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", help="In force from this moment on; before, what was.", show_default=False),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="End before this moment.", show_default=False)] = None,
    partition: Annotated[
        list[int] | None, typer.Option(min=0, help="Only this one; may be given several times.", show_default=False)
    ] = None,
    uniform: Annotated[
        bool, typer.Option("--uniform", help="Compare the policy in force with the best single one for all categories.")
    ] = False,
    changed: Annotated[
        Path | None,
        typer.Option(help="Write each request that is decided otherwise, as JSON lines.", show_default=False),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Fold the recorded journal under other policies, and show it beside what was. Nothing live is touched.

    Each question is routed, looked up and answered again. Its answer is known where it was forwarded live; where it was
    not, it is assumed, and what depends on it is told as two bounds.

    [bold]Examples[/bold]

    refrain whatif new.yaml

    refrain whatif near.yaml far.yaml --from 2026-03-01 --changed changed.jsonl --html whatif.html

    refrain whatif --uniform
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.policies.views import policy_text
    from refrain.ops.whatif import figures, report
    from refrain.ops.whatif import uniform as single
    from refrain.ops.whatif.recording import Recording
    from refrain.streams.kafka.cluster import KafkaCluster

    if bool(files) == uniform:
        raise typer.BadParameter("give policies, or --uniform", param_hint="FILE")
    if html is not None:
        from refrain.ops.terminal.figures import check_plot

        check_plot()
    check_writable(html)
    check_writable(changed)
    from_ms, to_ms = between(since, to)
    for file in files or ():
        policy_text(file)
    settings = settings_of(context)
    reach(settings)
    with KafkaCluster(settings) as cluster:
        recording = Recording(cluster, chosen_partitions(cluster.partitions("journal"), partition), to_ms)
        survey = recording.survey()
        policies = _singles(survey) if uniform else _read(files or [], survey)
        with _rows(changed) as on_changed:
            found = _folded(settings, recording, survey, policies, from_ms, on_changed)
    best = None
    if uniform:
        mine, *others = found.alternatives
        best = single.best(mine, others)
    if html is not None:
        from refrain.ops.whatif import page

        page.write(found, html)
    if as_json:
        told = {"best_single": None if best is None else best.name} if uniform else {}
        output.emit(figures.to_json(found) | told)
        return
    report.show(found)
    if uniform:
        output.say(report.best_sentence(found.alternatives[0], best))


def check(settings: Settings, policy: Policy, limits: gate.Limits) -> None:
    """Check a policy on all recorded traffic. Raises CommandRefused where it breaks the limits."""
    from refrain.ops.whatif import bounds, report
    from refrain.ops.whatif.recording import Recording
    from refrain.streams.errors import CommandRefused
    from refrain.streams.kafka.cluster import KafkaCluster

    with KafkaCluster(settings) as cluster:
        recording = Recording(cluster)
        survey = recording.survey()
        found = _folded(settings, recording, survey, {"new": policy}, 0, lambda _: None)
    report.show(found)
    broken = bounds.broken(found, limits)
    if broken:
        raise CommandRefused("it is not put in force: " + "; ".join(broken))


def _folded(
    settings: Settings,
    recording: Recording,
    survey: Survey,
    policies: Mapping[str, Policy],
    from_ms: int,
    on_changed: Callable[[Row], None],
) -> WhatIf:
    from refrain.ops.whatif.run import run

    meaning = _meaning(settings, survey, policies)
    with progress_bar(FOLDING, survey.records) as progress:
        return run(
            recording,
            policies,
            from_ms=from_ms,
            meaning=meaning,
            survey=survey,
            on_changed=on_changed,
            progress=progress,
        )


def _read(files: list[str], survey: Survey) -> dict[str, Policy]:
    """The policies by the names of their files. Raises BadInput for what is none."""
    from refrain.ops.policies.file import read_policy
    from refrain.ops.policies.views import text_of
    from refrain.ops.whatif.ledger import RECORDED

    heads = survey.policies[max(survey.policies)].hit_heads
    policies: dict[str, Policy] = {}
    for file in files:
        name = Path(file).stem
        if name in policies or name == RECORDED:
            name = file
        policies[name] = read_policy(text_of(file), file, heads)
    return policies


def _singles(survey: Survey) -> dict[str, Policy]:
    """The policy in force, and single ones. Raises BadInput where nothing may be kept."""
    from refrain.ops.whatif.uniform import IN_FORCE, grid
    from refrain.streams.errors import BadInput

    in_force = survey.policies[max(survey.policies)]
    singles = grid(in_force)
    if not singles:
        raise BadInput("the policy in force keeps nothing: there is no single policy to compare it with")
    return {IN_FORCE: in_force, **singles}


def _meaning(settings: Settings, survey: Survey, policies: Mapping[str, Policy]) -> Meaning | None:
    """What routes by meaning, where a policy has questions routed anew by it.

    Raises BadInput where the questions were embedded by another embedder than that of the settings.
    """
    from refrain.ops.whatif.redo import Meaning, routes_alike, routes_by_meaning
    from refrain.streams.errors import BadInput
    from refrain.streams.models.category_classifier import load_category_classifier
    from refrain.streams.models.embedder import vector_of_record
    from refrain.streams.models.loading import load_embedder

    path = settings.classify.categories
    anew = [
        policy
        for policy in policies.values()
        if not all(routes_alike(policy, each) for each in survey.policies.values())
        and (routes_by_meaning(policy) or path is not None)
    ]
    if not anew:
        return None
    embedder = load_embedder(settings.embedding, settings.state_dir / "models")
    if embedder.identity not in survey.embedders:
        known = ", ".join(sorted(survey.embedders)) or "none"
        raise BadInput(
            f"the questions were embedded by {known}, and the settings load {embedder.identity}: a policy that routes"
            " by meaning needs the embedder of the record (`embedding`)"
        )
    trained = None if path is None else load_category_classifier(path, embedder.identity)
    return Meaning(embedder.identity, lambda texts: [vector_of_record(row) for row in embedder.embed(texts)], trained)


@contextmanager
def _rows(path: Path | None) -> Iterator[Callable[[Row], None]]:
    """Write rows as JSON lines; without a path they are dropped. Raises FileUnwritable."""
    import json

    from refrain.streams.errors import FileUnwritable

    if path is None:
        yield lambda _: None
        return
    try:
        with path.open("w", encoding="utf-8") as file:

            def write(row: Row) -> None:
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")

            yield write
    except OSError as error:
        raise FileUnwritable(f"{path} cannot be written: {error.strerror or error}") from error
