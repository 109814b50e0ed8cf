"""Who answers shards begins again where the journal was made anew, and not because of an answer of another one."""

from __future__ import annotations

import pytest

from refrain.streams.errors import ClusterFailed, RefusalCode, Unanswered
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.wrapped import WrappedCluster
from refrain.streams.messaging.shards import LOOK_EVERY_S, journal_shards


def test_an_answer_of_a_journal_that_was_made_since_ends_the_worker() -> None:
    now_s = 0.0
    cluster = MemoryCluster(lambda: 0)
    before = cluster.topic_id("journal")
    shards = journal_shards(cluster, lambda: now_s)
    assert shards.wrong_shard(before, 0) is None
    cluster.create("journal", 2)
    after = cluster.topic_id("journal")
    refusal = shards.wrong_shard(after, 0)
    assert refusal is not None
    assert refusal.code is RefusalCode.NOT_ASKED, "it was looked at a moment ago"
    now_s = LOOK_EVERY_S
    assert shards.wrong_shard("some other", 0) is not None
    with pytest.raises(ClusterFailed, match="made anew"):
        shards.wrong_shard(after, 0)


def test_while_no_leader_answers_nobody_is_asked_which_journal_is_there() -> None:
    class Away(WrappedCluster):
        """A cluster whose leaders are away, once they are."""

        away = False
        asked = 0

        def ends(self, topic: str) -> dict[int, tuple[int, int]]:
            if self.away:
                raise Unanswered("no leader")
            return dict(super().ends(topic))

        def topic_id(self, topic: str) -> str:
            self.asked += 1
            return super().topic_id(topic)

    now_s = 0.0
    cluster = Away(MemoryCluster(lambda: 0))
    shards = journal_shards(cluster, lambda: now_s)
    now_s, cluster.away, asked = LOOK_EVERY_S, True, cluster.asked
    with pytest.raises(Unanswered):
        shards.is_there()
    assert cluster.asked == asked
    cluster.away = False
    assert shards.is_there()
