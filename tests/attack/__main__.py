"""The command: `python -m tests.attack`, or `infra/attack`, which sets up what is missing first.

Standard output is the table, or with `--json` one line a row and one of the whole; progress goes to standard error.
The exit code is 0 when all held, 1 when something did not.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.local.broker import LOCAL, broker
from infra.local.jar_broker import BrokerFailed
from infra.local.service import ServiceFailed, service
from infra.local.up import remove_topics
from refrain.ops.config.settings import load_settings
from refrain.streams.errors import RefrainError
from refrain.streams.settings import Settings
from tests.attack import burdens, damage, mutations, outside, reach, words
from tests.attack.attack import Attack, Row, carry_out, whole_of
from tests.attack.calm import CalmStream
from tests.attack.leaks import leaks
from tests.attack.table import table, told
from tests.attack.target import Target
from tests.attack.together import attack as together_of
from tests.attack.together import shown
from tests.attack.workers import Workers

QUIET_S = 5.0
WARM_S = 3.0
SHORT = 0.02
SHORT_QUIET = 0.5
"""The part of the time without attacks that the short form takes."""
MIXED_QUIET = 10.0
"""How many times as long it is where a p99 of minutes is held against it."""
LOOPBACK = ("127.", "localhost", "[::1]")
EXIT_NOT_HELD = 1
EXIT_USAGE = 2
EXIT_NO_BROKER = 69
notes = Console(stderr=True)


@dataclass(frozen=True)
class Plan:
    """What is done to the target, and for how long."""

    attacks: Sequence[Attack]
    size: float
    rate: float
    rounds: int
    until_s: float
    """When (on the monotonic clock) no further attack begins."""
    p99_max: float | None
    quiet: float = 1.0
    """The part of the time without attacks at the beginning."""
    mixed: random.Random | None = None
    """Puts the attacks in order, where they are mixed evenly into the time."""


def main(
    bootstrap: Annotated[str | None, typer.Option(help="A running Refrain's broker; else one is started.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Of the running Refrain's topics.")] = None,
    state: Annotated[Path | None, typer.Option(help="Its state folder and logs, if on this machine.")] = None,
    category: Annotated[str, typer.Option(help="A category that is cached.")] = "code",
    never: Annotated[str, typer.Option(help="A category that is never kept.")] = "medical",
    rate: Annotated[float, typer.Option(min=1, max=1_000, help="Good questions a second meanwhile.")] = 50.0,
    rounds: Annotated[int, typer.Option(min=1, max=1_000, help="Of all attacks.")] = 1,
    mutated: Annotated[int, typer.Option("--mutations", min=0, max=10_000_000, help="Mutated records.")] = 2_000,
    together: Annotated[
        bool, typer.Option("--together", help="Mutated records of all topics at once, faster; always so if short.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the mutated records.")] = 1,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="After them no further attack begins, and no record is mutated.")
    ] = 30.0,
    wait_s: Annotated[float, typer.Option(min=1, help="Longest wait for what one attack sent.")] = 90.0,
    p99_max: Annotated[float | None, typer.Option(help="Most that p99 may be of a quiet run's, times.")] = None,
    only: Annotated[str | None, typer.Option(help="Attacks whose names hold this.")] = None,
    short: Annotated[bool, typer.Option("--short", help="A small one of each, within a minute.")] = False,
    mixed: Annotated[
        bool,
        typer.Option(
            "--mixed", help="Small ones, evenly over the time, --rounds of each; p99 is that of the whole time."
        ),
    ] = False,
    embedder: Annotated[str, typer.Option(help="Of the Refrain that is started: auto, light, free.")] = "auto",
    owner: Annotated[bool, typer.Option("--i-own-this-cluster", help="Attack what is not on loopback too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Lines of JSON in place of the table.")] = False,
) -> None:
    """Attack a Refrain, and tell what held."""
    if bootstrap is not None and not owner and not _is_loopback(bootstrap):
        notes.print(f"error: {bootstrap} is not on loopback: if it is yours, add --i-own-this-cluster", markup=False)
        sys.exit(EXIT_USAGE)
    until_s = time.monotonic() + minutes * 60
    rows: list[Row] = []
    try:
        with ExitStack() as stack:
            if bootstrap is None:
                settings, folders = stack.enter_context(_started("free" if short else embedder))
            else:
                settings = _settings_of(bootstrap, prefix, state)
                folders = [] if state is None else [state]
            simulated = bootstrap is None or settings.upstream.connector == "simulated"
            target = Target(settings, category=category, never=never, simulated=simulated, wait_s=wait_s)
            stack.enter_context(closing(target))
            workers = Workers(settings.state_dir if folders else None)
            # A policy is changed only where nobody else lives by it; and first, while commands have nothing to pass
            # over.
            chosen = [*burdens.OWNERS] if owner or bootstrap is None else []
            chosen += [*damage.ATTACKS, *burdens.ATTACKS, *outside.ATTACKS, *reach.ATTACKS, *words.ATTACKS]
            if mutated and (together or short or mixed):
                each_time = max(1, int(mutated * SHORT)) if mixed else mutated
                chosen.append(together_of(each_time, seed, until_s, workers, notes))
            elif mutated:
                chosen += mutations.attacks(mutated, seed)
            attacks = [attack for attack in chosen if only is None or only in attack.name]
            size = SHORT if short or mixed else 1.0
            quiet = MIXED_QUIET if mixed else SHORT_QUIET if short else 1.0
            turns = random.Random(seed) if mixed else None
            plan = Plan(attacks, size, min(rate, 20.0) if short else rate, rounds, until_s, p99_max, quiet, turns)
            wrong = attack_all(target, workers, folders, plan, rows)
    except BrokerFailed as problem:
        notes.print(f"error: {problem}", markup=False)
        sys.exit(EXIT_NO_BROKER)
    except (ServiceFailed, RefrainError) as problem:
        notes.print(f"error: {problem}", markup=False)
        sys.exit(EXIT_NOT_HELD)
    if as_json:
        for row in rows:
            print(json.dumps(told(row)))
        print(json.dumps({"attacks": len(rows), "held": sum(row.held for row in rows), "wrong": wrong, "seed": seed}))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(table(rows))
    for line in wrong:
        notes.print(f"did not hold: {line}", style="red", markup=False)
    sys.exit(EXIT_NOT_HELD if wrong else 0)


def attack_all(target: Target, workers: Workers, folders: Sequence[Path], plan: Plan, rows: list[Row]) -> list[str]:
    """Carry out the plan; a row an attack. Returns what did not hold."""
    with closing(CalmStream(target, workers, plan.rate)) as calm:
        time.sleep(WARM_S * plan.quiet)
        start = calm.mark()
        time.sleep(QUIET_S * plan.quiet)
        quiet = calm.figures(start, target.wait_s)
        notes.print(
            f"quiet: {quiet.answered} of {quiet.asked} answered, p50 {quiet.p50_ms:.0f} ms, p99 {quiet.p99_ms:.0f}"
        )
        start = calm.mark()
        for attack in _in_turn(plan):
            row = carry_out(attack, target, calm, workers, plan.size, quiet.p99_ms)
            if plan.mixed is None:
                row = _held_against(row, plan.p99_max)
            rows.append(row)
            for line in shown(row) if row.memory else []:
                notes.print(line, markup=False)
            notes.print(f"{attack.name}: {'; '.join(row.problems) or 'held'} ({row.seconds:.1f} s)", markup=False)
        if plan.mixed is not None:
            rows.append(_held_against(whole_of(rows, calm.figures(start, target.wait_s), quiet.p99_ms), plan.p99_max))
    wrong = [f"{row.attack}: {problem}" for row in rows for problem in row.problems]
    return wrong + leaks(target, workers, folders)


def _in_turn(plan: Plan) -> Iterator[Attack]:
    """The attacks one after another, until the time is over; mixed ones in an order of chance, evenly in the time."""
    attacks = [*plan.attacks] * plan.rounds
    start_s, pause_s = time.monotonic(), 0.0
    if plan.mixed is not None:
        plan.mixed.shuffle(attacks)
        pause_s = max(0.0, plan.until_s - start_s) / max(1, len(attacks))
    for number, attack in enumerate(attacks):
        time.sleep(max(0.0, start_s + number * pause_s - time.monotonic()))
        if time.monotonic() > plan.until_s:
            notes.print("the time is over: attacks are left out")
            return
        yield attack
    if plan.mixed is not None:
        time.sleep(max(0.0, plan.until_s - time.monotonic()))


def _held_against(row: Row, p99_max: float | None) -> Row:
    if p99_max is None or row.p99_ratio <= p99_max:
        return row
    return row._replace(problems=(*row.problems, f"p99 is {row.p99_ratio} times a quiet run's"))


@contextmanager
def _started(embedder: str) -> Iterator[tuple[Settings, list[Path]]]:
    """A Refrain of our own with the simulated model, on loopback: its settings, and where its files lie."""
    LOCAL.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="attack-", dir=LOCAL))
    prefix = f"refrain-attack-{uuid.uuid4().hex[:8]}."
    try:
        with broker(say=lambda line: notes.print(line, markup=False)) as servers:
            environment = _environment(servers, prefix, folder / "state", embedder)
            settings = load_settings(environment)
            try:
                with service(environment, folder / "state", folder / "service.log", lambda _text: None):
                    yield settings, [folder]
            finally:
                if os.environ.get("REFRAIN_KAFKA", "").strip():
                    remove_topics(settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(servers: str, prefix: str, state: Path, embedder: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REFRAIN_")}
    return {
        **kept,
        "REFRAIN_KAFKA": servers,
        "REFRAIN_PREFIX": prefix,
        "REFRAIN_STATE_DIR": str(state),
        "REFRAIN_EMBEDDING__BACKEND": embedder,
        "REFRAIN_EMBEDDING__THREADS": "1",
        "REFRAIN_CLASSIFY__REPLY_TOPICS": json.dumps([f"{prefix}{damage.REPLIES}*"]),
        "REFRAIN_UPSTREAM__CONNECTOR": "simulated",
        "REFRAIN_UPSTREAM__LATENCY_MEDIAN_MS": "20",
    }


def _settings_of(bootstrap: str, prefix: str | None, state: Path | None) -> Settings:
    """Settings of a running Refrain: those of every command, and what the options say."""
    said = {"REFRAIN_KAFKA": bootstrap, "REFRAIN_PREFIX": prefix}
    said["REFRAIN_STATE_DIR"] = None if state is None else str(state.resolve())
    return load_settings({**os.environ, **{name: value for name, value in said.items() if value is not None}})


def _is_loopback(servers: str) -> bool:
    return all(server.strip().startswith(LOOPBACK) for server in servers.split(","))


if __name__ == "__main__":
    typer.run(main)
