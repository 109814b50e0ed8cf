"""The Helm chart: its topics and rights are those of the table; what it renders, where helm is at hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from infra.helm.generate import CHART, FILES, rendered
from refrain.ops.config.settings import load_settings, unknown_variables
from refrain.ops.config.settings_schema import settings_schema
from refrain.ops.run.processors import ON_DEMAND
from refrain.ops.topics.acl_formats import Strimzi, strimzi
from refrain.ops.topics.acls import acls_of, grants
from refrain.schemas.topics import BY_NAME, GROUPS, PROCESSORS, ROLES, SHARDED, TOPICS
from refrain.streams.edge.access import access_of
from refrain.streams.edge.jwks import FileKeys
from refrain.streams.edge.keys import PEPPER, changing, is_open_to_others, keys_path, new_key, pepper_of
from refrain.streams.edge.tokens import token_check
from refrain.streams.settings import Settings
from tests.streams.edge.provider import jwks

HELM = shutil.which("helm")
with_helm = pytest.mark.skipif(HELM is None, reason="no helm")
KUBERNETES = "1.31.0"
HELM_S = 60
ENDPOINT_PORT = 8400
LEAST = ["kafka.bootstrapServers=kafka:9093", "routes.keysSecret.name=routes", "kafka.userSecret=login"]
EDGE = ["edge.enabled=true", "edge.keysSecret.name=edge-keys", "edge.pepperSecret.name=edge-pepper"]
WITH_EDGE = [*LEAST, *EDGE]
STRIMZI = [
    "kafka.bootstrapServers=kafka:9093", "routes.keysSecret.name=routes", "kafka.caSecret.name=main-cluster-ca-cert",
    "strimzi.cluster=main", "strimzi.users=true", "topics.create=strimzi", "prefix=shop.", "topics.shards=64",
    "settings.classify.reply_topics={answers.*}", "autoscaling.by=keda", "podMonitor.enabled=true",
    *EDGE,
]  # fmt: skip
TOKENS = [
    "settings.jwt.issuer=https://login.example.org/realms/shop", "settings.jwt.audience=refrain",
    "settings.jwt.jwks_url=https://login.example.org/keys",
]  # fmt: skip
Objects = list[dict[str, Any]]


def load(name: str) -> Any:
    return yaml.safe_load((FILES / name).read_text(encoding="utf-8"))


def values() -> Any:
    return yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def test_the_files_of_the_chart_are_those_of_the_table() -> None:
    on_disk = {path: path.read_text(encoding="utf-8") for path in FILES.iterdir()}
    assert on_disk == rendered(), "run `python -m infra.helm.generate` and commit what it writes"


def test_its_topics_have_the_settings_of_the_table() -> None:
    found = {topic["name"]: topic for topic in load("topics.yaml")}
    assert list(found) == list(BY_NAME)
    for topic in TOPICS:
        assert found[topic.name]["config"] == topic.config()
        assert found[topic.name]["partitions"] == topic.partitions
        assert found[topic.name]["sharded"] == (topic.name in SHARDED)


@pytest.mark.parametrize("role", ROLES)
def test_its_rights_are_those_that_the_role_needs(role: str) -> None:
    told = load("roles.yaml")[role]
    with_prefix = [
        {**acl, "name": f"shop.{acl['name']}", "operations": tuple(acl["operations"])} for acl in told["acls"]
    ]
    assert with_prefix == [acl._asdict() for acl in acls_of(role, Settings(prefix="shop."))]
    assert told["topic"] == GROUPS.get(role)


def test_its_values_name_every_processor_and_scale_none_beyond_its_partitions() -> None:
    assert set(values()["processors"]) == set(PROCESSORS) - set(ON_DEMAND)
    assert {name: values()[name]["enabled"] for name in ON_DEMAND} == dict.fromkeys(ON_DEMAND, False)
    assert values()["prefix"] == Settings().prefix
    scaled = {name for name, own in values()["processors"].items() if own.get("autoscaling")}
    assert scaled <= {name for name in PROCESSORS if name not in ("lookup", "govern", "adapt")}
    assert values()["autoscaling"]["maxReplicas"] <= min(BY_NAME[GROUPS[name]].partitions for name in scaled)


def helm(*arguments: str, code: int = 0) -> str:
    assert HELM is not None
    done = subprocess.run([HELM, *arguments], capture_output=True, text=True, timeout=HELM_S, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def render(settings: list[str], code: int = 0, chart: Path = CHART) -> str:
    chosen = [part for each in settings for part in ("--set", each)]
    return helm("template", "shop", str(chart), "--kube-version", KUBERNETES, *chosen, code=code)


def objects(settings: list[str], chart: Path = CHART) -> Objects:
    return [each for each in yaml.safe_load_all(render(settings, chart=chart)) if each]


def notes(settings: list[str], folder: Path) -> str:
    """What helm says after an installation. Without a cluster it renders the text and keeps it to itself."""
    chart = shutil.copytree(CHART, folder / "chart")
    text = (chart / "templates/NOTES.txt").read_text(encoding="utf-8")
    named = f'{{{{ define "notes" }}}}{text}{{{{ end }}}}'
    told = '{apiVersion: v1, kind: Notes, text: {{ include "notes" . | toJson }}}'
    (chart / "templates/told.yaml").write_text(f"{named}\n{told}\n", encoding="utf-8")
    [found] = of_kind(objects(settings, chart), "Notes")
    return str(found["text"])


def of_kind(made: Objects, kind: str) -> Objects:
    return [each for each in made if each["kind"] == kind]


def pods(made: Objects) -> Iterator[Any]:
    for each in made:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield each["spec"]["template"]["spec"]


@with_helm
@pytest.mark.parametrize("settings", [LEAST, WITH_EDGE, STRIMZI], ids=["least", "edge", "strimzi"])
def test_helm_finds_nothing_wrong(settings: list[str]) -> None:
    helm("lint", str(CHART), "--strict", *(part for each in settings for part in ("--set", each)))


@with_helm
def test_strimzis_topics_are_the_table_under_the_prefix() -> None:
    found = {each["spec"]["topicName"]: each["spec"] for each in of_kind(objects(STRIMZI), "KafkaTopic")}
    assert list(found) == [f"shop.{topic.name}" for topic in TOPICS]
    for topic in TOPICS:
        spec = found[f"shop.{topic.name}"]
        assert spec["partitions"] == (64 if topic.name in SHARDED else topic.partitions)
        assert spec["config"] == {"min.insync.replicas": "2", **topic.config()}
        assert spec["replicas"] == 3


def rights(users: Iterable[Any]) -> dict[str, tuple[str, list[str]]]:
    """Of each user how it logs in, and its ACLs, whose order says nothing."""
    return {
        user["metadata"]["name"]: (
            user["spec"]["authentication"]["type"],
            sorted(json.dumps(acl, sort_keys=True) for acl in user["spec"]["authorization"]["acls"]),
        )
        for user in users
    }


@with_helm
@pytest.mark.parametrize("topic", ["requests", "requests.acme"])
def test_strimzis_users_are_those_that_the_command_prints(topic: str) -> None:
    settings = Settings.model_validate(
        {"prefix": "shop.", "classify": {"reply_topics": ("answers.*",), "topic": topic}}
    )
    wanted = yaml.safe_load_all(strimzi(grants(settings, ROLES, {}), Strimzi("main", "scram-sha-512", "v1")))
    made = objects([*STRIMZI, f"settings.classify.topic={topic}"])
    assert rights(of_kind(made, "KafkaUser")) == rights(wanted)
    assert f"shop.{topic}" in [each["spec"]["topicName"] for each in of_kind(made, "KafkaTopic")]


@with_helm
@pytest.mark.parametrize("settings", [LEAST, WITH_EDGE, STRIMZI], ids=["least", "edge", "strimzi"])
def test_pods_run_as_nobody_in_particular_on_a_read_only_root_and_hold_no_secret(settings: list[str]) -> None:
    made = objects(settings)
    assert of_kind(made, "Secret") == []
    assert list(pods(made))
    for pod in pods(made):
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "limits" in container["resources"]


@with_helm
@pytest.mark.parametrize(
    ("settings", "names"),
    [(LEAST, set(PROCESSORS) - set(ON_DEMAND)), (WITH_EDGE, set(PROCESSORS))],
    ids=["least", "edge"],
)
def test_each_processor_has_workers_probes_and_a_budget_and_lookup_keeps_its_shards(
    settings: list[str], names: set[str]
) -> None:
    made = objects(settings)
    workers = {each["metadata"]["name"]: each for each in made if each["kind"] in ("Deployment", "StatefulSet")}
    assert set(workers) == {f"shop-refrain-{name}" for name in names}
    assert {each["metadata"]["name"] for each in of_kind(made, "PodDisruptionBudget")} == set(workers)
    assert [each["metadata"]["name"] for each in of_kind(made, "StatefulSet")] == ["shop-refrain-lookup"]
    assert workers["shop-refrain-lookup"]["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] == "state"
    for name, worker in workers.items():
        [container] = worker["spec"]["template"]["spec"]["containers"]
        assert container["args"] == ["run", name.removeprefix("shop-refrain-")]
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


@with_helm
@pytest.mark.parametrize("settings", [LEAST, WITH_EDGE, STRIMZI, [*LEAST, "settings.lookup.batch_max=100"]])
def test_the_settings_of_workers_are_settings(settings: list[str]) -> None:
    made = objects(settings)
    for found in of_kind(made, "ConfigMap"):
        Draft202012Validator(settings_schema()).validate(tomllib.loads(found["data"]["refrain.toml"]))
    for pod in pods(made):
        named = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        assert json.loads(named["REFRAIN_CONNECTION"])["sasl.password_file"] == "/run/secrets/kafka/password"
        assert unknown_variables(named) == []


@with_helm
def test_pods_of_lookup_keep_their_shards_where_they_are_to() -> None:
    for settings, kept in ((LEAST, False), ([*LEAST, "persistence.keepShardsMs=60000"], True)):
        made = objects(settings)
        for name in ("lookup", "classify"):
            named = {each["name"]: each for each in worker(made, name)["containers"][0]["env"]}
            assert ("REFRAIN_SESSION_TIMEOUT_MS" in named) == (kept and name == "lookup")
            if kept and name == "lookup":
                assert named["REFRAIN_LOOKUP__KEEP_SHARDS"]["value"] == "true"
                assert named["REFRAIN_SESSION_TIMEOUT_MS"]["value"] == "60000"


def worker(made: Objects, name: str) -> Any:
    """The spec of the pods of a processor."""
    [found] = [
        each for each in made if each["metadata"]["name"] == f"shop-refrain-{name}" and "template" in each["spec"]
    ]
    return found["spec"]["template"]["spec"]


def secrets(pod: Any) -> dict[str, str]:
    """Where a pod's container finds its Secrets: the folder of each."""
    [container] = pod["containers"]
    folders = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    return {each["secret"]["secretName"]: folders[each["name"]] for each in pod["volumes"] if "secret" in each}


