"""The command line: help, exit codes, and errors in one line."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from typer.main import get_command

from refrain.ops import cli, entry
from refrain.ops.cli import application, command_of, main
from refrain.ops.commands import COMMANDS
from refrain.ops.run.processors import NAMES, PLACES
from refrain.ops.terminal import exit_codes
from refrain.ops.terminal.help_text import flowed
from refrain.streams.errors import (
    Fenced,
    FileUnreadable,
    JournalUnreadable,
    Refusal,
    RefusalCode,
    Unreachable,
    WrongSetup,
)
from refrain.streams.metrics import build_version

NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _no_settings_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REFRAIN_KAFKA", "REFRAIN_CONFIG", "REFRAIN_PREFIX", "REFRAIN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["topics"],
        ["topics", "create"],
        ["topics", "list"],
        ["topics", "check"],
        ["run"],
        ["ask"],
        ["watch"],
        ["policies"],
        ["policies", "init"],
        ["policies", "apply"],
        ["policies", "show"],
        ["policies", "diff"],
        ["policies", "history"],
        ["policies", "revert"],
        ["stats"],
        ["invalidate"],
        ["evaluate"],
        ["evaluate", "pairs"],
        ["evaluate", "queries"],
        ["calibrate"],
        ["judge"],
        ["hits"],
        ["hits", "label"],
        ["off"],
        ["on"],
        ["categories"],
        ["categories", "train"],
        ["categories", "test"],
        ["doctor"],
        ["explain"],
        ["served"],
        ["schemas"],
        ["schemas", "list"],
        ["schemas", "show"],
        ["schemas", "export"],
        ["history"],
        ["replay"],
        ["state"],
        ["import"],
        ["export"],
        ["export", "entries"],
        ["export", "journal"],
        ["bench"],
        ["bench", "load"],
    ],
    ids=" ".join,
)
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert "Usage:" in shown
    if len(command) == 2 or command not in (
        [],
        ["topics"],
        ["schemas"],
        ["policies"],
        ["categories"],
        ["evaluate"],
        ["hits"],
        ["bench"],
        ["export"],
    ):
        assert "Example" in shown


def test_a_command_loads_its_own_part_and_no_command_is_without_one() -> None:
    every = get_command(application())
    assert set(vars(every)["commands"]) == set(COMMANDS)
    for name, listed in COMMANDS.items():
        beside = {other for other, each in COMMANDS.items() if each.module == listed.module}
        alone = application(name)
        assert len(alone.registered_commands) + len(alone.registered_groups) == len(beside), name


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    every = vars(get_command(application()))["commands"]
    said = {name: flowed(command.help).split("\n\n")[0] for name, command in every.items()}
    assert said == {name: listed.summary for name, listed in COMMANDS.items()}


@pytest.mark.parametrize(
    ("words", "not_loaded"),
    [
        ("--help", "refrain.schemas.base numpy confluent_kafka yaml refrain.ops.ask.command"),
        ("nonsense", "refrain.schemas.base numpy confluent_kafka yaml refrain.ops.ask.command"),
        ("explain --help", "refrain.schemas.base numpy confluent_kafka jinja2"),
        ("ask --help", "refrain.schemas.base numpy confluent_kafka"),
        ("doctor --help", "refrain.schemas.base numpy confluent_kafka"),
    ],
)
def test_help_waits_for_nothing_that_it_does_not_show(words: str, not_loaded: str) -> None:
    program = (
        "import sys; from refrain.ops.cli import main; main(sys.argv[1].split());"
        "print(*(each for each in sys.argv[2].split() if each in sys.modules), file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, words, not_loaded], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stderr.splitlines()[-1] == ""


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["doctor"], "doctor"),
        (["--debug", "--prefix", "doctor", "topics", "list"], "topics"),
        (["--prefix=doctor", "run", "doctor"], "run"),
        (["--config"], None),
        (["doctr"], None),
        (["--help"], None),
        ([], None),
    ],
    ids=str,
)
def test_the_command_of_a_line_is_the_first_word_that_is_no_option(words: list[str], command: str | None) -> None:
    assert command_of(words) == command


def test_the_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == exit_codes.OK
    text = capsys.readouterr().out
    for code, meaning in exit_codes.TABLE:
        assert f"{code}  {meaning}" in text


def test_each_error_ends_with_its_exit_code() -> None:
    assert exit_codes.code_of(WrongSetup("x")) == 78
    assert exit_codes.code_of(JournalUnreadable("x")) == 78
    assert exit_codes.code_of(Unreachable("x")) == 69
    assert exit_codes.code_of(Fenced("x")) == 75
    assert exit_codes.code_of(FileUnreadable("x")) == 2
    assert exit_codes.code_of(Refusal(RefusalCode.BAD_FIELD, "x")) == 1


def test_wrong_settings_end_with_78_and_a_line_a_mistake(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRAIN_SESSION_TIMEOUT_MS", "soon")
    assert main(["topics", "list"]) == exit_codes.WRONG_SETUP
    shown = capsys.readouterr().err
    assert "REFRAIN_SESSION_TIMEOUT_MS: must be a whole number of milliseconds" in shown
    assert "Traceback" not in shown


def test_with_debug_an_error_is_not_shortened() -> None:
    with pytest.raises(WrongSetup):
        main(["--debug", "--config", "nowhere.toml", "topics", "list"])


def test_a_wrong_command_line_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "lokup"]) == exit_codes.USAGE
    assert "lokup" in capsys.readouterr().err
    assert main(["ask"]) == exit_codes.USAGE
    assert main(["ask", "x", "--cache", "maybe"]) == exit_codes.USAGE
    assert main(["watch", "forwards"]) == exit_codes.USAGE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name what goes"),
        (["--before", "2026-03-01"], "name what goes"),
        (["--all", "--tag", "x"], "leave it out to withdraw what the others name"),
        (["--older-than", "2y"], "write 30s, 10m, 2h or 7d"),
        (["--tag", "x", "--before", "soon"], "no moment"),
        (["--tag", "x", "--keep", "3"], "keep_version needs the source_id"),
        (["--tenant", "a/b"], "no name of a tenant"),
        (["--near", "x", "--similarity", "2"], "--similarity"),
    ],
    ids=" ".join,
)
def test_an_invalidation_that_says_too_little_or_too_much_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["invalidate", *arguments]) == exit_codes.USAGE
    assert said in capsys.readouterr().err


def test_a_judgement_needs_a_verdict_and_a_wrong_one_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "1-2-x"]) == exit_codes.USAGE
    assert "say --right or --wrong" in capsys.readouterr().err
    assert main(["judge", "1-2-x", "--wrong"]) == exit_codes.USAGE
    assert "say why the answer is wrong" in capsys.readouterr().err


def test_where_the_machine_knows_no_name_one_must_be_given(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert main(["invalidate", "--all"]) == exit_codes.USAGE
    assert "say who you are" in capsys.readouterr().err


def test_without_a_broker_it_ends_with_69_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRAIN_KAFKA", NOWHERE)
    monkeypatch.setenv("REFRAIN_CONNECT_TIMEOUT_MS", "500")
    assert main(["topics", "check"]) == exit_codes.UNAVAILABLE
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert f"no broker answers at {NOWHERE}: " in shown
    assert "Connection refused: start a broker there, or name yours with REFRAIN_KAFKA=host:port" in shown


def test_a_listener_that_hangs_up_is_no_broker_to_these_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that speaks TLS does, or wants a login."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        monkeypatch.setenv("REFRAIN_KAFKA", f"127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("REFRAIN_CONNECT_TIMEOUT_MS", "1500")
        assert main(["topics", "check"]) == exit_codes.UNAVAILABLE
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10.0)
    shown = capsys.readouterr().err
    assert "it may want TLS or a login (`security.protocol` and `sasl.*` in the block `connection`)" in shown


def test_a_name_that_is_nobodys_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRAIN_KAFKA", "broker.invalid:9092")
    monkeypatch.setenv("REFRAIN_CONNECT_TIMEOUT_MS", "500")
    assert main(["ask", "Who?"]) == exit_codes.UNAVAILABLE
    assert "Failed to resolve 'broker.invalid:9092'" in capsys.readouterr().err


def test_a_connection_block_that_the_library_refuses_is_a_wrong_setup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRAIN_CONNECTION", '{"sasl.pasword": "hunter2"}')
    assert main(["topics", "check"]) == exit_codes.WRONG_SETUP
    shown = capsys.readouterr().err
    assert "sasl.pasword" in shown
    assert "hunter2" not in shown


def test_the_list_of_topics_asks_no_broker_and_is_plain_where_no_terminal_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["topics", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t")[0] == "topic"
    assert lines[3].split("\t")[:4] == ["refrain.journal", "tenant/category/slice", "journal.Event", "32"]


def test_every_processor_of_the_table_can_be_loaded() -> None:
    from refrain.ops.run.processors import processor

    assert set(PLACES) == set(NAMES)
    for name in NAMES:
        assert callable(processor(name))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "--into", "copy.", "--speed", "0"], "no speed: write max, or a number above 0"),
        (["replay", "--into", "copy.", "--speed", "fast"], "no speed: write max, or a number above 0"),
        (["replay", "--into", "copy.", "--until", "yesterday"], "or an offset (digits alone)"),
        (["replay"], "--into"),
        (["state", "--at", "-1"], "or an offset (digits alone)"),
        (["export", "entries", "e", "--keep-vectors"], "goes with --redact only"),
        (["export", "journal", "e", "--from", "x"], "or an offset (digits alone)"),
        (["export", "entries", "e", "--compress", "rar"], "none"),
        (["import", "-"], "say --yes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_command_does_not_take_is_refused_before_a_broker_is_asked(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRAIN_KAFKA", NOWHERE)
    assert main(arguments) == exit_codes.USAGE
    assert said in capsys.readouterr().err


def test_the_prefix_before_a_command_wins_and_must_be_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRAIN_PREFIX", "live.")
    assert main(["--prefix", "copy.", "topics", "list", "--json"]) == exit_codes.OK
    assert capsys.readouterr().out.startswith('{"topic":"copy.requests"')
    assert main(["--prefix", "a b", "topics", "list"]) == exit_codes.WRONG_SETUP
    assert "REFRAIN_PREFIX" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [[], ["ask"], ["watch"], ["policies", "apply"], ["run"], ["audit"], ["bench", "evict"]], ids=" ".join
)
def test_flags_look_like_flags_in_a_help_that_reads_at_80_columns(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "<bool>" not in text
    options = [line for line in text.splitlines() if line.startswith("│ --")]
    assert not any("<list" in line or " range>" in line for line in options)
    assert "--help" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_the_help_that_an_error_names_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge", "keys", "list", "--jsn"]) == exit_codes.USAGE
    (named,) = re.findall(r"Try 'refrain (.*)' for help", capsys.readouterr().err)
    assert main(named.split()) == exit_codes.OK
    assert "Usage: refrain edge keys list" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_told(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 0
    assert capsys.readouterr().out.strip() == build_version()


def test_the_same_mistake_ends_with_the_same_code_everywhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRAIN_KAFKA", NOWHERE)
    monkeypatch.setenv("REFRAIN_CONNECT_TIMEOUT_MS", "500")
    missing_files = (
        ["ask", "--file", "none.txt"],
        ["policies", "apply", "none.yaml"],
        ["policies", "diff", "none.yaml"],
        ["whatif", "none.yaml"],
        ["calibrate", "--pairs", "none.jsonl"],
        ["hits", "label", "--from", "none.jsonl"],
        ["evaluate", "pairs", "none.jsonl"],
        ["evaluate", "queries", "none.jsonl"],
        ["categories", "train", "--examples", "none.jsonl", "--out", "c.json"],
        ["categories", "test", "--artefact", "none.json", "--examples", "none.jsonl"],
        ["import", "none.jsonl"],
    )
    codes = {" ".join(command): main(command) for command in missing_files}
    assert set(codes.values()) == {exit_codes.USAGE}, codes
    wrong_names = (
        ["run", "lokup"],
        ["ask", "x", "--cache", "by-pass"],
        ["watch", "decision"],
        ["topics", "acls", "--role", "clasify"],
        ["dead-letters", "list", "--code", "bad_feld"],
        ["run", "lookup", "--log-format", "jsn"],
        ["history", "--kind", "polcy"],
        ["policies", "init", "--example", "papr"],
        ["watch", "decisions", "--outcome", "hitt"],
        ["watch", "decisions", "--reason", "below_treshold"],
        ["dead-letters", "retry", "--code", "bad_feld"],
    )
    for command in wrong_names:
        capsys.readouterr()
        assert main(command) == exit_codes.USAGE, command
        told = capsys.readouterr().err
        assert "did you mean" in told, command
        assert "<" not in told.partition("did you mean")[2], command


def test_who_interrupts_a_command_gets_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    assert entry.main() == entry.INTERRUPTED
