"""The files of the contract that ship with the package are those of the models."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.config import settings_schema
from refrain.schemas.generate import ASYNCAPI, FOLDER, SCHEMAS, rendered, write


@pytest.fixture(scope="module")
def texts() -> dict[Path, str]:
    """What is to be written: to render it takes longer than all else here."""
    return rendered()


def test_the_files_are_those_of_the_models(texts: dict[Path, str]) -> None:
    places = [*SCHEMAS.glob("*.json"), ASYNCAPI]
    on_disk = {path.relative_to(FOLDER): path.read_text(encoding="utf-8") for path in places}
    assert on_disk == texts, "run `python -m refrain.schemas.generate` and commit what it writes"


def test_the_schema_of_the_settings_is_that_of_the_model() -> None:
    on_disk = settings_schema.FILE.read_text(encoding="utf-8")
    assert on_disk == settings_schema.rendered(), "run `python -m refrain.ops.config.settings_schema`"


def test_writing_deletes_the_files_of_messages_that_are_no_more(tmp_path: Path, texts: dict[Path, str]) -> None:
    (tmp_path / SCHEMAS.name).mkdir()
    (tmp_path / SCHEMAS.name / "gone.schema.json").write_text("{}")
    write(tmp_path)
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()} == set(texts)
