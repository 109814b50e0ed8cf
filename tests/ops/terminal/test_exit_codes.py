"""The same mistake ends with the same code, whichever command meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.cli import main
from refrain.ops.terminal import exit_codes
from refrain.streams.errors import BadInput, FileUnreadable, FileUnwritable, WrongValue

NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REFRAIN_KAFKA", NOWHERE)
    monkeypatch.setenv("REFRAIN_CONNECT_TIMEOUT_MS", "100")
    monkeypatch.setenv("REFRAIN_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        ["audit", "--seal", "nowhere/seal.json"],
        ["audit", "--make-key", "nowhere/key"],
        ["policies", "init", "nowhere/policy.yaml"],
        ["schemas", "export", "--into", "/proc/nowhere"],
    ],
)
def test_a_file_that_cannot_be_written_is_a_wrong_command_line(command: list[str]) -> None:
    assert main(command) == exit_codes.USAGE


@pytest.mark.parametrize(
    "command",
    [
        ["ask", "-f", "nowhere"],
        ["whatif", "nowhere.yaml"],
        ["policies", "apply", "nowhere.yaml"],
        ["import", "nowhere"],
        ["audit", "--against", "nowhere"],
        ["evaluate", "pairs", "nowhere"],
    ],
)
def test_a_file_that_is_not_there_is_a_wrong_command_line(command: list[str]) -> None:
    assert main(command) == exit_codes.USAGE


WRONG = {
    ("ask", "how?"): (["--timeout", "inf"], ["--rate", "nan"], ["--in-flight", "9" * 24], ["--tenant", "a b"]),
    ("ask",): (["  "], ["\udcff"], ["how?", "--system", "\udcff"]),
    ("history", "--from"): (["\udcff"],),
    ("watch", "decisions"): (
        ["--tenant", "a/b"], ["--entry", "none"], ["--decision", "3-4"], ["--request", " "], ["--count", "9" * 24],
    ),
    ("stats",): (["--category", ""],),
    ("invalidate",): (["--entry", "7"], ["--tag", ""], ["--tenant", "*"], ["--tag", "x", "--timeout", "1e400"]),
    ("judge", "--right"): (["7"], [""], ["{"], ["{}"]),
    ("off",): (["--category", " "], ["--timeout", "inf"]),
    ("calibrate",): (["--limit", "9" * 24], ["--category", ""], ["--budget", "nan"]),
    ("snapshot",): (["--partition", "-1"], ["--partition", "9" * 24], ["--location", ""]),
    ("snapshots", "list"): (
        ["--location", "zz://x"], ["--location", "/etc/passwd"], ["--location", "/etc/passwd/x"],
        ["--location", "/dev/null"], ["--location", "a" * 5_000],
    ),
    ("audit", "--seal"): (["a" * 5_000], ["\udcff" * 300]),
    ("doctor",): (["--seconds", "nan"], ["--seconds", "inf"]),
    ("audit",): (["--partition", "-1"], ["--rate", "inf"], ["--sample", "9" * 24], ["--from", "soon"]),
    ("explain",): ([""], ["  "]),
    ("served",): (["--entry", "0-1"], ["--tenant", "a b"], ["--policy", "-1"], ["--source", ""]),
    ("whatif", "--uniform"): (["--partition", "-1"], ["--from", "soon"]),
    ("replay", "--into"): (
        ["a b"], ["ç."], ["x" * 65], ["refrain."], ["copy.", "--partition", "-1"], ["copy.", "--speed", "nan"],
        ["copy.", "--until", "soon"],
    ),
    ("state",): (["--partition", "-1"], ["--tenant", "a b"], ["--category", ""], ["--at", "1e3"]),
    ("export", "journal", "-"): (["--partition", "-1"], ["--from", "1.5"]),
    ("export", "entries", "-"): (["--tenant", "a b"], ["--category", ""]),
    ("policies", "revert"): (["x"], ["9" * 24], [""]),
    ("policies", "init"): ([""],),
    ("dead-letters", "show"): (["7"], [""]),
    ("dead-letters", "list"): (["--since", "soon"], ["--topic", ""]),
    ("shards", "recover", "--empty"): (["-1"], ["9" * 24]),
    ("topics", "create"): (["--partitions-journal", "0"], ["--partitions-journal", "9" * 24]),
    ("edge", "keys", "add"): (["a b"], [""]),
    ("schemas", "show"): (["Decison"], [""]),
    ("bench", "evict"): (["--seed", "9" * 24], ["--zipf", "nan"]),
}  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [[*command, *rest] for command, wrong in WRONG.items() for rest in wrong],
    ids=lambda command: " ".join(word[:12] for word in command),
)
def test_a_wrong_value_is_told_before_a_broker_is_asked(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == exit_codes.USAGE
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "unexpected" not in told


WRONG_FILES = {
    ("policies", "apply", "p.yaml"): exit_codes.FAILED,
    ("policies", "diff", "p.yaml"): exit_codes.USAGE,
    ("policies", "diff", "1", "p.yaml"): exit_codes.USAGE,
    ("whatif", "p.yaml"): exit_codes.FAILED,
}
"""By the command that reads a policy file: how it ends where the file is wrong."""


@pytest.mark.parametrize("text", ["categories: [", "categories: {a: {threshold: 9}}", "- a", "", "categorys: {}"])
@pytest.mark.parametrize("command", WRONG_FILES, ids=" ".join)
def test_a_policy_that_is_wrong_is_told_before_a_broker_is_asked(
    command: tuple[str, ...], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.yaml").write_text(text)
    assert main([*command]) == WRONG_FILES[command]
    told = capsys.readouterr().err
    assert "p.yaml:" in told
    assert NOWHERE not in told


def test_a_head_that_a_policy_names_by_its_version_is_looked_for_in_the_policy_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.yaml").write_text("categories: {a: {hit_head: 0123456789ab}}")
    assert main(["policies", "apply", "p.yaml"]) == exit_codes.UNAVAILABLE
    assert NOWHERE in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["state", "--at", "soon"],
        ["replay", "--into", "a b"],
        ["whatif", "nowhere.yaml"],
        ["policies", "apply", "nowhere.yaml"],
        ["policies", "diff", "nowhere.yaml"],
        ["policies", "init", "there"],
        ["export", "entries", "there"],
        ["audit", "--against", "nowhere"],
        ["edge", "keys", "revoke", "0123456789ab"],
        ["dead-letters", "list", "--since", "soon"],
        ["watch", "decisions", "--since", "soon"],
        ["invalidate", "--all", "--before", "soon"],
        ["explain", " "],
        ["served", "--entry", "x"],
        ["snapshots", "list", "--location", "/etc/passwd"],
        ["topics", "acls", "--principal", "lookup=x", "--format", "strimzi"],
        ["evaluate", "pairs", "nowhere"],
        ["evaluate", "pairs", "there", "--where", "x"],
    ],
    ids=" ".join,
)
def test_what_is_wrong_on_a_command_line_is_told_in_one_form(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").write_text("{}")
    assert main(command) == exit_codes.USAGE
    told = capsys.readouterr().err
    assert told.lstrip().startswith(f"Usage: refrain {command[0]}")
    assert "Invalid value" in told


def test_a_file_that_is_there_and_stays_is_a_wrong_command_line(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    for command in (
        ["audit", "--seal", "there"],
        ["audit", "--make-key", "there"],
        ["policies", "init", "there"],
        ["export", "entries", "there"],
        ["hits", "label", "--out", "there"],
    ):
        assert main(command) == exit_codes.USAGE, command
    assert (tmp_path / "there").read_text() == "mine"


def test_a_file_whose_lines_are_wrong_is_none() -> None:
    assert exit_codes.code_of(BadInput("x")) == exit_codes.FAILED
    assert {exit_codes.code_of(kind("x")) for kind in (FileUnreadable, FileUnwritable, WrongValue)} == {
        exit_codes.USAGE
    }
