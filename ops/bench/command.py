"""`refrain bench`: benchmarks of the path, audits, one shard, eviction and load. Parts load when a bench starts."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from refrain.ops.terminal import options
from refrain.ops.terminal.output import console, hint, say, table

app = typer.Typer(
    no_args_is_help=True, help="Measure the path through Kafka, or a shard and what it evicts without a broker."
)

AUDIT_EXAMPLES = """
Examples:

  refrain bench audit --json

  refrain bench audit --entries 100000 --namespaces 50 --json

  refrain bench audit --entries 20000 --namespaces 1
"""
SHARD_EXAMPLES = """
Examples:

  refrain bench shard --entries 100000 --json

  refrain bench shard --questions questions.jsonl.gz --json

  refrain bench shard --switch
"""
PATH_EXAMPLES = """
Examples:

  refrain bench path --json

  refrain bench path --seconds 60 --requests 50000 --no-real-embedder --plot path.png

  refrain bench path --seconds 2 --warm-up 1 --requests 500 --lookups 1 --no-real-embedder
"""


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="bench")


@app.command(epilog=PATH_EXAMPLES)
def path(
    context: typer.Context,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second while latencies are measured.")] = 200.0,
    seconds: Annotated[float, typer.Option(min=1, help="How long each latency is measured.")] = 15.0,
    warm_up: Annotated[float, typer.Option(min=0, help="Seconds before that, at the same rate, not measured.")] = 3.0,
    requests: Annotated[int, typer.Option(min=100, help="Requests for each highest rate.")] = 20_000,
    lookups: Annotated[int, typer.Option(min=1, help="Highest rates with one lookup worker, up to so many.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the questions asked.")] = 1,
    real_embedder: Annotated[bool, typer.Option(help="Measure with the real embedder too.")] = True,
    rest: Annotated[
        float, typer.Option(min=0.1, help="Seconds in which nobody asks, for what is used at rest.")
    ] = 10.0,
    plot: Annotated[
        Path | None,
        typer.Option(dir_okay=False, metavar="FILE", help="Draw CPU time and latencies as a PNG.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line.")] = False,
) -> None:
    """The path beside an empty echo and beside the model itself: latency at one rate, and the highest rates."""
    from refrain.ops.bench.path.plot import draw
    from refrain.ops.bench.path.run import PathPlan, run
    from refrain.ops.terminal.figures import check_plot

    if plot is not None:
        check_plot()
    plan = PathPlan(rate, seconds, warm_up, requests, lookups, seed, real_embedder, rest)
    figures = run(options.settings_of(context), plan, hint)
    if plot is not None:
        draw(figures, plot)
    say(json.dumps(figures) if as_json else json.dumps(figures, indent=2))


EDGE_EXAMPLES = """
Examples:

  refrain bench edge --json

  refrain bench edge --litellm ~/litellm/bin/litellm

  refrain bench edge --seconds 1 --streams 10
"""


@app.command(epilog=EDGE_EXAMPLES)
def edge(
    context: typer.Context,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second while latencies are measured.")] = 50.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each of three rounds lasts.")] = 10.0,
    streams: Annotated[int, typer.Option(min=1, help="New questions that are streamed.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the questions asked.")] = 1,
    litellm: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="The command of LiteLLM's proxy, of an installation of its own.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line.")] = False,
) -> None:
    """Hits through HTTP beside the path through Kafka and another gateway's cache; the first pieces of streams."""
    from refrain.ops.bench.edge.run import EdgePlan, run

    plan = EdgePlan(rate, seconds, streams, seed, litellm)
    figures = run(options.settings_of(context), plan, hint)
    say(json.dumps(figures) if as_json else json.dumps(figures, indent=2))


STREAMS_EXAMPLES = """
Examples:

  refrain bench streams --json

  refrain bench streams --streams 300 --more 30 --every 0.2
"""


