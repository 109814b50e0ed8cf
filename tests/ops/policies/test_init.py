"""`refrain policies init`: a policy that is written once, and read by what applies it."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.cli import main
from refrain.ops.config import resources
from refrain.ops.policies.file import read_policy
from refrain.ops.terminal import exit_codes
from refrain.streams.errors import WrongSetup

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REFRAIN_CONFIG", "REFRAIN_DEBUG"):
        monkeypatch.delenv(name, raising=False)


def test_a_policy_with_its_reasons_is_written_and_can_be_applied(capsys: Out) -> None:
    assert main(["policies", "init"]) == exit_codes.OK
    text = Path("policy.yaml").read_text(encoding="utf-8")
    assert {"code", "uncategorised"} < set(read_policy(text, "policy.yaml").categories)
    assert sum(line.lstrip().startswith("#") for line in text.splitlines()) > 10
    said = capsys.readouterr()
    assert "refrain policies apply policy.yaml" in said.err
    assert said.out == ""


def test_the_papers_policy_has_its_seven_categories() -> None:
    assert main(["policies", "init", "mine.yaml", "--example", "paper"]) == exit_codes.OK
    assert len(read_policy(Path("mine.yaml").read_text(encoding="utf-8"), "mine.yaml").categories) == 7


def test_a_dash_writes_to_standard_output_alone(capsys: Out) -> None:
    assert main(["policies", "init", "-"]) == exit_codes.OK
    said = capsys.readouterr()
    assert read_policy(said.out, "standard output").categories
    assert said.err == ""
    assert list(Path().iterdir()) == []


def test_a_file_that_is_there_is_kept_unless_force_is_given(capsys: Out) -> None:
    mine = Path("policy.yaml")
    mine.write_text("categories: {mine: {}}\n")
    assert main(["policies", "init"]) == exit_codes.USAGE
    assert "policy.yaml is there already" in capsys.readouterr().err
    assert mine.read_text() == "categories: {mine: {}}\n"
    assert main(["policies", "init", "--force"]) == exit_codes.OK
    assert "code" in read_policy(mine.read_text(encoding="utf-8"), "policy.yaml").categories


def test_a_place_that_cannot_be_written_is_named(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["policies", "init", "nowhere/policy.yaml"]) == exit_codes.USAGE
    assert "nowhere/policy.yaml cannot be written: No such file or directory" in capsys.readouterr().err


def test_an_example_that_is_not_shipped_is_a_wrong_command_line(capsys: Out) -> None:
    assert main(["policies", "init", "--example", "other"]) == exit_codes.USAGE
    assert "default" in capsys.readouterr().err


def test_a_file_that_is_missing_from_the_installation_says_what_to_do() -> None:
    with pytest.raises(WrongSetup, match="install it again"):
        resources.text_of(resources.POLICIES, "gone.yaml")
