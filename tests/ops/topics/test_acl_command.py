"""`refrain topics acls`: what each role may do, for the tools that grant it."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
import yaml

from refrain.ops.cli import main
from refrain.ops.topics.acls import Acl, acls_of, grants
from refrain.schemas.topics import BY_NAME, CONSUMING, PROCESSORS, ROLES, TOPICS, needs, reads, writes
from refrain.streams.settings import Classify, Settings

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No settings but those of the test."""
    monkeypatch.setenv("REFRAIN_PREFIX", "refrain.")
    monkeypatch.setenv("REFRAIN_KAFKA", "broker:9092")
    monkeypatch.chdir(tmp_path)


def printed(*arguments: str, capsys: Out) -> str:
    assert main(["topics", "acls", *arguments]) == 0
    return capsys.readouterr().out


def rows(*arguments: str, capsys: Out) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed(*arguments, "--json", capsys=capsys).splitlines()]


def told_wrong(*arguments: str, capsys: Out) -> str:
    """What is said to a command line that cannot be taken."""
    assert main(["topics", "acls", *arguments]) == 2
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


def on_topics(role: str, settings: Settings) -> dict[str, tuple[str, ...]]:
    found = [acl for acl in acls_of(role, settings) if acl.resource == "topic"]
    return {acl.name.removeprefix(settings.prefix): acl.operations for acl in found}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_the_table_says_and_look_at_nothing_else(role: str) -> None:
    found = on_topics(role, Settings())
    assert {topic for topic, may in found.items() if "Read" in may} == set(reads(role))
    assert {topic for topic, may in found.items() if "Write" in may} == set(writes(role))
    assert found.keys() == set(needs(role))
    assert all("Describe" in may for may in found.values())


def test_topics_are_created_by_operators_alone() -> None:
    creators = {role for role in ROLES for may in on_topics(role, Settings()).values() if "Create" in may}
    assert creators == {"operators"}
    assert all("Create" in may for may in on_topics("operators", Settings()).values())
    assert on_topics("operators", Settings()).keys() == BY_NAME.keys()


def test_a_lookup_worker_has_its_group_its_transactional_id_and_the_settings_of_documents(capsys: Out) -> None:
    found = rows("--role", "lookup", capsys=capsys)
    assert {(row["principal"], *row["roles"]) for row in found} == {("User:refrain-lookup", "lookup")}
    kept = {(row["resource"], row["name"], row["pattern"]): row["operations"] for row in found}
    assert kept["topic", "refrain.documents", "literal"] == ["Read", "Write", "Describe", "DescribeConfigs"]
    assert kept["group", "refrain.lookup", "literal"] == ["Read", "Describe"]
    assert kept["group", "refrain.scan", "literal"] == ["Describe"]
    assert kept["transactional-id", "refrain.lookup-", "prefixed"] == ["Write", "Describe"]


def test_a_processor_that_reads_nothing_beside_its_group_scans_nothing() -> None:
    scanning = {role for role in PROCESSORS for acl in acls_of(role, Settings()) if acl.name == "refrain.scan"}
    assert scanning == {"classify", "lookup", "populate", "upstream", "govern", "adapt"}


def test_reply_topics_are_written_by_those_who_answer() -> None:
    settings = Settings(classify=Classify(reply_topics=("team.*", "other.replies", "*")))
    for role in ("classify", "lookup", "populate"):
        found = {acl for acl in acls_of(role, settings) if acl.resource == "topic" and "Write" in acl.operations}
        assert {
            Acl("topic", "team.", "prefixed", ("Write", "Describe", "DescribeConfigs")),
            Acl("topic", "other.replies", "literal", ("Write", "Describe", "DescribeConfigs")),
            Acl("topic", "*", "literal", ("Write", "Describe", "DescribeConfigs")),
        } <= found
    assert not any(acl.name == "team." for role in ("upstream", "clients") for acl in acls_of(role, settings))


TENANTS = Settings(classify=Classify(topics=("requests.acme", "requests.umbrella"), tenants="topic"))


def test_where_one_worker_reads_the_topics_of_tenants_it_may_read_all_of_them() -> None:
    for role, may in (("classify", ("Read", "Describe")), ("operators", None)):
        found = on_topics(role, TENANTS)
        assert {name for name in found if name.startswith("requests")} == {"requests.acme", "requests.umbrella"}
        assert may is None or found["requests.acme"] == found["requests.umbrella"] == may


def test_the_clients_of_each_tenant_are_a_principal_that_writes_to_its_topic_alone() -> None:
    found = {
        grant.name: [acl.name for acl in grant.acls if "Write" in acl.operations]
        for grant in grants(TENANTS, ["clients"], {})
    }
    assert found == {
        "refrain-clients-acme": ["refrain.requests.acme"],
        "refrain-clients-umbrella": ["refrain.requests.umbrella"],
    }
    (alone,) = grants(Settings(classify=Classify(topic="requests.acme", tenants="topic")), ["clients"], {})
    assert alone.name == "refrain-clients"


def test_without_a_prefix_names_stand_alone() -> None:
    (grant,) = grants(Settings(prefix=""), ["govern"], {})
    assert grant.name == "govern"
    assert Acl("topic", "policies", "literal", ("Read", "Write", "Describe")) in grant.acls
    assert Acl("transactional-id", "govern", "literal", ("Write", "Describe")) in grant.acls


