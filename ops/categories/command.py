"""`refrain categories`: train the category classifier from examples, and test it on others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.terminal import output
from refrain.ops.terminal.options import settings_of
from refrain.streams.errors import WrongValue

if TYPE_CHECKING:
    from refrain.ops.categories.examples import Example, ReadExamples
    from refrain.ops.categories.figures import ClassifierFigures
    from refrain.streams.models.category_artifact import Artefact
    from refrain.streams.models.embedder import Embedder
    from refrain.streams.settings import Settings
    from refrain.streams.vectors import Ints

categories = typer.Typer(no_args_is_help=True, help="Train the classifier of categories on examples, and test it.")
BATCH = 256
PROBLEMS_SHOWN = 10

Examples = Annotated[Path, typer.Option("--examples", help="JSON lines, .gz or plain.", show_default=False)]
Text = Annotated[str, typer.Option("--text", help="The field of the question.")]
Category = Annotated[str, typer.Option("--category", help="The field of the category; null there: out of scope.")]
Split = Annotated[
    str | None, typer.Option("--split", help="The field that tells which part a line is of.", show_default=False)
]
Validation = Annotated[
    list[str] | None,
    typer.Option("--validation", help="A part to test on; give it again for more.", show_default=False),
]
Outside = Annotated[
    Path | None, typer.Option("--outside", help="JSON lines of questions out of scope.", show_default=False)
]
OutsideWhen = Annotated[
    str | None,
    typer.Option("--outside-when", metavar="FIELD=VALUE", help="Lines that are out of scope.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(categories, name="categories")


@categories.command()
def train(
    context: typer.Context,
    examples: Examples,
    out: Annotated[Path, typer.Option("--out", help="Where the artefact goes.", show_default=False)],
    text: Text = "text",
    category: Category = "category",
    label: Annotated[
        str | None, typer.Option("--label", help="The field of a finer label, as an intent.", show_default=False)
    ] = None,
    split: Split = None,
    train_on: Annotated[
        list[str] | None,
        typer.Option("--train", help="A part to train on; give it again for more.", show_default=False),
    ] = None,
    validation: Validation = None,
    outside: Outside = None,
    outside_when: OutsideWhen = None,
    keep: Annotated[
        float, typer.Option("--keep", min=0.5, max=0.999, help="The least share of in-scope questions to keep.")
    ] = 0.94,
    as_json: AsJson = False,
) -> None:
    """Train the classifier for the settings' embedder. Setting `classify.categories` puts the artefact to work.

    All is fitted and calibrated on the examples (with --split: on those of --train), by models that had not seen an
    example, in five folds of neighbouring lines: leave together what was written together. The parts of --validation
    are tested on in the end; nothing is chosen by them. What is out of scope has a null category, or comes by
    --outside or --outside-when. Without any, the floor keeps --keep of the questions, and what it rejects is not known.

    [bold]Examples[/bold]

    refrain categories train --examples examples.jsonl --text text --category category --out categories.json

    refrain categories train --examples queries.jsonl.gz --category domain --label intent --split split
    --train train --train oos_train --validation val --validation oos_val --out categories.json
    """
    from refrain.ops.categories.examples import digest, unique
    from refrain.ops.categories.train import build_artefact, material
    from refrain.ops.data.learn import check_learn
    from refrain.streams.models.category_artifact import CATEGORY_FILES

    check_learn()
    taken = _read(examples, text, category, label, split, outside_when)
    given = unique([*_part(taken, train_on, split, examples), *_outside(outside, text)])
    validate = _part(taken, validation, split, examples) if validation else []
    embedder = _embedder(settings_of(context))
    vectors = _vectors(embedder, given)
    kept = [(example, vector) for example, vector in zip(given, vectors, strict=True) if vector is not None]
    found = material([vector for _, vector in kept], [example for example, _ in kept])
    artefact = build_artefact(found, embedder.identity, digest([example for example, _ in kept]), keep, output.hint)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(CATEGORY_FILES.encode(artefact))
    figures = _figures(artefact, embedder, validate) if validate else None
    _print_trained(artefact, out, figures, as_json)


@categories.command("test")
def measure(
    context: typer.Context,
    artefact: Annotated[
        Path,
        typer.Option(
            "--artefact", exists=True, dir_okay=False, help="What `refrain categories train` wrote.", show_default=False
        ),
    ],
    examples: Examples,
    text: Text = "text",
    category: Category = "category",
    split: Split = None,
    validation: Validation = None,
    outside: Outside = None,
    outside_when: OutsideWhen = None,
    as_json: AsJson = False,
) -> None:
    """Test an artefact: accuracy, abstention, what is kept and what is rejected, and who is taken for whom.

    Every share comes with its 95% Clopper-Pearson interval.

    [bold]Examples[/bold]

    refrain categories test --artefact categories.json --examples examples.jsonl

    refrain categories test --artefact categories.json --examples queries.jsonl.gz --category domain --split split
    --validation val --validation oos_val --json
    """
    from refrain.streams.models.category_artifact import CATEGORY_FILES
    from refrain.streams.models.category_classifier import check_embedder

    held = CATEGORY_FILES.read(artefact)
    taken = _read(examples, text, category, None, split, outside_when)
    asked = [*_part(taken, validation, split, examples), *_outside(outside, text)]
    embedder = _embedder(settings_of(context))
    check_embedder(held, embedder.identity, str(artefact))
    figures = _figures(held, embedder, asked)
    if as_json:
        output.emit({"artefact": held.version, "examples": len(asked), **figures.to_json()})
        return
    output.hint(f"artefact {held.version}, {output.counted(len(asked), 'example')}")
    _print_figures(figures)


def _read(
    path: Path, text: str, category: str, label: str | None, split: str | None, outside_when: str | None
) -> ReadExamples:
    from refrain.ops.categories.examples import ExampleFields, read_examples

    field, equals, value = (outside_when or "").partition("=")
    if outside_when is not None and not (field and equals):
        raise typer.BadParameter("expected FIELD=VALUE", param_hint="--outside-when")
    fields = ExampleFields(text, category, label, split, None if outside_when is None else (field, value))
    return _report_problems(read_examples(path, fields))


def _outside(path: Path | None, text: str) -> list[Example]:
    from refrain.ops.categories.examples import read_outside

    return [] if path is None else _report_problems(read_outside(path, text)).of(())


def _report_problems(taken: ReadExamples) -> ReadExamples:
    """Print the unreadable lines on stderr; returns its argument."""
    for problem in taken.problems[:PROBLEMS_SHOWN]:
        output.hint(problem)
    more = len(taken.problems) - PROBLEMS_SHOWN
    if more > 0:
        output.hint(f"and {output.counted(more, 'line')} more that cannot be taken")
    return taken


def _part(taken: ReadExamples, parts: Sequence[str] | None, split: str | None, path: Path) -> list[Example]:
    """Examples of the named splits, all where none is named."""
    if parts and split is None:
        raise typer.BadParameter("say which field tells the part", param_hint="--split")
    for part in parts or ():
        if not taken.of((part,)):
            raise WrongValue(f"{path} holds no example whose {split} is {part}")
    return taken.of(parts or ())


def _embedder(settings: Settings) -> Embedder:
    from refrain.streams.models.loading import load_embedder

    return load_embedder(settings.embedding, settings.state_dir / "models")


def _vectors(embedder: Embedder, examples: Sequence[Example]) -> list[Ints | None]:
    """The vectors of record, None for a text without one."""
    from refrain.streams.models.embedder import vector_of_record

    texts = [example.text for example in examples]
    rows = [row for at in range(0, len(texts), BATCH) for row in embedder.embed(texts[at : at + BATCH])]
    vectors = [vector_of_record(row) for row in rows]
    without = sum(vector is None for vector in vectors)
    if without:
        output.hint(f"{output.counted(without, 'text')} without a vector")
    return vectors


def _figures(artefact: Artefact, embedder: Embedder, examples: Sequence[Example]) -> ClassifierFigures:
    from refrain.ops.categories.figures import figures
    from refrain.streams.models.category_classifier import CategoryClassifier

    return figures(CategoryClassifier(artefact), examples, _vectors(embedder, examples))


def _print_trained(artefact: Artefact, path: Path, figures: ClassifierFigures | None, as_json: bool) -> None:
    made = artefact.made
    if as_json:
        validation = None if figures is None else figures.to_json()
        output.emit({"version": artefact.version, "path": str(path), "floor": artefact.floor,
                     **made.model_dump(mode="json"), "validation": validation})  # fmt: skip
        return
    if made.held_out_kept < made.keep:
        output.hint(f"{made.held_out_accuracy:.1%} of held-out examples land in their category, too few in some fold to"
                    f" keep {made.keep:.1%} of it: more examples help")  # fmt: skip
    rejects = "nobody knows what, without examples out of scope"
    if made.held_out_rejected is not None:
        rejects = f"{made.held_out_rejected:.1%} of what is out of scope"
    output.hint(f"on held-out folds it keeps {made.held_out_kept:.1%} of the questions and rejects {rejects}")
    output.say(f"{artefact.version}\t{path}")
    if figures is not None:
        _print_figures(figures)


def _print_figures(figures: ClassifierFigures) -> None:
    from refrain.ops.categories.figures import TITLES, matrix, share_text

    output.table(("figure", "share"), [(title, share_text(getattr(figures, name))) for name, title in TITLES.items()])
    columns, rows = matrix(figures)
    output.table(columns, rows, title="who is taken for whom")