@with_helm
def test_the_endpoint_takes_the_keys_of_the_secrets_and_signs_whose_requests_are(tmp_path: Path) -> None:
    made = objects([*WITH_EDGE, "settings.classify.tenants=header", "tenants.keysSecret.name=tenants"])
    pod = worker(made, "edge")
    folders = {name: Path(folder) for name, folder in secrets(pod).items()}
    local = Settings(state_dir=tmp_path)
    key, kept = new_key(pepper_of(local), "acme", 0)
    with changing(keys_path(local)) as known:
        known.append(kept)
    texts = {
        folders["edge-keys"] / "keys": keys_path(local).read_text(),
        folders["edge-pepper"] / "pepper": (tmp_path / PEPPER).read_text(),
        folders["tenants"] / "keys": "a" * 64,
        folders["routes"] / "keys": "b" * 64,
        folders["login"] / "password": "secret",
    }
    for path, text in texts.items():
        there = tmp_path / path.relative_to("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text)
        there.chmod(0o600)
    settings = load_settings(environment(made, pod, tmp_path))
    keys = access_of(settings).keys
    assert keys is not None
    assert keys.find(key) == kept
    assert (settings.edge.host, settings.edge.port) == ("0.0.0.0", ENDPOINT_PORT)
    assert (settings.classify.tenants, settings.tenants.keys) == ("header", SecretStr("a" * 64))


def environment(made: Objects, pod: Any, root: Path) -> dict[str, str]:
    """The variables of a pod, with its settings, where its files lie under `root`."""
    [settings] = [each for each in of_kind(made, "ConfigMap") if each["metadata"]["name"] == "shop-refrain"]
    config = root / "refrain.toml"
    config.write_text(settings["data"]["refrain.toml"].replace("/run/secrets", f"{root}/run/secrets"))
    named = {each["name"]: each["value"] for each in pod["containers"][0]["env"] if "value" in each}
    found = {name: value.replace("/run/secrets", f"{root}/run/secrets") for name, value in named.items()}
    return {**found, "REFRAIN_CONFIG": str(config)}


@with_helm
def test_the_secrets_of_the_endpoint_are_its_own() -> None:
    made = objects([*WITH_EDGE, "settings.classify.tenants=header", "tenants.keysSecret.name=tenants"])
    holders = {name: {each for each in PROCESSORS if name in secrets(worker(made, each))} for name in
               ("edge-keys", "edge-pepper", "tenants")}  # fmt: skip
    assert holders == {"edge-keys": {"edge"}, "edge-pepper": {"edge"}, "tenants": {"classify", "edge"}}
    for volume in worker(made, "edge")["volumes"]:
        if "secret" in volume:
            # With the group of the pods: what root's files may show.
            assert not is_open_to_others(os.stat_result((volume["secret"]["defaultMode"], *[0] * 9)))


@with_helm
def test_the_endpoint_is_reached_by_its_service_and_reaches_the_model() -> None:
    asks = {"podSelector": {"matchLabels": {"app": "shop"}}}
    made = objects([*WITH_EDGE, "edge.service.port=80", "edge.from[0].podSelector.matchLabels.app=shop"])
    [service] = [each for each in of_kind(made, "Service") if each["metadata"]["name"] == "shop-refrain-edge"]
    [port] = service["spec"]["ports"]
    [container] = worker(made, "edge")["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert (service["spec"]["type"], port["port"], ports[port["targetPort"]]) == ("ClusterIP", 80, ENDPOINT_PORT)
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(made, "NetworkPolicy")}
    own = policies["shop-refrain-edge"]
    assert own["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "edge"
    assert own["ingress"] == [{"ports": [{"port": ENDPOINT_PORT, "protocol": "TCP"}], "from": [asks]}]
    [reaches] = policies["shop-refrain-model"]["podSelector"]["matchExpressions"]
    assert reaches["values"] == ["upstream", "edge"]


@with_helm
def test_the_endpoint_that_takes_tokens_alone_needs_no_secret_of_keys_and_reaches_the_provider() -> None:
    provider = "networkPolicy.identityTo[0].to[0].ipBlock.cidr=10.1.0.0/16"
    made = objects([*LEAST, "edge.enabled=true", "settings.edge.auth=jwt", *TOKENS, provider])
    pod = worker(made, "edge")
    assert {"edge-keys", "edge-pepper"}.isdisjoint(volume["name"] for volume in pod["volumes"])
    named = {each["name"] for each in pod["containers"][0]["env"]}
    assert {"REFRAIN_EDGE__KEYS_FILE", "REFRAIN_EDGE__PEPPER_FILE"}.isdisjoint(named)
    [own] = [each for each in of_kind(made, "NetworkPolicy") if each["metadata"]["name"] == "shop-refrain-edge"]
    assert own["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert own["spec"]["egress"] == [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}]


@with_helm
def test_the_endpoint_asks_an_issuer_alone_where_its_keys_are() -> None:
    made = objects([*LEAST, "edge.enabled=true", "settings.edge.auth=jwt", *TOKENS[:2]])
    [own] = [each for each in of_kind(made, "NetworkPolicy") if each["metadata"]["name"] == "shop-refrain-edge"]
    assert own["spec"]["egress"] == [{"ports": [{"port": 443, "protocol": "TCP"}]}]


@with_helm
@pytest.mark.parametrize("kind", ["configMap", "secret"])
def test_keys_of_tokens_from_a_file_need_no_provider(kind: str, tmp_path: Path) -> None:
    made = objects([*LEAST, "edge.enabled=true", "settings.edge.auth=jwt", *TOKENS[:2], f"edge.jwks.{kind}=issuer"])
    [own] = [each for each in of_kind(made, "NetworkPolicy") if each["metadata"]["name"] == "shop-refrain-edge"]
    assert own["spec"]["policyTypes"] == ["Ingress"]
    pod = worker(made, "edge")
    [volume] = [each for each in pod["volumes"] if each["name"] == "edge-jwks"]
    assert "issuer" in (volume[kind].get("name"), volume[kind].get("secretName"))
    [mount] = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "edge-jwks"]
    path = tmp_path / mount["mountPath"].removeprefix("/") / volume[kind]["items"][0]["path"]
    path.parent.mkdir(parents=True)
    path.write_bytes(jwks("a"))
    path.chmod(volume[kind]["defaultMode"])
    routes = tmp_path / "run/secrets/routes/keys"
    routes.parent.mkdir(parents=True)
    routes.write_text("a" * 64)
    login = tmp_path / "run/secrets/kafka/password"
    login.parent.mkdir(parents=True)
    login.write_text("secret")
    check = token_check(load_settings(environment(made, pod, tmp_path)).jwt)
    assert check is not None
    assert isinstance(check.source, FileKeys)
    assert [name for name in PROCESSORS if name not in ON_DEMAND for each in worker(made, name)["volumes"]
            if each["name"] == "edge-jwks"] == []  # fmt: skip


@with_helm
def test_the_endpoint_that_takes_tokens_too_says_whose_and_how_the_tenant_is_named(tmp_path: Path) -> None:
    said = notes([*WITH_EDGE, *TOKENS, "settings.jwt.tenant_claim=org"], tmp_path)
    assert "https://login.example.org/realms/shop" in said
    assert "`org`" in said
    assert "edge-keys --from-file=keys=" in said
    [own] = [
        each for each in of_kind(objects([*WITH_EDGE, *TOKENS]), "NetworkPolicy")
        if each["metadata"]["name"] == "shop-refrain-edge"
    ]  # fmt: skip
    assert own["spec"]["egress"] == [{"ports": [{"port": 443, "protocol": "TCP"}]}]


@with_helm
@pytest.mark.parametrize(("drain_ms", "grace_s"), [(10_000, 60), (90_000, 105)])
def test_the_endpoint_has_the_time_to_drain(drain_ms: int, grace_s: int) -> None:
    pod = worker(objects([*WITH_EDGE, f"settings.edge.drain_ms={drain_ms}"]), "edge")
    assert pod["terminationGracePeriodSeconds"] == grace_s


@with_helm
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["edge.service.port=80"], []),
        (["edge.service.type=NodePort", "networkPolicy.enabled=false"], ["nodePort"]),
        (["edge.service.type=LoadBalancer", "edge.from[0].ipBlock.cidr=10.0.0.0/8"], ["loadBalancer"]),
    ],
    ids=["cluster", "port", "balancer"],
)
def test_helm_says_the_base_url(settings: list[str], told: list[str], tmp_path: Path) -> None:
    said = notes([*WITH_EDGE, *settings], tmp_path)
    port = 80 if "edge.service.port=80" in settings else ENDPOINT_PORT
    assert f"http://shop-refrain-edge.default.svc:{port}/v1" in said
    assert "edge-keys --from-file=keys=" in said
    assert [word for word in ("nodePort", "loadBalancer") if word in said] == told


