"""Names that the architecture gives in code spans are those of the code, and its floors those of the contracts."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.documents.documents import PLACEHOLDER, ROOT, known_settings
from tests.infra.documents.markdown import Paper, Row, code, read_paper
from tests.infra.documents.names import DOTTED, ONE_NAME, Code, code_names, is_known

ARCHITECTURE = read_paper(ROOT / "streams/README.md")
ELSEWHERE = frozenset({"tool.importlinter"})
"""Names that are no code: a table of pyproject.toml."""
FILE_ENDINGS = (".py", ".toml", ".yaml", ".json")


def named(paper: Paper) -> Iterator[str]:
    """Code spans that are one name, `a.b` or `ABC`; files and placeholders are left out."""
    for span in paper.spans:
        is_name = ONE_NAME.fullmatch(span.text) or DOTTED.fullmatch(span.text)
        if is_name and not span.text.endswith(FILE_ENDINGS) and PLACEHOLDER not in span.text:
            yield span.text


def unknown(paper: Paper, names: Code) -> list[str]:
    """Names that are neither in the code nor settings."""
    settings = known_settings() | ELSEWHERE
    return sorted({name for name in named(paper) if name not in settings and not is_known(name, names)})


def test_every_name_in_the_architecture_is_one_of_the_code() -> None:
    assert unknown(ARCHITECTURE, code_names()) == []


def test_every_folder_that_the_architecture_names_is_there() -> None:
    folders = [span.text for span in ARCHITECTURE.spans if span.text.endswith("/") and PLACEHOLDER not in span.text]
    assert len(folders) > len(FILE_ENDINGS)
    assert [each for each in folders if not any((root / each).is_dir() for root in (ROOT, ROOT / "streams"))] == []


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("Shard", True),
        ("Shard.apply", True),
        ("Shard.applied", False),
        ("shard.fold", True),
        ("refrain.streams.shard.fold.fold", True),
        ("refrain.streams.shard.folded", False),
        ("streams.shard.fold.nothing", False),
        ("WorkerContext.now_ms", True),
        ("KafkaLog", False),
        ("BEHAVIOUR", True),
        ("BEHAVIOR", False),
        ("run_stateless", True),
        ("run_stateful", False),
    ],
)
def test_a_name_that_is_not_there_is_found(name: str, there: bool) -> None:
    assert is_known(name, code_names()) is there


def test_the_floors_are_those_of_the_import_contracts() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (streams,) = (_floors(each) for each in contracts if each.get("containers") == ["refrain.streams"])
    (shard,) = (_floors(each) for each in contracts if each.get("containers") == ["refrain.streams.shard"])
    rooms = [row for row in ARCHITECTURE.rows if row.heading == "The rooms"]
    assert list(_grouped(row for row in rooms if len(row.cells) == len(("floor", "room", "owns")))) == streams
    inside = [code(row.cells[0])[0] for row in rooms if len(row.cells) == len(("floor", "owns"))]
    assert [{_room(each.removeprefix("shard/"))} for each in inside] == shard


def _floors(contract: dict[str, Any]) -> list[set[str]]:
    return [set(layer.replace("|", " ").replace(":", " ").split()) for layer in contract["layers"]]


def _grouped(rows: Iterator[Row]) -> Iterator[set[str]]:
    """The rooms of each floor; a floor begins with the row that names it."""
    floor: set[str] = set()
    for row in rows:
        if row.cells[0] and floor:
            yield floor
            floor = set()
        floor.add(_room(code(row.cells[1])[0]))
    yield floor


def _room(path: str) -> str:
    return path.removesuffix("/").removesuffix(".py")
