"""The JSON Schema files that ship with the package."""

from __future__ import annotations

from pathlib import Path

from refrain.schemas.generate import FOLDER, rendered, write


def test_the_schema_files_are_those_of_the_models() -> None:
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert on_disk == rendered(), "run `python -m refrain.schemas.generate` and commit what it writes"


def test_writing_deletes_the_files_of_messages_that_are_no_more(tmp_path: Path) -> None:
    (tmp_path / "gone.schema.json").write_text("{}")
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(rendered())
