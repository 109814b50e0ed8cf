"""Partitions that the option `--partition` names."""

from __future__ import annotations

from collections.abc import Sequence

import typer


def chosen_partitions(count: int, wanted: Sequence[int] | None) -> list[int]:
    """The partitions of the journal that are meant: all `count` where none is named.

    Raises typer.BadParameter for one that the journal does not have.
    """
    wrong = [number for number in wanted or () if not 0 <= number < count]
    if wrong:
        raise typer.BadParameter(
            f"the journal has the partitions 0 to {count - 1}, no {wrong[0]}", param_hint="--partition"
        )
    return sorted(set(wanted)) if wanted else list(range(count))