@app.command(epilog=STREAMS_EXAMPLES)
def streams(
    count: Annotated[int, typer.Option("--streams", min=1, help="Open at the same time, as many as allowed.")] = 10_000,
    more: Annotated[int, typer.Option(min=0, help="Asked for beyond that.")] = 500,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between the pieces of a stream.")] = 10.0,
    leaving: Annotated[float, typer.Option(min=0, max=1, help="Share of clients that break off.")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line.")] = False,
) -> None:
    """The endpoint with thousands of open streams, without a broker: memory, refusals, places of those who leave."""
    from refrain.ops.bench.streams.run import StreamsPlan, run

    figures = run(StreamsPlan(count, more, every, leaving), hint)
    say(json.dumps(figures) if as_json else json.dumps(figures, indent=2))


@app.command(epilog=AUDIT_EXAMPLES)
def audit(
    context: typer.Context,
    entries: Annotated[int, typer.Option(min=100, help="Entries in all; the journal has three records each.")] = 5_000,
    namespaces: Annotated[int, typer.Option(min=1, help="Namespaces of a partition.")] = 5,
    partitions: Annotated[int, typer.Option(min=2, max=64, help="Partitions, audited side by side.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the questions asked.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line.")] = False,
) -> None:
    """Audit and what-if of a journal on a broker, beside a worker that folds it live: records a second, memory."""
    from refrain.ops.bench.audit.run import run
    from refrain.ops.bench.audit.traffic import TrafficPlan

    figures = run(options.settings_of(context), TrafficPlan(entries, namespaces, partitions, seed), hint)
    say(json.dumps(figures) if as_json else json.dumps(figures, indent=2))


RESTART_EXAMPLES = """
Examples:

  refrain bench restart --json

  refrain bench restart --entries 1000000 --partitions 20 --workers 2 --no-documents --json
"""


@app.command(epilog=RESTART_EXAMPLES)
def restart(
    context: typer.Context,
    entries: Annotated[int, typer.Option(min=100, help="Entries in all shards together.")] = 100_000,
    partitions: Annotated[int, typer.Option(min=1, max=64, help="Shards.")] = 20,
    namespaces: Annotated[int, typer.Option(min=1, help="Namespaces of a shard.")] = 1,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Lookup workers, a process each.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the vectors.")] = 1,
    documents: Annotated[
        bool, typer.Option(help="Restart from documents as well, which builds every index anew: minutes for a million.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line.")] = False,
) -> None:
    """From the start of lookup workers until every shard answers: from snapshots, from stores, from documents."""
    from refrain.ops.bench.restart.run import run
    from refrain.ops.bench.restart.state import RestartPlan

    if entries % partitions:
        raise typer.BadParameter(f"must be a multiple of --partitions ({partitions})", param_hint="--entries")
    plan = RestartPlan(entries, partitions, namespaces, workers, seed)
    figures = run(options.settings_of(context), plan, hint, documents)
    say(json.dumps(figures) if as_json else json.dumps(figures, indent=2))


EVICT_EXAMPLES = """
Examples:

  refrain bench evict

  refrain bench evict --json --seeds 5

  refrain bench evict --room 0.05 --once 0.4
"""


@app.command(epilog=EVICT_EXAMPLES)
def evict(
    catalogue: Annotated[int, typer.Option(min=10, help="Questions that are asked again and again.")] = 2_000,
    requests: Annotated[int, typer.Option(min=10, help="Questions asked in all.")] = 20_000,
    room: Annotated[float, typer.Option(min=0.001, max=1, help="Entries that fit, as a share of the catalogue.")] = 0.1,
    zipf: Annotated[float, typer.Option(min=0, max=5, help="Exponent of the popularity.")] = 1.2,
    once: Annotated[float, typer.Option(min=0, max=1, help="Share of requests that nobody repeats.")] = 0.2,
    sigma: Annotated[float, typer.Option(min=0, max=5, help="Of the lognormal costs.")] = 1.0,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Streams drawn.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the first; the others follow it.")] = 1,
    jobs: Annotated[int, typer.Option(min=0, help="Processes at work; 0: one a core.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line.")] = False,
) -> None:
    """What each order of eviction saves through a shard, beside a bound that none can reach."""
    import os

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from refrain.ops.bench import evict

    workload = evict.Workload(catalogue, requests, room, zipf, once, sigma)
    shown = console(stderr=True)
    columns = (TextColumn("streams driven"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shown, disable=not shown.is_terminal, transient=True) as progress:
        task = progress.add_task("evict", total=seeds * evict.RUNS_PER_SEED)
        figures = evict.run(
            workload, range(seed, seed + seeds), jobs or os.cpu_count() or 1, lambda: progress.advance(task)
        )
    if as_json:
        return say(json.dumps(figures))
    table(
        evict.COLUMNS,
        evict.rows(figures),
        f"Cost saved of what a cache without bounds saves, {seeds} seeds",
    )
    return None


@app.command(epilog=SHARD_EXAMPLES)
def shard(
    context: typer.Context,
    entries: Annotated[int, typer.Option(min=1_000, help="Entries that the shard holds.")] = 100_000,
    namespaces: Annotated[int, typer.Option(min=2, help="Namespaces of the second layout.")] = 20_000,
    queries: Annotated[int, typer.Option(min=100, help="Questions folded for each layout.")] = 2_000,
    questions: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Questions to embed: one a line, or JSON lines, also gzipped."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the questions asked.")] = 1,
    switch: Annotated[bool, typer.Option("--switch", help="Measure where a scan is slower than an HNSW.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line.")] = False,
) -> None:
    """One shard without a broker: a fold beside a bare hnswlib query, recall, memory, restores, also of a snapshot."""
    from refrain.ops.bench.made_up import Layout
    from refrain.ops.bench.shard import measure
    from refrain.ops.bench.sweep import sweep
    from refrain.ops.bench.vectors import question_vectors
    from refrain.schemas.policy_limits import Limits

    settings = options.settings_of(context)
    shown = -1

    def progress(done: int, of: int) -> None:
        nonlocal shown
        if done * 10 // of > shown:
            shown = done * 10 // of
            hint(f"embedded {done} of {of} questions")

    cache = settings.state_dir / "bench"
    vectors = question_vectors(entries, settings.embedding, cache, questions, seed, progress)
    if switch:
        for row in sweep(vectors.units, seed):
            say(json.dumps(row))
        return
    limits = Limits()
    one = Layout(1, entries, limits.hnsw_from)
    many = Layout(namespaces, entries, limits.hnsw_from)
    figures = measure(vectors.units, one, queries, seed, hint)
    figures["many_namespaces"] = measure(vectors.units, many, queries, seed, hint)
    figures |= {"entries": entries, "namespaces": namespaces, "data": vectors.data}
    say(json.dumps(figures) if as_json else json.dumps(figures, indent=2))


