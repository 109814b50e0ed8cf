"""Files of labelled pairs on the command line: what an argument names, and reading and embedding it.

An argument is `FILE` or `FILE:OPTION=VALUE:OPTION=VALUE`: options of that file alone, which stand for those of the
command. A file of that very name is taken as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from typer import BadParameter

from refrain.ops.data import lines, vectors
from refrain.ops.data.lines import BadLine, Condition, Pair, PairFields
from refrain.ops.data.vectors import Compared
from refrain.ops.quality.options import bar
from refrain.streams.errors import WrongValue

OWN = ("text_a", "text_b", "label", "positive", "where", "by")
"""Options that a file may have of its own."""
_OWN = re.compile(rf":({'|'.join(OWN)})=")
_ANY = re.compile(r":([A-Za-z_-]+)=")


class PairOptions(NamedTuple):
    """Options of a file of pairs: its fields, which of its lines count, and the field to tell its pairs apart by."""

    fields: PairFields = lines.FIELDS
    where: tuple[str, ...] = ()
    by: str | None = None


class PairsFile(NamedTuple):
    """A file of pairs; `name` is what reports call it, and no other file of the command."""

    name: str
    path: Path
    fields: PairFields
    where: tuple[Condition, ...] = ()
    by: str | None = None


class Read(NamedTuple):
    """Good pairs of a file and its bad lines."""

    file: PairsFile
    pairs: list[Pair]
    bad: list[BadLine]


def pair_files(arguments: Sequence[str], common: PairOptions) -> list[PairsFile]:
    """The files that arguments name, in their order.

    Raises BadParameter for one that is missing, has an unknown option or is named twice, WrongValue for a condition
    that is none.
    """
    found = [_pairs_file(argument, common) for argument in arguments]
    twice = [argument for argument, count in Counter(arguments).items() if count > 1]
    if twice:
        raise BadParameter(f"{twice[0]} is named twice: name it once, or with other options", param_hint="FILE")
    names = Counter(each.path.name for each in found)
    paths = Counter(each.path for each in found)
    return [
        each._replace(name=_name(each.path, argument, names, paths))
        for each, argument in zip(found, arguments, strict=True)
    ]


def read(file: PairsFile, limit: int | None = None) -> Read:
    """Read a file. Raises BadInput for one that cannot be read, or without a good pair."""
    good, bad = lines.pairs(lines.lines_of(file.path), file.fields, file.where)
    lines.check_any(good, bad, str(file.path), "pair")
    return Read(file, good[:limit], bad)


def compare(found: Read, embedder: Any, cache: Path | None) -> Compared:
    """Similarities of the pairs of a file, with a progress bar; what has no vector is among its bad lines then.

    Raises BadInput when no pair has vectors.
    """
    with bar(f"embedding {found.file.name}") as progress:
        compared = vectors.compare(found.pairs, embedder, cache, progress, found.bad)
    lines.check_any(compared.pairs, found.bad, str(found.file.path), "pair")
    return compared


def _pairs_file(argument: str, common: PairOptions) -> PairsFile:
    text, own = _split(argument)
    path = Path(text)
    if not path.exists():
        unknown = _ANY.search(text)
        hint = "" if unknown is None else f", and {unknown[1]} is no option of a file: they are {', '.join(OWN)}"
        raise BadParameter(f"{text} does not exist{hint}", param_hint="FILE")
    if path.is_dir():
        raise BadParameter(f"{text} is a folder: name its files", param_hint="FILE")
    options = _merged(common, own)
    return PairsFile(text, path, options.fields, tuple(_conditions(options.where, text)), options.by)


def _split(argument: str) -> tuple[str, list[tuple[str, str]]]:
    """The path of an argument and its options."""
    if Path(argument).exists():
        return argument, []
    path, *parts = _OWN.split(argument)
    return path, list(zip(parts[::2], parts[1::2], strict=True))


def _merged(common: PairOptions, own: Sequence[tuple[str, str]]) -> PairOptions:
    """The common options but for those that a file has itself; an empty one takes the common one away."""

    def values(option: str, else_: tuple[str, ...]) -> tuple[str, ...]:
        given = [value for name, value in own if name == option]
        return tuple(value for value in given if value) if given else else_

    def value(option: str, else_: str) -> str:
        return (values(option, ()) or (else_,))[-1]

    fields = PairFields(
        value("text_a", common.fields.text_a),
        value("text_b", common.fields.text_b),
        value("label", common.fields.label),
        values("positive", common.fields.positive),
    )
    by = (*values("by", () if common.by is None else (common.by,)), None)[0]
    return PairOptions(fields, values("where", common.where), by)


def _conditions(texts: Sequence[str], file: str) -> list[Condition]:
    try:
        return [lines.condition(text) for text in texts]
    except WrongValue as error:
        raise WrongValue(f"{file}: {error}", "--where") from error


def _name(path: Path, argument: str, names: Counter[str], paths: Counter[Path]) -> str:
    """The shortest name that no other file of the command has."""
    if names[path.name] == 1:
        return path.name
    return str(path) if paths[path] == 1 else argument
