"""`refrain hits`: what one's own traffic says about hits. `label` judges pairs near the threshold, `train` learns from
them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.control.known_names import check_names
from refrain.ops.control.options import Timeout, Who, name, send_and_wait
from refrain.ops.hits import train_command
from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of

if TYPE_CHECKING:
    from refrain.ops.control.client import ControlClient
    from refrain.ops.hits.labels import LabelledPair, Labels, Texts
    from refrain.ops.hits.near import Wanted
    from refrain.ops.hits.observed import AnswerBounds
    from refrain.ops.hits.texts import HitPair

app = typer.Typer(no_args_is_help=True, help="Learn from your own traffic which hits are right.")
STDOUT = Path("-")


def register(to: typer.Typer) -> None:
    """Add the group to the command."""
    app.command(epilog=train_command.EXAMPLES)(train_command.train)
    to.add_typer(app, name="hits")


EXAMPLES = """
Examples:

  refrain hits label

  refrain hits label code.jsonl --category code --within 0.1 --send

  refrain hits label --out - --limit 500

  refrain hits label hits.jsonl --from judged.jsonl

  refrain hits label hits.jsonl --observed

  refrain calibrate --pairs hits.jsonl
"""


@app.command(epilog=EXAMPLES)
def label(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(dir_okay=False, metavar="FILE", help="Where labelled pairs are kept and added.")
    ] = Path("hits.jsonl"),
    category: Annotated[str | None, typer.Option(help="Only this one; else all.", show_default=False)] = None,
    within: Annotated[
        float, typer.Option(min=0, max=1, help="How far from the threshold a similarity may lie.")
    ] = 0.05,
    limit: Annotated[int, typer.Option(min=1, help="At most so many pairs, the nearest to the threshold first.")] = 150,
    out: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            metavar="FILE",
            help="Ask nothing; write the pairs there, `-` for stdout, with a label of null.",
            show_default=False,
        ),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="Ask nothing; add the labelled pairs of that file.",
            show_default=False,
        ),
    ] = None,
    observed: Annotated[
        bool,
        typer.Option(
            "--observed",
            help="Ask nothing; label what was only observed, by how near the two answers are to each other.",
        ),
    ] = False,
    same_from: Annotated[
        float, typer.Option(min=0, max=1, help="With --observed: answers this similar say the same.")
    ] = 0.95,
    other_to: Annotated[
        float, typer.Option(min=-1, max=1, help="With --observed: answers no more similar than this say other things.")
    ] = 0.7,
    send: Annotated[
        bool, typer.Option("--send", help="Send the labels of served hits as judgements: wrong ones are withdrawn.")
    ] = False,
    who: Who = None,
    timeout: Timeout = 30.0,
) -> None:
    """Label pairs near the threshold: does a question ask the same as the kept one that it met?

    Pairs come from the decisions of the running system, nearest to the threshold first, with the texts of journal and
    documents. One key is a judgement: y the same, n not, s skip, q quit, ? help. What is judged is written at once and
    not shown again. `calibrate --pairs` and `evaluate pairs` read the file. Exit code 1 where nothing is left to do.
    """
    from refrain.ops.control.client import ControlClient
    from refrain.ops.hits import labels
    from refrain.ops.hits.near import Wanted
    from refrain.ops.hits.observed import AnswerBounds

    _check_ways(out, from_, observed=observed, send=send)
    if other_to >= same_from:
        raise typer.BadParameter(f"must be below --same-from, which is {same_from:g}", param_hint="--other-to")
    author = name(who) if send else ""
    known = labels.known_labels(file)
    check_names(settings_of(context), category=category)
    wanted = Wanted(within, category)
    client = None if from_ is not None and not send else ControlClient(settings_of(context))
    if from_ is not None:
        _add(file, from_, known)
    elif observed:
        assert client is not None, "observations come from the cluster"
        _add_observed(client, file, AnswerBounds(same_from, other_to), category, known)
    else:
        assert client is not None, "pairs come from the cluster"
        found = _pairs(client, wanted, {pair.texts for pair in known.pairs}, limit)
        if not found and not send:
            raise typer.Exit(exit_codes.FAILED)
        if out is not None:
            return _write(out, found)
        _ask(file, found, len(known.pairs))
    labelled = labels.known_labels(file).pairs
    if send:
        assert client is not None, "judgements go to the cluster"
        _send(client, labelled, author, timeout)
    _tell(file, labelled)
    return None


def _check_ways(out: Path | None, from_: Path | None, *, observed: bool, send: bool) -> None:
    """Refuse ways to label that do not go together, or not here."""
    if out is not None and (from_ is not None or send):
        raise typer.BadParameter("it asks and labels nothing: leave --from and --send out", param_hint="--out")
    if observed and (out is not None or from_ is not None or send):
        raise typer.BadParameter("it takes its labels from answers: leave --out, --from and --send out")
    if out is None and from_ is None and not observed and not sys.stdin.isatty():
        raise typer.BadParameter("no terminal is here to ask in: take --out and --from", param_hint="--out")
    if out is not None and out != STDOUT and out.exists():
        raise typer.BadParameter(f"{out} exists, and may hold labels: name another file", param_hint="--out")


def _pairs(client: ControlClient, wanted: Wanted, known: set[Texts], limit: int) -> list[HitPair]:
    """Pairs to label; what is left out, and that there are none, is said."""
    from refrain.ops.hits.pairs import pairs_to_label

    in_force = client.in_force()
    found = pairs_to_label(client.cluster, wanted, None if in_force is None else in_force.policy, known)
    if found.gone:
        output.hint(f"{output.counted(found.gone, 'decision')} left out: a text is not kept any more")
    if not found.pairs:
        output.hint(f"no pair within {wanted.within:g} of its threshold is left to label: widen --within, or ask more")
    return found.pairs[:limit]


def _ask(file: Path, found: list[HitPair], before: int) -> None:
    from refrain.ops.hits import labels
    from refrain.ops.hits.asking import ask_labels

    asked = ask_labels(found, _key, output.hint, judged=before)
    labels.add(file, (labels.line_of(pair, same) for pair, same in asked))


def _key() -> str:
    try:
        return typer.getchar()
    except (KeyboardInterrupt, EOFError):
        return ""


def _write(out: Path, found: list[HitPair]) -> None:
    from refrain.ops.hits import labels

    lines = [labels.line_of(pair, None) for pair in found]
    if out == STDOUT:
        for line in lines:
            output.say(labels.text_of(line))
    else:
        added = output.counted(labels.add(out, lines), "pair")
        output.hint(f"{added} in {out}: put 1 or 0 in their labels, then refrain hits label --from {out}")


def _add(file: Path, source: Path, known: Labels) -> None:
    """Add the labels of another file; pairs that were labelled before stay as they are."""
    from refrain.ops.data import lines
    from refrain.ops.hits import labels
    from refrain.ops.quality.report import show_bad

    given = labels.read_labels(source)
    show_bad(lines.bad_lines_summary(given.bad), str(source))
    new = labels.new_pairs(given.pairs, known.pairs)
    lines.check_any(given.pairs, given.bad, str(source), "label")
    added = labels.add(file, (pair.row for pair in new))
    before = len(given.pairs) - added
    output.hint(f"{output.counted(added, 'label')} added; {before} were there before, {given.open} are not labelled")


def _add_observed(client: ControlClient, file: Path, bounds: AnswerBounds, category: str | None, known: Labels) -> None:
    """Add the pairs whose answers tell; exit code 1 where there are none."""
    from refrain.ops.hits import labels
    from refrain.ops.hits.observed import observed_pairs

    in_force = client.in_force()
    policy = None if in_force is None else in_force.policy
    found = observed_pairs(client.cluster, bounds, category, policy, {pair.texts for pair in known.pairs})
    if found.undecided:
        output.hint(f"{output.counted(found.undecided, 'comparison')} left out: the answers are neither near nor far")
    if found.gone:
        output.hint(f"{output.counted(found.gone, 'decision')} left out: a text is not kept any more")
    if not found.pairs:
        output.hint("no observed pair is left to label: put a category on `cache: observe`, and ask")
        raise typer.Exit(exit_codes.FAILED)
    labels.add(file, (labels.line_of(pair, same) for pair, same in found.pairs))


def _send(client: ControlClient, pairs: list[LabelledPair], author: str, timeout: float) -> None:
    from refrain.ops.hits.judgements import judgements, send_all
    from refrain.ops.quality.judged_hits import verdicts

    commands = judgements(pairs, verdicts(client.cluster), author)
    sent = send_all(commands, lambda command: send_and_wait(client, command, timeout))
    output.hint(f"judged: {output.counted(sent.right, 'hit')} right, {sent.wrong} wrong and withdrawn")
    for decision, why in sent.refused:
        output.hint(f"  {decision}: {why}")


def _tell(file: Path, pairs: list[LabelledPair]) -> None:
    same = sum(pair.same for pair in pairs)
    output.hint(
        f"{file} holds {output.counted(len(pairs), 'labelled pair')}, {same} the same and {len(pairs) - same} not:"
        f" refrain calibrate --pairs {file}"
    )