class Backend(StrEnum):
    """Embedder backend of a bench."""

    AUTO = "auto"
    LIGHT = "light"
    ONNX = "onnx"
    TORCH = "torch"
    FREE = "free"


LOAD_EXAMPLES = """
Examples:

  refrain bench load --questions pairs.jsonl.gz --json

  refrain bench load --embedder free --seeds 2
"""


@app.command(epilog=LOAD_EXAMPLES)
def load(
    context: typer.Context,
    questions: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="JSON lines of pairs (text_a, text_b, label: 1 for the same question), also gzipped."
            " Without it questions are made of words.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Runs of other questions, arrivals and answers.")] = 5,
    near_misses: Annotated[
        float, typer.Option(min=0, max=1, help="Questions that only look like an earlier one, for each reworded one.")
    ] = 0.5,
    length: Annotated[
        float, typer.Option(min=0.01, max=1, help="Of the phases, as a share of the usual; below 1 only to try it out.")
    ] = 1.0,
    embedder: Annotated[Backend | None, typer.Option(help="Otherwise what the settings say.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line.")] = False,
) -> None:
    """A model driven over its capacity and back, without a broker: what following the load spares it, and costs."""
    from refrain.ops.bench.load.bench import PROCESSES_MAX, LoadPlan, run
    from refrain.ops.bench.load.questions import read_pairs, synthetic_questions
    from refrain.ops.bench.load.table import present, progress
    from refrain.streams.models.loading import load_embedder

    settings = options.settings_of(context)
    pairs = read_pairs(questions) if questions else synthetic_questions()
    embedding = settings.embedding
    if embedder is not None:
        embedding = embedding.model_copy(update={"backend": embedder.value})
    usual = LoadPlan(seeds=seeds, near_misses=near_misses, processes=PROCESSES_MAX)
    plan = usual.shortened(length)
    with progress() as shown:
        figures = run(pairs, load_embedder(embedding, settings.state_dir / "models"), plan, shown)
    present(figures, as_json)