@with_helm
def test_without_it_nothing_of_the_endpoint_is_there(tmp_path: Path) -> None:
    assert "edge" not in notes(LEAST, tmp_path)
    assert [each["metadata"]["name"] for each in objects(LEAST) if "edge" in yaml.safe_dump(each)] == []


@with_helm
def test_workers_are_scaled_by_the_lag_of_what_their_group_reads() -> None:
    triggers = [each["spec"]["triggers"][0]["metadata"] for each in of_kind(objects(STRIMZI), "ScaledObject")]
    assert {(each["consumerGroup"], each["topic"]) for each in triggers} == {
        ("shop.classify", "shop.requests"), ("shop.populate", "shop.completions"), ("shop.upstream", "shop.forwards"),
    }  # fmt: skip
    by_time = of_kind(objects([*LEAST, "autoscaling.by=hpa"]), "HorizontalPodAutoscaler")
    assert {each["spec"]["scaleTargetRef"]["name"] for each in by_time} == {
        "shop-refrain-classify", "shop-refrain-populate", "shop-refrain-upstream",
    }  # fmt: skip
    for settings in (STRIMZI, [*WITH_EDGE, "autoscaling.by=hpa"]):
        scaled = of_kind(objects(settings), "HorizontalPodAutoscaler")
        assert "shop-refrain-edge" in {each["spec"]["scaleTargetRef"]["name"] for each in scaled}


