"""`refrain served` and `refrain history`: every request that drew on a source, and every command."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
import typer

from refrain.ops.cli import main
from refrain.ops.cluster.scan import records
from refrain.ops.explain.commands import CommandKind, GivenCommand
from refrain.ops.explain.history_command import commands
from refrain.ops.explain.served_command import FIELDS, check_policy, gone, write_csv
from refrain.ops.explain.uses import Wanted, uses
from refrain.ops.terminal import exit_codes
from refrain.ops.terminal.moments import Between, between
from refrain.schemas.control import Command, Invalidate, Judge, ReportLoad, SetPolicy, Switch
from refrain.streams.errors import BadInput, Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.dead_letters import dead_letter
from tests.ops.explain.recording import Denied, Recording
from tests.streams.shard.handlers.test_imported import imported
from tests.streams.shard.journal import near, policy, vector

ALWAYS = Between(0, None)
ALL = frozenset(CommandKind)


def found(run: Recording, **wanted: Any) -> list[str]:
    return [each.id for each in uses(run.cluster, Wanted(**wanted), records)]


@pytest.fixture(name="run")
def _run() -> Recording:
    run = Recording()
    run.ask("a", vector(1.0), "so", sources=({"id": "doc-7", "version": "1"},))
    run.ask("b", near(0.95))
    run.ask("c", vector(0.0, 0.0, 1.0), "other", sources=({"id": "doc-70"},))
    run.ask("c", vector(0.0, 0.0, 1.0), after_ms=10_000)
    run.run()
    return run


def ids(run: Recording, *numbers: int) -> list[str]:
    rows = run.cluster.topic("decisions").records[0]
    return [(rows[number].key or b"").decode() for number in numbers]


def test_what_drew_on_a_source_is_found_by_the_model_and_by_the_cache(run: Recording) -> None:
    assert found(run, source="doc-7") == ids(run, 0, 1)
    assert found(run, source="doc-70") == ids(run, 2, 3)
    assert found(run, source="doc-8") == []


def test_what_an_imported_entry_served_draws_on_its_sources() -> None:
    run = Recording()
    imported(run.journal, 7, sources=({"id": "doc-7"},))
    hit = run.ask("b", near(0.95))
    run.run()
    assert found(run, source="doc-7") == [hit]


def test_what_an_entry_served_is_found(run: Recording) -> None:
    assert found(run, entry="0-2--_journa") == ids(run, 1)


def test_all_that_is_given_must_match(run: Recording) -> None:
    assert found(run, policy=0, category="code") == ids(run, 0, 1, 2, 3)
    assert found(run, policy=0, category="chat") == []
    assert found(run, policy=4) == []
    assert found(run, category="-") == []
    assert found(run, tenant="acme", model="m") == ids(run, 0, 1, 2, 3)
    assert found(run, tenant="acme", model="n") == []
    assert found(run, tenant="another") == []
    assert found(run, policy=0, when=Between(1_010_000, None)) == ids(run, 3)
    assert found(run, policy=0, when=Between(0, 1_010_000)) == ids(run, 0, 1, 2)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({}, "nothing is asked for"),
        ({"entry": "x"}, "no id of an entry"),
        ({"entry": "0-2-elsewher"}, "another incarnation"),
    ],
)
def test_what_cannot_be_asked_is_named(run: Recording, wanted: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        found(run, **wanted)


def test_csv_has_a_line_of_names_and_no_formula(run: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    run = Recording()
    run.ask("a", vector(1.0), request_id='=HYPERLINK("x"),\n1')
    run.run()
    write_csv(uses(run.cluster, Wanted(policy=0), records))
    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert tuple(line) == FIELDS
    assert line["request_id"] == '\'=HYPERLINK("x"),\n1'


@pytest.mark.parametrize(("since", "to"), [("2026-03-02", "2026-03-01"), ("2026-03-01", "2026-03-01"), ("when", None)])
def test_moments_in_the_wrong_order_are_refused(since: str, to: str | None) -> None:
    with pytest.raises(typer.BadParameter):
        between(since, to)


def given(run: Recording, *orders: Command | bytes) -> None:
    for order in orders:
        value = order if isinstance(order, bytes) else order.encode()
        run.cluster.append([Outgoing("control", None, value)])


def listed(run: Recording, kinds: frozenset[CommandKind] = ALL, when: Between = ALWAYS) -> list[GivenCommand]:
    return list(commands(run.cluster, kinds, when))


def test_every_command_is_told_with_what_it_changed(run: Recording) -> None:
    given(
        run,
        SetPolicy(who="ann", policy=policy(threshold=0.95)),
        Invalidate(who="bob", why="it moved", source_id="doc-7"),
        Judge(who="eve", decision_id="0-1-x", correct=False),
        Switch(who="bob", on=False, category="code"),
        ReportLoad(who="adapt", model="m", load=0.5, valid_until_ms=1),
        b"not JSON",
    )
    told = listed(run)
    assert [(each.version, each.kind) for each in told[1:]] == list(
        enumerate(
            [
                CommandKind.POLICY,
                CommandKind.WITHDRAWAL,
                CommandKind.JUDGEMENT,
                CommandKind.SWITCH,
                CommandKind.LOAD,
                CommandKind.UNREADABLE,
            ],
            1,
        )
    )
    assert "threshold: 0.9 -> 0.95" in told[1].what
    assert (told[2].who, told[2].why, told[2].what) == ("bob", "it moved", "withdraw source_id doc-7")
    assert told[3].what == "decision 0-1-x is wrong"
    assert told[4].what == "switch the cache off for code"
    assert told[5].what == "load of m: 0.5"
    assert told[6].refused == "it cannot be read"


def test_a_refused_policy_is_told_so_and_changes_nothing(run: Recording) -> None:
    given(run, SetPolicy(who="ann", policy=policy(threshold=0.95)), SetPolicy(who="eve", policy=policy(threshold=0.99)))
    refused = run.cluster.topic("control").records[0][1]
    run.cluster.append([dead_letter(refused, Refusal(RefusalCode.STALE_COMMAND, "look again"), "govern")])
    _, first, second = listed(run)
    assert "look again" in (first.refused or "")
    assert second.refused is None
    assert "threshold: 0.9 -> 0.99" in second.what


def test_a_policy_that_was_never_given_is_told_and_one_that_retention_took_is_not(run: Recording) -> None:
    run.run()
    check_policy(run.cluster, None)
    check_policy(run.cluster, 0)
    check_policy(Denied(run.cluster, "control"), 9)
    given(run, Switch(who="bob", on=True))
    for version in (1, 2, 10**12):
        with pytest.raises(typer.BadParameter, match=f"no policy has the version {version}"):
            check_policy(run.cluster, version)
    run.cluster.delete_records("control", 0, 2)
    check_policy(run.cluster, 1)


def test_what_retention_took_is_told_beside_what_is_shown(run: Recording) -> None:
    run.run()
    assert list(gone(run.cluster, Wanted(source="doc-7"))) == []
    run.cluster.delete_records("decisions", 0, 1)
    run.cluster.delete_records("journal", 0, 1)
    assert len(list(gone(run.cluster, Wanted(category="code")))) == 1
    assert len(list(gone(run.cluster, Wanted(source="doc-7")))) == 2


def test_kinds_and_moments_narrow_the_history(run: Recording) -> None:
    run.stage.clock.now_ms = 9_000_000
    given(run, Switch(who="bob", on=True))
    assert [each.version for each in listed(run, frozenset({CommandKind.SWITCH}))] == [1]
    assert [each.version for each in listed(run, when=Between(0, 9_000_000))] == [0]
    assert [each.version for each in listed(run, when=Between(9_000_000, None))] == [1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["served"],
        ["served", "--policy", "1", "--json", "--csv"],
        ["served", "--category", "c", "--from", "2026-03-02", "--to", "2026-03-01"],
        ["history", "--from", "2026-03-02", "--to", "2026-03-01"],
        ["history", "--kind", "rumour"],
        ["explain"],
    ],
)
def test_a_wrong_command_line_ends_before_any_broker_is_asked(arguments: list[str]) -> None:
    assert main(arguments) == exit_codes.USAGE
