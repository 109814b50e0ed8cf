"""`refrain bench`: what the path and the shard take, measured. The parts load when a bench is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ops import state
from ops.output import hint, say

app = typer.Typer(no_args_is_help=True, help="Measure the path through Kafka, or a shard without a broker.")

SHARD_EXAMPLES = """
Examples:

  refrain bench shard --entries 100000 --json

  refrain bench shard --questions questions.jsonl.gz --json

  refrain bench shard --switch
"""


PATH_EXAMPLES = """
Examples:

  refrain bench path --json

  refrain bench path --seconds 60 --requests 50000 --no-real-embedder
"""


@app.command(epilog=PATH_EXAMPLES)
def path(
    context: typer.Context,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second while latencies are measured.")] = 200.0,
    seconds: Annotated[float, typer.Option(min=1, help="How long each latency is measured.")] = 15.0,
    requests: Annotated[int, typer.Option(min=1_000, help="Requests for each highest rate.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Of the questions asked.")] = 1,
    real_embedder: Annotated[bool, typer.Option(help="Measure with the real embedder too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line.")] = False,
) -> None:
    """The path beside an empty echo and beside the model itself: latency at one rate, and the highest rates."""
    from ops import bench_path

    plan = bench_path.Plan(rate, seconds, requests, seed, real_embedder)
    figures = bench_path.run(state.settings_of(context), plan, hint)
    say(json.dumps(figures) if as_json else json.dumps(figures, indent=2))


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
    """One shard without a broker: time of a fold beside a bare hnswlib query, recall, restore, memory."""
    from ops import bench_shard, bench_vectors
    from schemas.policy import Limits

    settings = state.settings_of(context)
    shown = -1

    def progress(done: int, of: int) -> None:
        nonlocal shown
        if done * 10 // of > shown:
            shown = done * 10 // of
            hint(f"embedded {done} of {of} questions")

    cache = settings.state_dir / "bench"
    vectors = bench_vectors.question_vectors(entries, settings.embedding, cache, questions, seed, progress)
    if switch:
        for row in bench_shard.sweep(vectors.units, [500, 1_000, 2_000, 4_000, 8_000], seed):
            say(json.dumps(row))
        return
    limits = Limits()
    one = bench_shard.Layout(1, entries, limits.hnsw_from)
    many = bench_shard.Layout(namespaces, entries, limits.hnsw_from)
    figures = bench_shard.measure(vectors.units, one, queries, seed, hint)
    figures["many_namespaces"] = bench_shard.measure(vectors.units, many, queries, seed, hint)
    figures |= {"entries": entries, "namespaces": namespaces, "data": vectors.data}
    say(json.dumps(figures) if as_json else json.dumps(figures, indent=2))
