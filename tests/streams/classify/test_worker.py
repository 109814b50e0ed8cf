"""The worker of classify over the cluster's twin: what it follows, and what stops it at its start."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Asked, decode_event
from refrain.schemas.topics import BY_NAME
from refrain.streams.classify.worker import check_topics, run_classify
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.routes import DirectRoute
from refrain.streams.messaging.signed_routes import RouteSigner
from refrain.streams.metrics import Metrics
from refrain.streams.models.category_artifact import CATEGORY_FILES
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Classify, Embedding, Settings
from tests.streams.classify.entrance import NOW_MS, OPEN, POLICY, SECRET, ask
from tests.streams.models.made_categories import artefact
from tests.streams.signed import ROUTES, SIGNED


def settings_of(classify: Classify = Classify()) -> Settings:  # noqa: B008 - it is frozen
    return Settings(prefix="", embedding=Embedding(backend="free"), routes=SIGNED, classify=classify)


def run(cluster: MemoryCluster, settings: Settings | None = None) -> None:
    """Run until all requests are worked."""
    looks = iter(range(100))
    run_classify(
        WorkerContext(
            settings or settings_of(),
            cluster,
            Metrics(),
            stop=lambda: next(looks) >= 3,
            ready=lambda: None,
            now_ms=lambda: NOW_MS,
        )
    )


def test_the_processor_follows_the_policies_topic_and_works_the_requests() -> None:
    cluster = MemoryCluster(lambda: NOW_MS)
    in_force = PolicyInForce(version=4, who="w", at_ms=0, policy=POLICY)
    cluster.producer().send([Outgoing("policies", POLICY_KEY, in_force.encode())])
    cluster.producer().send([Outgoing("requests", b"a", ask().value), Outgoing("requests", b"b", ask(SECRET).value)])
    run(cluster)
    kinds = [type(decode_event(kept.value or b"")) for kept in cluster.records("journal")]
    assert sorted(kind.__name__ for kind in kinds) == ["Asked", "Passed"]
    (forwarded,) = cluster.records("forwards")
    forward = Forward.decode(forwarded.value or b"")
    assert isinstance(RouteSigner(ROUTES.keys, "").open(forward.route, forward.forward_id), DirectRoute)
    (said,) = cluster.records("acknowledgements")
    assert Acknowledgement.decode(said.value or b"") == Acknowledgement(
        processor="classify", worker="classify-1", version=4, at_ms=NOW_MS, route_keys=ROUTES.keys.ids
    )
    run(cluster)
    assert len(cluster.records("journal")) == 2
    assert [said.key for said in cluster.records("acknowledgements")] == [
        b"classify/classify-1",
        b"classify/classify-2",
    ]


def test_one_worker_reads_the_topics_of_several_tenants_and_mixes_none_of_them_up() -> None:
    tenants = ("acme", "umbrella", "third")
    names = tuple(f"requests.{tenant}" for tenant in tenants)
    cluster = MemoryCluster(lambda: NOW_MS, {name: 2 for name in BY_NAME if name != "requests"})
    for number, name in enumerate(names):
        cluster.create(name, number + 1)
    in_force = PolicyInForce(version=4, who="w", at_ms=0, policy=OPEN)
    cluster.producer().send([Outgoing("policies", POLICY_KEY, in_force.encode())])
    for name in names:
        mine = [ask(f"What is {n}?", category="chat").value for n in range(5)]
        foreign = ask("Whose?", category="chat", tenant="somebody-else").value
        cluster.producer().send([Outgoing(name, b"k", value, (), 0) for value in (*mine, foreign)])

    def done() -> bool:
        return len(cluster.records("journal")) == 15 and len(cluster.records("dead-letters")) == 3

    settings = settings_of(Classify(topics=names, tenants="topic"))
    metrics, ready = Metrics(), []
    context = WorkerContext(settings, cluster, metrics, done, lambda: ready.append(True), now_ms=lambda: NOW_MS)
    run_classify(context)
    asked = [decode_event(each.value or b"") for each in cluster.records("journal")]
    assert all(isinstance(event, Asked) and event.origin.topic == f"requests.{event.tenant}" for event in asked)
    assert sorted(event.tenant for event in asked if isinstance(event, Asked)) == sorted(5 * tenants)
    assert len({event.id for event in asked if isinstance(event, Asked)}) == 15, "ids are of a topic's incarnation"
    said = [Acknowledgement.decode(each.value or b"").worker for each in cluster.records("acknowledgements")]
    assert len(set(said)) == 3, "each member of the group acknowledges the policy"
    assert ready
    for name in names:
        labels = {"processor": "classify", "partition": f"{name}[0]"}
        assert metrics.registry.get_sample_value("refrain_lag", labels) == 0


def test_where_topics_tell_tenants_every_topic_must_be_a_tenants() -> None:
    settings = settings_of(Classify(topics=("requests.acme", "requests"), tenants="topic"))
    with pytest.raises(WrongSetup, match="requests is not the topic of a tenant"):
        run(MemoryCluster(lambda: NOW_MS), settings)


def test_a_missing_topic_stops_the_worker_at_start() -> None:
    counts = {name: 2 for name in BY_NAME if name != "forwards"}
    with pytest.raises(WrongSetup, match="forwards"):
        run(MemoryCluster(lambda: 0, counts))


@pytest.mark.parametrize("topic", ["documents", "decisions"])
def test_shards_that_do_not_match_stop_the_worker_at_start(topic: str) -> None:
    counts = dict.fromkeys(BY_NAME, 2) | {topic: 3}
    with pytest.raises(WrongSetup, match=rf"journal has 2 partitions and {topic} 3.*refrain topics check"):
        check_topics(MemoryCluster(lambda: 0, counts))


def test_an_artefact_of_categories_for_another_embedder_stops_the_worker_at_start(tmp_path: Path) -> None:
    path = tmp_path / "categories.json"
    path.write_bytes(CATEGORY_FILES.encode(artefact()))
    settings = settings_of().model_copy(update={"classify": Classify(categories=path)})
    with pytest.raises(WrongSetup, match="vectors of made-1, the embedder here is free-1"):
        run(MemoryCluster(lambda: 0), settings)
