"""`refrain audit`: fold the journal again and compare every decision, response, forward and change of `documents`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from refrain.ops.audit.proofs import Sealer, compare_with_seal, make_seal_key
from refrain.ops.control.known_names import check_names
from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.moments import between
from refrain.ops.terminal.options import settings_of
from refrain.ops.terminal.partitions import chosen_partitions
from refrain.ops.terminal.progress import progress_bar

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

SEEDS = 1_000_000
"""A seed is drawn when the audit begins: who altered a decision before could not know which ones it looks at."""
_OWNERS = {"--key": "--seal", "--public-key": "--against", "--seed": "--sample"}
_PROOF: dict[str, Any] = {"rich_help_panel": "Proof"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(audit)


def audit(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option("--from", help="Compare what was decided from this moment on.", show_default=False)
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Compare what was decided before it.", show_default=False)
    ] = None,
    partition: Annotated[
        list[int] | None, typer.Option(min=0, help="Only this one; may be given several times.", show_default=False)
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Compare the decisions of this one only.", show_default=False)
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many at once (else one a core).", show_default=False)
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1, help="Records a second of each process (else all it can).", show_default=False),
    ] = None,
    from_snapshot: Annotated[
        bool,
        typer.Option(
            "--from-snapshot", help="Begin from the newest snapshot that verifies, of before --from where given."
        ),
    ] = False,
    snapshots: Annotated[
        str | None,
        typer.Option(help="Where snapshots are (else snapshots.location).", metavar="LOCATION", show_default=False),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Compare only so many decisions, drawn by --seed.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the sample, which it gives again (else drawn and told).", show_default=False)
    ] = None,
    seal: Annotated[
        Path | None,
        typer.Option(help="Write a proof of what stands in the logs to this file.", show_default=False, **_PROOF),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Sign it with this Ed25519 key.", show_default=False, **_PROOF)
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Compare the logs with such a file: nothing is folded.", show_default=False, **_PROOF),
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="Take it only when it is signed by this key.", show_default=False, **_PROOF)
    ] = None,
    make_key: Annotated[
        Path | None,
        typer.Option(help="Make a key in this file, and beside it FILE.pub.", show_default=False, **_PROOF),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Fold the journal again and compare what comes of it with what was published. Nothing live is touched.

    Every hit is made sure of at its place by integer arithmetic: alive, in the namespace, as similar as was said,
    above the threshold and within the lifetime in force, past the guards. Every miss is searched for exactly: what an
    approximate index missed is counted. Compared is what retention has kept; what was gone is told. Exit code 1 when
    anything differs.

    A sample compares fewer decisions, with their responses and forwards, and changes of documents at longer intervals.
    All is folded still; exact searches of large tables are made for the sample alone.

    A seal holds digests of journal, control and decisions. --against says from where on a log is another one: deleted,
    inserted, changed and reordered records, a cut end, a topic that was made again.

    [bold]Examples[/bold]

    refrain audit

    refrain audit --from 2026-03-01 --partition 3 --json

    refrain audit --from 2026-03-01 --from-snapshot

    refrain audit --sample 1000 --seed 7

    refrain audit --make-key audit.key

    refrain audit --seal 2026-03-01.seal --key audit.key

    refrain audit --against 2026-03-01.seal --public-key audit.key.pub
    """
    _check_snapshots(from_snapshot, snapshots, seal, against, make_key)
    _check_together(
        {"--seal": seal, "--against": against, "--make-key": make_key},
        {"--key": (key, seal), "--public-key": (public_key, against), "--seed": (seed, sample)},
        {"--from": since, "--to": to, "--category": category, "--processes": processes, "--rate": rate,
         "--sample": sample},
    )  # fmt: skip
    if make_key is not None:
        make_seal_key(make_key)
        return
    when = between(since, to)
    settings = settings_of(context)
    begin = _location(settings, snapshots) if from_snapshot else None
    if against is not None:
        ok = compare_with_seal(settings, against, public_key, partition, as_json=as_json)
    else:
        check_names(settings, category=category, or_none=True)
        sampling = None if sample is None else (sample, secrets.randbelow(SEEDS) if seed is None else seed)
        wanted = _Wanted((*when, category), partition, processes, rate, sampling, begin)
        ok = _audit(settings, wanted, None if seal is None else Sealer(seal, key), as_json=as_json)
    if not ok:
        raise typer.Exit(exit_codes.FAILED)