@with_helm
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], "kafka.bootstrapServers"),
        (["kafka.bootstrapServers=kafka:9093"], "routes.keysSecret.name"),
        (LEAST[:2], "kafka.userSecret"),
        ([*LEAST, "topics.create=strimzi"], "strimzi.cluster"),
        ([*LEAST, "topics.create=perhaps"], "/topics/create"),
        ([*LEAST, "autoscaling.by=moon"], "/autoscaling/by"),
        ([*LEAST, "autoscaling.by=hpa", "processors.lookup.autoscaling=true"], "processors.lookup.autoscaling"),
        ([*LEAST, "strimzi.cluster=main", "strimzi.users=true"], "topics.create"),
        ([*STRIMZI, "kafka.securityProtocol=SSL"], "kafka.securityProtocol"),
        ([*LEAST, "kafka.bootstrapServer=kafka:9093"], "bootstrapServer"),
        ([*LEAST, "processors.lokup.replicas=3"], "lokup"),
        ([*LEAST, "topics.shards=many"], "shards"),
        ([*LEAST, "edge.enabled=true"], "edge.keysSecret.name"),
        (WITH_EDGE[:-1], "edge.pepperSecret.name"),
        ([*WITH_EDGE, "settings.edge.auth=none"], "settings.edge.auth"),
        ([*WITH_EDGE, "settings.jwt.jwks_file=keys"], "edge.jwks"),
        ([*WITH_EDGE, "edge.jwks.configMap=jwks"], "settings.jwt.issuer"),
        ([*WITH_EDGE, *TOKENS, "edge.jwks.configMap=jwks"], "settings.jwt.jwks_url"),
        ([*WITH_EDGE, *TOKENS[:2], "edge.jwks.configMap=a", "edge.jwks.secret=b"], "not both"),
        ([*WITH_EDGE, "edge.jwks.file=jwks"], "file"),
        ([*WITH_EDGE, "settings.edge.host=127.0.0.1"], "settings.edge.host"),
        ([*WITH_EDGE, "settings.edge.port=0"], "settings.edge.port"),
        ([*WITH_EDGE, "settings.edge.pepper=abc"], "settings.edge.pepper"),
        ([*LEAST, "settings.edge.enabled=true"], "edge.enabled"),
        ([*WITH_EDGE, "edge.service.type=LoadBalancer"], "edge.from"),
        ([*WITH_EDGE, "edge.service.type=Gate"], "/edge/service/type"),
        ([*WITH_EDGE, "edge.replica=3"], "replica"),
        ([*LEAST, "processors.edge.replicas=2"], "edge"),
        ([*LEAST, "settings.classify.tenants=header"], "tenants.keysSecret.name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_cannot_work_are_named(settings: list[str], said: str) -> None:
    # Releases of helm before 3.18 name a value that the schema refuses with dots.
    assert said.strip("/").replace("/", ".") in render(settings, code=1).replace("/", ".")
