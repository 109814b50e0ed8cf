"""`refrain policies` and `refrain doctor` on a real broker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from refrain.ops.cli import main
from refrain.ops.control.client import ControlClient
from refrain.ops.observe.deadline import Deadline
from refrain.ops.observe.doctor import ANSWER_S, examine
from refrain.ops.terminal import exit_codes
from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.control import SetPolicy
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.errors import CommandRefused
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.runtime.policy_follower import PolicyWatch
from refrain.streams.settings import Settings
from tests.eventually import eventually
from tests.integration.processors import running, running_all
from tests.integration.topics import PARTITIONS_MAX, create_table

POLICY = "categories:\n  code: {threshold: 0.9}\n"
CHANGED = POLICY.replace("0.9", "0.8")
Out = pytest.CaptureFixture[str]
SHIPPED = sorted((Path(__file__).resolve().parents[2] / "infra" / "policies").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _cluster(settings: Settings, admin: AdminClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    create_table(admin, settings.prefix)
    monkeypatch.setenv("REFRAIN_KAFKA", settings.kafka)
    monkeypatch.setenv("REFRAIN_PREFIX", settings.prefix)
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(POLICY)


@contextmanager
def cluster(settings: Settings) -> Iterator[None]:
    """govern and the shards."""
    with running_all((run_govern, run_lookup), settings):
        yield


def apply(*arguments: str, policy: str | None = None, who: str = "ana") -> int:
    """The exit code of applying a policy."""
    if policy is not None:
        Path("p.yaml").write_text(policy)
    return main(["policies", "apply", "p.yaml", "--yes", "--who", who, *arguments])


def test_a_policy_is_applied_once_and_shown(settings: Settings, capsys: Out) -> None:
    assert main(["policies", "show"]) == 1
    with cluster(settings):
        assert apply("--why", "first") == 0
        version = capsys.readouterr().out.strip()
        assert main(["policies", "apply", "p.yaml"]) == 0
        said = capsys.readouterr()
        assert "nothing changes" in said.err
        assert said.out.strip() == version
    assert main(["policies", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["version"], shown["who"], shown["why"]) == (int(version), "ana", "first")
    assert main(["policies", "show", "--yaml"]) == 0
    assert "threshold: 0.9" in capsys.readouterr().out
    assert main(["policies", "show"]) == 0
    assert "code\tallow\t0.9" in capsys.readouterr().out


def test_a_policy_that_is_reported_is_folded_by_every_shard(settings: Settings) -> None:
    with cluster(settings):
        client = ControlClient(settings)
        version = client.send(SetPolicy(who="ana", policy=Policy(categories={"a": CategoryPolicy()})))
        assert client.wait(30) == version
        told = [Acknowledgement.decode(record.value or b"") for record in client.cluster.scan("acknowledgements", 0)]
    assert {each.worker for each in told if each.version == version} == {str(n) for n in range(PARTITIONS_MAX)}


def test_a_change_that_was_overtaken_is_refused_with_the_reason(settings: Settings) -> None:
    first, second = (Policy(categories={name: CategoryPolicy()}) for name in ("a", "b"))
    with cluster(settings):
        client = ControlClient(settings)
        client.send(SetPolicy(who="ana", policy=first))
        seen = client.wait(30)
        client.send(SetPolicy(who="ana", policy=second, expected_version=seen))
        client.wait(30)
        client.send(SetPolicy(who="ben", policy=first, expected_version=seen))
        with pytest.raises(CommandRefused, match="stale_command"):
            client.wait(30)


def test_the_second_of_two_operators_is_told_who_was_faster(
    settings: Settings, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(settings):
        assert apply() == 0
        capsys.readouterr()

        class Hesitant:
            """Says yes, after somebody else was faster."""

            def readline(self) -> str:
                Path("other.yaml").write_text(CHANGED.replace("0.8", "0.7"))
                assert main(["policies", "apply", "other.yaml", "--yes", "--who", "ben", "--why", "hurry"]) == 0
                return "y\n"

        Path("p.yaml").write_text(CHANGED)
        monkeypatch.setattr("sys.stdin", Hesitant())
        assert main(["policies", "apply", "p.yaml", "--who", "ana"]) == exit_codes.FAILED
    said = capsys.readouterr()
    assert "version 1 is in force since " in said.err
    assert "set by ben (hurry)" in said.err
    assert said.out.split() == ["1"]


def test_policies_are_compared_told_and_gone_back_to(settings: Settings, capsys: Out) -> None:
    with cluster(settings):
        assert apply("--why", "first") == 0
        assert apply("--why", "looser", policy=CHANGED, who="ben") == 0
        capsys.readouterr()
        assert main(["policies", "diff", "p.yaml"]) == 0
        assert main(["policies", "diff", "0"]) == 1
        assert capsys.readouterr().out == "~ categories.code.threshold: 0.8 -> 0.9\n"
        assert main(["policies", "diff", "0", "p.yaml", "--json"]) == 1
        assert json.loads(capsys.readouterr().out) == {
            "from": "version 0",
            "to": "p.yaml",
            "changes": ["~ categories.code.threshold: 0.9 -> 0.8"],
        }
        assert main(["policies", "diff", "7"]) == exit_codes.USAGE
        refusal = " ".join(capsys.readouterr().err.replace("│", " ").split())
        assert "no policy of version 7 was ever in force; the last are 0, 1" in refusal
        assert main(["policies", "revert", "--yes", "--who", "cem", "--why", "too loose"]) == 0
        assert capsys.readouterr().out.strip() == "2"
        assert main(["policies", "revert", "1", "--yes", "--who", "cem"]) == 0
    capsys.readouterr()
    assert main(["policies", "history", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["version"], each["who"], each["why"]) for each in told] == [
        (0, "ana", "first"),
        (1, "ben", "looser"),
        (2, "cem", "revert to version 0: too loose"),
        (3, "cem", "revert to version 1"),
    ]
    assert told[2]["changes"] == ["~ categories.code.threshold: 0.8 -> 0.9"]
    assert main(["policies", "history"]) == 0
    assert capsys.readouterr().out.splitlines()[2].endswith("looser\t~ categories.code.threshold: 0.9 -> 0.8")


def test_without_a_policy_there_is_nothing_to_go_back_from(capsys: Out) -> None:
    assert main(["policies", "revert"]) == 1
    assert "no policy is in force" in capsys.readouterr().err
    assert main(["policies", "diff", "p.yaml"]) == 1
    assert main(["policies", "history"]) == 0


def test_a_policy_that_nobody_acts_by_yet_is_not_said_to_be_in_force_by_applying_it_again(
    settings: Settings, capsys: Out
) -> None:
    with running(run_govern, settings):
        assert apply("--timeout", "5") == 75
        assert apply("--timeout", "0.3") == 75
        said = capsys.readouterr()
        assert "nothing changes" in said.err
        assert "shards have not acknowledged" in said.err
        assert said.out == ""
        with running(run_lookup, settings):
            assert apply() == 0
            assert apply() == 0
        assert apply() == 0
    assert capsys.readouterr().out.split() == ["0", "0", "0"]


def test_without_govern_it_says_so_and_can_be_tried_again(capsys: Out) -> None:
    assert apply("--timeout", "0.3") == 75
    assert "is `refrain run govern` running?" in capsys.readouterr().err


def test_without_waiting_it_is_sent_all_the_same(settings: Settings, capsys: Out) -> None:
    assert apply("--no-wait") == 0
    assert capsys.readouterr().out.strip() == "0"
    watch = PolicyWatch(KafkaCluster(settings))
    with running(run_govern, settings):
        eventually(lambda: watch.latest() is not None)


def test_a_policy_that_is_wrong_is_not_sent(capsys: Out) -> None:
    Path("p.yaml").write_text("categories:\n  code: {treshold: 0.9}\n")
    assert main(["policies", "apply", "p.yaml", "--yes"]) == 1
    assert "p.yaml:2: categories.code.treshold: no such key; did you mean threshold?" in capsys.readouterr().err


def test_the_doctor_looks_at_everything(settings: Settings, capsys: Out) -> None:
    seen = {finding.check: finding for finding in examine(settings, soon())}
    of_the_cluster = {"broker", "controller", "replicas", "topics", "policy", "routes", "lag"}
    of_the_cluster |= {"shards", "snapshots", "dead letters", "model calls", "positions"}
    of_this_machine = {"model", "categories", "verifier", "machine", "disk", "files", "workers", "edge"}
    assert set(seen) == of_the_cluster | of_this_machine | {"upstream"}
    assert {seen[check].state for check in ("broker", "controller", "replicas", "topics")} == {"ok"}
    assert seen["policy"].do == "run `refrain policies apply FILE`"
    assert main(["doctor", "--json"]) in (0, 1)
    assert {json.loads(line)["check"] for line in capsys.readouterr().out.splitlines()} >= {"broker", "policy"}


def soon() -> Deadline:
    return Deadline(time.monotonic() + ANSWER_S)


def test_the_doctor_says_when_nobody_answers(settings: Settings) -> None:
    findings = examine(settings.model_copy(update={"kafka": "127.0.0.1:1", "connect_timeout_ms": 500}), soon())
    assert (findings[0].check, findings[0].state) == ("broker", "fail")
    assert "topics" not in {finding.check for finding in findings}


def test_the_doctor_says_once_that_there_are_no_topics(settings: Settings) -> None:
    findings = examine(settings.model_copy(update={"prefix": "of-nobody."}), soon(), call_model=False)
    [told] = [finding for finding in findings if "of-nobody." in finding.seen + finding.do]
    assert (told.check, told.state) == ("topics", "fail")
    assert "refrain topics create" in told.do
    assert "policy" not in {finding.check for finding in findings}


def test_the_end_of_a_transaction_is_no_record_to_lag_behind(settings: Settings) -> None:
    with cluster(settings):
        assert apply() == 0
    lag = {found.seen.partition(":")[0]: found for found in examine(settings, soon()) if found.check == "lag"}
    assert lag["lookup"].seen == "lookup: 0 records behind, 0 members"
    assert lag["govern"].seen == "govern: 0 records behind, 0 members"


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_policies_that_are_shipped_are_taken(settings: Settings, file: Path) -> None:
    with cluster(settings):
        assert main(["policies", "apply", str(file), "--yes"]) == 0
    assert main(["policies", "diff", str(file)]) == 0
