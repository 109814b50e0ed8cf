"""Responses go where a request asks, if that is allowed, exists, and is none of Refrain's own topics."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from refrain.streams.classify.reply_topic import (
    FRESH_MS,
    MISSING_MS,
    ReplyTarget,
    ReplyTopics,
    needs_key,
    partitions_of,
)
from refrain.streams.errors import ClusterFailed, Refusal, RefusalCode
from refrain.streams.kafka.interface import Headers, Target
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.targets import Targets
from refrain.streams.kafka.wrapped import WrappedCluster

COUNTS = {"responses": 8, "/team.replies": 3, "/app-7.answers": 1}


def reply_to(allowed: tuple[str, ...] = ("team.replies", "app-*", "refrain.*")) -> ReplyTopics:
    return ReplyTopics("refrain.", allowed, COUNTS.get, lambda: 0)


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        ((), ReplyTarget("responses")),
        ((("other", b"x"),), ReplyTarget("responses")),
        ((("reply-to", b"responses"),), ReplyTarget("responses")),
        ((("reply-to", b"refrain.responses"),), ReplyTarget("responses")),
        ((("kafka_replyTopic", b"team.replies"),), ReplyTarget("/team.replies")),
        ((("reply-to", b"app-7.answers"),), ReplyTarget("/app-7.answers")),
        ((("reply-to", b"team.replies"), ("kafka_replyTopic", b"responses")), ReplyTarget("/team.replies")),
        ((("reply-to", b"nowhere"), ("reply-to", b"responses")), ReplyTarget("responses")),
        ((("kafka_replyPartition", b"\x00\x00\x00\x05"),), ReplyTarget("responses", 5)),
        ((("reply-to", b"team.replies"), ("kafka_replyPartition", b"2")), ReplyTarget("/team.replies", 2)),
    ],
)
def test_headers_name_the_target(headers: Headers, target: ReplyTarget) -> None:
    assert reply_to().target(headers) == target


@pytest.mark.parametrize(
    "headers",
    [
        (("reply-to", b"elsewhere"),),
        (("reply-to", b"app-8.answers"),),
        (("reply-to", b"refrain.journal"),),
        (("reply-to", b"refrain.requests"),),
        (("reply-to", b"app-!"),),
        (("reply-to", b"app-" + b"x" * 300),),
        (("reply-to", b".."),),
        (("reply-to", b"/responses"),),
        (("reply-to", b""),),
        (("reply-to", None),),
        (("reply-to", b"\xff\xfe"),),
        (("kafka_replyPartition", b"8"),),
        (("kafka_replyPartition", b"\xff\xff\xff\xff"),),
        (("kafka_replyPartition", b"x"),),
        (("kafka_replyPartition", None),),
        (("kafka_replyPartition", b""),),
        (("reply-to", b"team.replies"), ("kafka_replyPartition", b"\x00\x00\x00\x03")),
    ],
)
def test_any_other_target_is_refused(headers: Headers) -> None:
    with pytest.raises(Refusal) as caught:
        reply_to().target(headers)
    assert caught.value.code is RefusalCode.BAD_REPLY_TO


def test_without_a_prefix_refrains_own_topics_stay_closed() -> None:
    with pytest.raises(Refusal):
        ReplyTopics("", ("*",), lambda _: 1, lambda: 0).target((("reply-to", b"journal"),))


def test_the_cluster_is_asked_once_in_a_while() -> None:
    asked: list[str] = []
    clock = [0]

    def count(topic: str) -> int | None:
        asked.append(topic)
        return 3 if len(asked) > 1 else None

    ready = ReplyTopics("refrain.", ("a",), count, lambda: clock[0])
    headers = (("reply-to", b"a"),)
    for now_ms, calls in ((0, 1), (MISSING_MS - 1, 1), (MISSING_MS, 2), (MISSING_MS + FRESH_MS - 1, 2)):
        clock[0] = now_ms
        try:
            ready.target(headers)
        except Refusal:
            assert now_ms < MISSING_MS
        assert len(asked) == calls
    clock[0] = MISSING_MS + FRESH_MS
    ready.target(headers)
    assert asked == ["/a"] * 3


def test_a_missing_topic_has_no_partitions() -> None:
    count = partitions_of(Targets(MemoryCluster(lambda: 0, {"responses": 2}), "refrain."))
    assert (count("responses"), count("/elsewhere")) == (2, None)


def test_a_compacted_topic_is_taken_from_requests_with_a_key_alone() -> None:
    cluster = MemoryCluster(lambda: 0, {})
    cluster.create("/kept", 1, compacted=True)
    cluster.create("/a", 1)
    targets = Targets(cluster, "refrain.")
    topics = ReplyTopics("refrain.", ("*",), partitions_of(targets), lambda: 0, needs_key(targets))
    headers = (("reply-to", b"kept"),)
    assert topics.target(headers, b"key").topic == "/kept"
    assert topics.target((("reply-to", b"a"),)).topic == "/a"
    with pytest.raises(Refusal, match="compacted"):
        topics.target(headers)


def test_while_the_cluster_does_not_tell_any_partition_is_taken() -> None:
    targets = Targets(Silent(MemoryCluster(lambda: 0, {"/a": 1})), "refrain.")
    topics = ReplyTopics("refrain.", ("*",), partitions_of(targets), lambda: 0, needs_key(targets))
    assert topics.target((("reply-to", b"a"), ("kafka_replyPartition", b"7"))).partition == 7


class Silent(WrappedCluster):
    """A cluster that does not tell what topics take."""

    def targets(self, topics: Collection[str]) -> Mapping[str, Target]:
        raise ClusterFailed("timed out")
