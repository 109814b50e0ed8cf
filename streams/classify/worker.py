"""classify: the entrance. `requests` -> `journal` (to look up), or `forwards` (never, bypass, no policy).

A batch is embedded in one call. When questions come faster than that, those that waited too long get no vector
(`refrain.streams.classify.pace`). Text of a `never` category reaches `forwards` alone.
Per partition of `requests` the journal gets records in the order of the requests: the shard knows repeats by it.
"""

from __future__ import annotations

import logging
import threading

from refrain.schemas.topics import JOURNAL_BYTES_MAX
from refrain.streams.classify.forwards_first import ForwardsFirst
from refrain.streams.classify.in_turn import InTurn
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.pace import PaceMetrics
from refrain.streams.classify.recollection import Recollection
from refrain.streams.classify.rejection import NAME
from refrain.streams.classify.reply_topic import ReplyTopics, needs_key, partitions_of
from refrain.streams.classify.same_topic import SameTopic
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.classify.tenants import tenants_of
from refrain.streams.errors import ModelUnavailable
from refrain.streams.kafka.interface import Cluster
from refrain.streams.kafka.targets import Targets
from refrain.streams.messaging.key_file import route_signer
from refrain.streams.messaging.progress import TOPIC as PROGRESS
from refrain.streams.messaging.shards import shards_of
from refrain.streams.messaging.signed_routes import SigningProducer
from refrain.streams.models.category_classifier import load_category_classifier
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.loading import load_embedder
from refrain.streams.models.threads import local_threads_of
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import delivery_timeout_ms_of
from refrain.streams.runtime.policy_session import PolicySession, policy_sessions
from refrain.streams.runtime.stateless import run_stateless
from refrain.streams.runtime.together import Loop, run_together
from refrain.streams.runtime.topic_check import require_room, require_topics

logger = logging.getLogger(__name__)

SOURCE = "requests"
"""The request topic of the table; `classify.topic` and `classify.topics` may name tenants' in its place."""


def run_classify(context: WorkerContext, embedder: Embedder | None = None) -> None:
    """Run until `stop`. Without an `embedder` the one of the settings is loaded.

    Of several request topics each is read by a loop of its own, and they share the model and take turns at it.
    Raises WrongSetup for topics, a model or an artefact of categories that are not as needed, ClusterFailed when the
    broker fails.
    """
    entrance = _Entrance(context, embedder)
    keys, hold_s = entrance.routes.keys.ids, context.settings.classify.policy_hold_ms / 1_000
    with policy_sessions(NAME, context, len(entrance.topics), keys, hold_s=hold_s) as sessions:
        loops = [entrance.loop(topic, session) for topic, session in zip(entrance.topics, sessions, strict=True)]
        if len(loops) == 1:
            loops[0](context)
        else:
            run_together(context, loops)


class _Entrance:
    """What the loops of the request topics share: the model, its turns, and what is looked up once."""

    def __init__(self, context: WorkerContext, embedder: Embedder | None) -> None:
        settings, self._cluster = context.settings, context.cluster
        self._context = context
        self.topics = settings.classify.request_topics
        self._tenants = tenants_of(settings)
        self._incarnations = {topic: check_topics(self._cluster, topic) for topic in self.topics}
        self._model = embedder or load_embedder(settings.embedding, settings.state_dir / "models")
        path = settings.classify.categories
        self._trained = None if path is None else load_category_classifier(path, self._model.identity)
        try:
            # The first call of a model is slow; nobody should wait for it.
            self._model.embed(["What is ready now?"])
        except ModelUnavailable as away:
            logger.warning("the model is asked again with the first questions: %s", away)
        self._embedding_metrics = EmbeddingMetrics(context.metrics, local_threads_of(settings.embedding))
        self._progress_partitions = self._cluster.partitions(PROGRESS)
        self._pace = PaceMetrics(context.metrics)
        self.routes = route_signer(settings)
        self._turn = threading.Lock()

    def loop(self, topic: str, session: PolicySession) -> Loop:
        """The loop that reads a request topic."""
        requests, settings, is_alone = self._incarnations[topic].requests, self._context.settings, len(self.topics) == 1

        def loop(seat: WorkerContext) -> None:
            step = self._step(topic)
            recollection = Recollection(self._cluster, requests)
            consumer = SameTopic(
                self._cluster.consumer(topic, NAME),
                self._cluster,
                topic,
                requests,
                lambda firsts: step.recall(recollection.of(firsts)),
            )
            inner = self._cluster.producer(delivery_timeout_ms=delivery_timeout_ms_of(settings))
            signing = SigningProducer(inner, self.routes)
            run_stateless(
                NAME,
                consumer,
                ForwardsFirst(signing, settings.session_timeout_ms / 20_000, step.sending),
                step if is_alone else InTurn(step, self._turn),
                seat,
                batch_max=settings.classify.batch_max,
                session=session,
                place=str if is_alone else lambda partition: f"{topic}[{partition}]",
            )

        return loop

    def _step(self, topic: str) -> ClassifyStep:
        settings, targets = self._context.settings, Targets(self._cluster, self._context.settings.prefix)
        reply_to = ReplyTopics(
            settings.prefix,
            settings.classify.reply_topics,
            partitions_of(targets),
            self._context.now_ms,
            needs_key(targets),
            self._progress_partitions,
        )
        remembered = max(1, settings.embedding.remembered // len(self.topics))
        return ClassifyStep(
            settings.classify,
            self._incarnations[topic],
            EmbeddingCache(self._model, remembered, self._embedding_metrics),
            reply_to,
            self._context.metrics,
            self._trained,
            tenants=self._tenants,
            pace=self._pace,
            traces=self._context.traces,
        )


def check_topics(cluster: Cluster, source: str = SOURCE) -> Incarnations:
    """Check the topics and return their incarnations; `source` is the request topic.

    Raises WrongSetup when one is missing or they do not fit.
    """
    require_topics(cluster, NAME, {SOURCE: source})
    require_room(cluster, NAME, {"journal": JOURNAL_BYTES_MAX})
    shards = shards_of(cluster)
    return Incarnations(cluster.topic_id(source), cluster.topic_id("journal"), shards)
