"""Values that only the cluster shows to be wrong end a command as those do that are wrong by themselves."""

from __future__ import annotations

import re

import pytest
from confluent_kafka.admin import AdminClient

from refrain.ops.cli import main
from refrain.streams.settings import Settings
from tests.integration.topics import create_table

USAGE = 2
TAKEN = "9-9-"
"""An entry of no partition that there is; its tag is of no journal either."""


def test_what_the_cluster_does_not_have_is_a_wrong_value(
    settings: Settings, admin: AdminClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create_table(admin, settings.prefix)
    monkeypatch.setenv("REFRAIN_KAFKA", settings.kafka)
    monkeypatch.setenv("REFRAIN_PREFIX", settings.prefix)
    monkeypatch.setenv("REFRAIN_STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")
    part = ("--partition", "99")
    one = ("--partition", "0")
    for command, said in (
        (("replay", "--into", settings.prefix), "is the live prefix"),
        (("replay", "--into", f"{settings.prefix}requests.x."), "is of the live prefix"),
        (("replay", "--into", "copy.", *part), "no 99"),
        (("replay", "--into", "copy.", *one, "--until", "77"), "there is no 77"),
        (("state", *part), "no 99"),
        (("state", "--at", "77", *one), "there is no 77"),
        (("state", "--at", "77"), "name it with --partition"),
        (("state", *one, "--category", "cod"), "nothing of category 'cod'"),
        (("audit", *part), "no 99"),
        (("whatif", "--uniform", *part), "no 99"),
        (("export", "journal", "-", *part), "no 99"),
        (("export", "journal", "-", *one, "--from", "77"), "there is no 77"),
        (("export", "entries", "-", "--category", "cod"), "no category 'cod'"),
        (("snapshots", "list", *part), "99"),
        (("shards", "recover", "99", "--empty", "--yes"), "partitions"),
        (("served", "--entry", f"{TAKEN}notofthis"), "no id of an entry"),
        (("served", "--entry", f"{TAKEN}notmine_"), "of another incarnation"),
        (("explain", f"{TAKEN}notmine_"), "of another incarnation"),
    ):  # fmt: skip
        capsys.readouterr()
        assert (main(list(command)), command) == (USAGE, command)
        assert said in re.sub(r"[\s│]+", " ", capsys.readouterr().err), command