def test_the_commands_grant_what_the_json_says(capsys: Out) -> None:
    wanted = {
        (row["principal"], row["resource"], row["name"], row["pattern"], operation)
        for row in rows(capsys=capsys)
        for operation in row["operations"]
    }
    found = set()
    lines = printed("--command-config", "my admin.properties", capsys=capsys).splitlines()
    assert [line for line in lines if line.startswith("#")] == [f"# {role}" for role in ROLES]
    for line in lines:
        words = shlex.split(line, comments=True)
        if not words:
            continue
        head = ["kafka-acls.sh", "--bootstrap-server", "broker:9092", "--command-config", "my admin.properties"]
        assert words[:6] == [*head, "--add"]
        options = list(zip(words[6::2], words[7::2], strict=True))
        values = {name: [value for key, value in options if key == name] for name, _ in options}
        pattern = values.get("--resource-pattern-type", ["literal"])[0]
        found |= {
            (principal, resource, name, pattern, operation)
            for principal in values["--allow-principal"]
            for resource in ("topic", "group", "transactional-id")
            for name in values.get(f"--{resource}", [])
            for operation in values["--operation"]
        }
    assert found == wanted


def test_a_kafka_user_a_principal_for_strimzi(capsys: Out) -> None:
    text = printed("--format", "strimzi", "--cluster", "prod", "--authentication", "tls", capsys=capsys)
    users = list(yaml.safe_load_all(text))
    assert [user["metadata"]["name"] for user in users] == [f"refrain-{role}" for role in ROLES]
    govern = next(user for user in users if user["metadata"]["name"] == "refrain-govern")
    assert (govern["apiVersion"], govern["kind"]) == ("kafka.strimzi.io/v1", "KafkaUser")
    assert govern["metadata"]["labels"] == {"strimzi.io/cluster": "prod"}
    assert govern["spec"]["authentication"] == {"type": "tls"}
    rules = govern["spec"]["authorization"]["acls"]
    assert govern["spec"]["authorization"]["type"] == "simple"
    assert {
        "resource": {"type": "transactionalId", "name": "refrain.govern", "patternType": "literal"},
        "operations": ["Write", "Describe"],
        "host": "*",
    } in rules
    bare = ("--role", "govern", "--format", "strimzi", "--cluster", "p", "--authentication", "none", "--api", "v1beta2")
    user = yaml.safe_load(printed(*bare, capsys=capsys))
    assert user["apiVersion"] == "kafka.strimzi.io/v1beta2"
    assert "authentication" not in user["spec"]


def test_several_roles_may_be_one_user(capsys: Out) -> None:
    chosen = ("--role", "populate", "--role", "classify", "--principal", "classify=w", "--principal", "populate=w")
    found = rows(*chosen, capsys=capsys)
    assert {row["principal"] for row in found} == {"User:w"}
    assert all(row["roles"] == ["classify", "populate"] for row in found)
    names = [(row["resource"], row["name"], row["pattern"]) for row in found]
    assert len(names) == len(set(names))
    (user,) = yaml.safe_load_all(printed(*chosen, "--format", "strimzi", "--cluster", "c", capsys=capsys))
    assert len(user["spec"]["authorization"]["acls"]) == len(found)


def test_a_distinguished_name_is_a_principal(capsys: Out) -> None:
    lines = printed("--role", "clients", "--principal", "clients=CN=my shop,O=us", capsys=capsys).splitlines()
    assert "User:CN=my shop,O=us" in shlex.split(lines[1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--role", "nobody"], "'nobody' is no role: choose from adapt, "),
        (["--principal", "classify"], "is not ROLE=NAME"),
        (["--principal", "nobody=x"], "is not ROLE=NAME"),
        (["--principal", "classify="], "names no principal"),
        (["--principal", "classify=*"], "names no principal"),
        (["--principal", "classify=a\nb"], "names no principal"),
        (["--principal", "classify=User:x"], "leave `User:` out"),
        (["--principal", "classify=x", "--principal", "classify=y"], "classify has two principals, 'x' and 'y'"),
        (["--format", "other"], "'other' is no value of it: choose from kafka-acls, strimzi"),
        (["--format", "strimzi"], "--cluster"),
        (["--cluster", "c"], "--format strimzi"),
    ],
)
def test_what_cannot_be_taken_is_told(arguments: list[str], said: str, capsys: Out) -> None:
    assert said in told_wrong(*arguments, capsys=capsys)


def test_a_name_that_kubernetes_does_not_take_is_told(capsys: Out) -> None:
    chosen = ["--role", "clients", "--principal", "clients=My_Shop", "--format", "strimzi", "--cluster", "c"]
    assert "name another with --principal clients=NAME" in told_wrong(*chosen, capsys=capsys)


def test_the_list_shows_who_reads_and_writes(capsys: Out) -> None:
    assert main(["topics", "list", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["topic"] for row in listed] == [f"refrain.{topic.name}" for topic in TOPICS]
    letters = next(row for row in listed if row["topic"] == "refrain.dead-letters")
    assert letters["writers"] == list(CONSUMING)