def _check_together(
    modes: dict[str, Path | None],
    belongs: dict[str, tuple[object, object]],
    folding: dict[str, object],
) -> None:
    """Raises typer.BadParameter for options that do not go together."""
    given = [name for name, value in modes.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} do not go together")
    for name, (value, owner) in belongs.items():
        if value is not None and owner is None:
            raise typer.BadParameter(f"goes with {_OWNERS[name]} only", param_hint=name)
    if modes["--seal"] is not None and folding["--sample"] is not None:
        raise typer.BadParameter("a seal says that all was compared", param_hint="--sample")
    useless = [name for name, value in folding.items() if value is not None]
    if useless and modes["--seal"] is None and given:
        raise typer.BadParameter(f"does not go with {given[0]}, which folds nothing", param_hint=useless[0])


def _check_snapshots(
    from_snapshot: bool, location: str | None, seal: Path | None, against: Path | None, make_key: Path | None
) -> None:
    """Raises typer.BadParameter where a snapshot is named and not used, or used where all must be read."""
    if location is not None and not from_snapshot:
        raise typer.BadParameter("goes with --from-snapshot only", param_hint="--snapshots")
    if from_snapshot and (seal or against or make_key) is not None:
        raise typer.BadParameter(
            "does not go with --seal, --against and --make-key: a seal is of whole logs", param_hint="--from-snapshot"
        )


def _location(settings: Settings, given: str | None) -> str:
    """The location of snapshots. Raises WrongSetup for one that nothing here can read, FileUnreadable for none."""
    from refrain.streams.errors import FileUnreadable
    from refrain.streams.snapshots.location import Location
    from refrain.streams.snapshots.shelf import url_of

    found = url_of(settings) if given is None else given
    if not Location(found).is_there() and given is not None:
        raise FileUnreadable(f"{given} is no folder: `refrain snapshot --location {given}` makes snapshots there")
    return found


class _Wanted(NamedTuple):
    """What to audit, and how."""

    limits: tuple[int, int | None, str | None]
    """From and to (milliseconds), and the category."""
    partitions: Sequence[int] | None
    processes: int | None
    rate: float | None
    sampling: tuple[int, int] | None
    """Decisions to compare, and the seed that draws them."""
    snapshots: str | None
    """Where the snapshots are to begin from; None: from the journal's first records."""


def _audit(settings: Settings, wanted: _Wanted, sealer: Sealer | None, *, as_json: bool) -> bool:
    """Audit, and seal what was read when a file is given. Returns whether nothing differs."""
    from refrain.ops.audit import report
    from refrain.ops.audit.limits import Asked
    from refrain.ops.audit.whole import Sampling, audit_all
    from refrain.ops.cluster.connection import reach
    from refrain.streams.kafka.cluster import KafkaCluster

    reach(settings)
    with KafkaCluster(settings) as cluster:
        partitions = chosen_partitions(cluster.partitions("journal"), wanted.partitions)
        total = sum(end for number, (_, end) in cluster.ends("journal").items() if number in partitions)
        if sealer is not None:
            sealer.begin(cluster)
        with progress_bar("folding the journal again", total) as progress:
            audited = audit_all(
                settings,
                partitions,
                Asked(*wanted.limits),
                processes=min(wanted.processes or os.cpu_count() or 1, len(partitions)),
                rate=wanted.rate,
                sampling=None if wanted.sampling is None else Sampling(*wanted.sampling),
                seal=sealer is not None,
                snapshots=wanted.snapshots,
                progress=progress,
            )
        if sealer is not None:
            sealer.finish(cluster, audited)
    if as_json:
        output.emit(report.to_json(audited))
    else:
        report.show(audited)
    return report.is_ok(audited)
