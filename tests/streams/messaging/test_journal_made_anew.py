"""Who answers shards begins again where the journal was made anew, and not because of an answer of another one."""

from __future__ import annotations

import pytest

from refrain.streams.errors import ClusterFailed, RefusalCode
from refrain.streams.kafka.memory import MemoryCluster
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
