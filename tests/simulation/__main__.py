"""The command: `python -m tests.simulation --requests 20000 --faults 50` against REFRAIN_KAFKA.

Standard output is one JSON line with all figures; progress and the seed go to standard error.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tests.simulation.bench import Run
from tests.simulation.checks import Report
from tests.simulation.scenario import run_scenario

console = Console(stderr=True)


def again(run: Run) -> str:
    """The one command that repeats a run."""
    often = f" --snapshot-every-ms {run.snapshot_every_ms}" if run.snapshot_every_ms else ""
    audit = " --audit" if run.audit else ""
    return (
        f"infra/faults --requests {run.requests} --faults {run.faults} --seed {run.seed} --lookups {run.lookups}"
        f"{often}{audit} --keep"
    )


def simulate(run: Run, kafka: str, folder: Path) -> Report:
    """Carry out a run with a progress bar on standard error."""
    columns = (TextColumn("{task.description:36}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        tasks: dict[str, TaskID] = {}

        def step(name: str, done: int, total: int) -> None:
            if name not in tasks:
                for task in tasks.values():
                    progress.update(task, completed=progress.tasks[task].total)
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        report = run_scenario(run, kafka, folder, step)
        step("done", 1, 1)
        return report


def write_differences(report: Report, path: Path) -> None:
    """What a fresh fold gave otherwise, live and again, a pair of lines each."""
    with path.open("wb") as out:
        for kind, live, again_ in report.differences:
            out.write(b"%s live:  %s\n%s again: %s\n\n" % (kind.encode(), live, kind.encode(), again_))


def main(
    requests: Annotated[int, typer.Option(min=50, help="Requests to send.")] = 20_000,
    faults: Annotated[int, typer.Option(min=0, help="Kills and pauses on the way.")] = 50,
    seed: Annotated[int | None, typer.Option(help="Repeats a run; else drawn and printed.")] = None,
    lookups: Annotated[int, typer.Option(min=1, max=8, help="Lookup workers; more than 1 come and go.")] = 1,
    snapshot_every_ms: Annotated[
        int, typer.Option(min=0, help="How often lookup workers make snapshots on the way; 0: never.")
    ] = 0,
    audit: Annotated[bool, typer.Option("--audit", help="Run `refrain audit` over it in the end.")] = False,
    keep: Annotated[bool, typer.Option(help="Keep logs and local stores, and say where.")] = False,
) -> None:
    """Ask through workers that are killed and paused, and check every promise afterwards."""
    kafka = os.environ.get("REFRAIN_KAFKA", "")
    if not kafka:
        console.print("error: REFRAIN_KAFKA names no broker: run infra/faults, which starts one")
        raise typer.Exit(78)
    drawn = random.SystemRandom().randrange(10**6) if seed is None else seed
    run = Run(requests, faults, drawn, lookups, audit, snapshot_every_ms)
    console.print(f"seed {run.seed}; repeat with: {again(run)}", soft_wrap=True)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    good = False
    try:
        report = simulate(run, kafka, folder)
        good = not report.broken
        write_differences(report, folder / "differences.txt")
        for each in report.broken:
            console.print(f"broken: {each}", markup=False, soft_wrap=True)
        print(json.dumps({"seed": run.seed, "ok": good, "broken": report.broken, **report.figures}))
    finally:
        if good and not keep:
            shutil.rmtree(folder)
        else:
            console.print(f"logs and local stores: {folder}", soft_wrap=True)
        if not good:
            console.print(f"repeat with: {again(run)}", style="bold", soft_wrap=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    typer.run(main)
