"""Shared parts of `evaluate` and `calibrate`: options, policy, embedder, verifier, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from refrain.ops.terminal import output
from refrain.schemas.policy import Strictness

if TYPE_CHECKING:
    from refrain.ops.data.lines import PairFields
    from refrain.ops.quality.stages import ThresholdVerifier
    from refrain.schemas.policy import Policy
    from refrain.streams.settings import Settings


File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON lines, also gzipped.", metavar="FILE")]
Files = Annotated[
    list[str],
    typer.Argument(help="JSON lines, also gzipped; each with options of its own.", metavar="FILE[:OPTION=VALUE]..."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Guards = Annotated[str, typer.Option(help="Guards with commas between them, `all` or `none`.")]
Unverified = Annotated[
    Literal["miss", "hit", "frame"], typer.Option(help="What a match is when a guard does not apply to its language.")
]
StrictnessOption = Annotated[Strictness, typer.Option("--strictness", help="How much a difference weighs.")]
Veto = Annotated[str, typer.Option(help="Guards of which every difference is a veto, `all` or `none`.")]
VerifierName = Annotated[
    str | None, typer.Option(help="A second opinion: `words`, or a model's name or folder.", show_default=False)
]
Score = Annotated[float, typer.Option(min=0, max=1, help="The least score of the second opinion.")]
Head = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="A head of `refrain hits train`.", show_default=False),
]
TextA = Annotated[str, typer.Option(help="Field of the one question.")]
TextB = Annotated[str, typer.Option(help="Field of the other.")]
Label = Annotated[str, typer.Option(help="Field that says whether both ask the same: 1 or 0.")]
Positive = Annotated[
    list[str] | None, typer.Option(help="A text in the label that means 1; any other then means 0.", show_default=False)
]
Where = Annotated[
    list[str] | None,
    typer.Option(help="Only lines of which this holds: `relatedness>=4.5`, `kind=test`.", show_default=False),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many.", show_default=False)]


def fields_of(text_a: str, text_b: str, label: str, positive: Sequence[str] | None) -> PairFields:
    """The fields of a line of pairs that the command line names."""
    from refrain.ops.data.lines import PairFields

    return PairFields(text_a, text_b, label, tuple(positive or ()))


def policy_of(path: str) -> Policy:
    """The policy of a YAML file. Raises BadInput."""
    from refrain.ops.policies.file import read_policy
    from refrain.ops.policies.views import text_of

    return read_policy(text_of(path), path)


@contextmanager
def bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Progress bar on a terminal; its callback takes the numbers done and of all."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = output.console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, disable=not shown.is_terminal, transient=True) as progress:
        task = progress.add_task(doing, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def embedder_of(settings: Settings) -> tuple[Any, Path]:
    """The embedder of the settings, and where vectors of evaluated texts are kept."""
    from refrain.streams.models.loading import load_embedder

    cache = settings.state_dir / "evaluate"
    return load_embedder(settings.embedding, settings.state_dir / "models"), cache


def verifier_of(name: str | None, score_min: float, settings: Settings) -> ThresholdVerifier | None:
    """The verifier that the command line names, None for none. Raises WrongSetup for one that is not there."""
    if name is None:
        return None
    from refrain.ops.quality.stages import ThresholdVerifier
    from refrain.streams.models.loading import load_verifier
    from refrain.streams.models.verifier import CachingVerifier

    said = {"backend": "words"} if name == "words" else {"model": name}
    wanted = settings.verify.model_copy(update=said)
    if name != "words" and wanted.backend == "words":
        wanted = wanted.model_copy(update={"backend": "auto"})
    verifier = load_verifier(wanted, settings.state_dir / "models")
    assert verifier is not None, "one is named"
    return ThresholdVerifier(CachingVerifier(verifier, wanted.remembered), score_min)
