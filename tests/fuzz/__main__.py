"""The command: `python -m tests.fuzz --examples 1000000 --seed 1`.

Standard output is one JSON line with the counts; progress goes to standard error. Example N of seed S is seed S + N.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from tests.fuzz.identity import example

WRONG_SHOWN = 5
console = Console(stderr=True)


def main(
    examples: Annotated[int, typer.Option(min=1, help="Requests to make.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of the first example; each is repeated by its own.")] = 1,
) -> None:
    """Change and respell random requests, and check which of them share a namespace."""
    counts: Counter[str] = Counter()
    wrong = 0
    began = time.monotonic()
    with Progress(console=console, refresh_per_second=2) as progress:
        for number in progress.track(range(seed, seed + examples), description="requests"):
            for each in example(number, counts):
                wrong += 1
                if wrong <= WRONG_SHOWN:
                    told = f"{each.what}\n{each.before}\n{each.after}\nrepeat with: --examples 1 --seed {each.seed}"
                    console.print(told, markup=False, soft_wrap=True)
    figures = {"seed": seed, "examples": examples, "wrong": wrong, "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps({**figures, "counts": dict(counts.most_common())}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    typer.run(main)
