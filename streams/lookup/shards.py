"""The shards that one worker folds, and what the commits and ticks know of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from refrain.streams.lookup.commit import Commits
from refrain.streams.lookup.documents import Documents
from refrain.streams.lookup.ticks import Ticks
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard

PARTS_MAX = 1_000
"""Parts of the state of all shards that are written again before a worker gives them away."""


class FoldedShards(Mapping[int, Shard]):
    """The shards that are folded here, by partition. All is called on the thread that polls."""

    def __init__(self, commits: Commits, ticks: Ticks, documents: Documents) -> None:
        self.commits = commits
        self._documents = documents
        self._ticks = ticks
        self._shards: dict[int, Shard] = {}

    def __getitem__(self, partition: int) -> Shard:
        return self._shards[partition]

    def __iter__(self) -> Iterator[int]:
        return iter(self._shards)

    def __len__(self) -> int:
        return len(self._shards)

    @property
    def uncommitted_bytes(self) -> int:
        """The size of all changes that no commit has written yet."""
        return sum(shard.overlay.size for shard in self._shards.values())

    def categories(self) -> set[str]:
        """The categories that the policy defines."""
        return {category for shard in self._shards.values() for category in shard.lives}

    def add(self, shard: Shard) -> None:
        """Fold a shard that was restored; all of it is committed so far."""
        self._shards[shard.partition] = shard
        self.commits.add(shard)

    def folded(self, partition: int, result: FoldResult) -> None:
        """Note what a fold gave besides its effects: decisions for the next commit, timers that are still due."""
        if result.more:
            self._ticks.soon(partition)
        self.commits.decided(partition, result.decisions)

    def commit(self) -> None:
        """Commit now (steps 3 and 4) every shard that folded something; after a rebalance a later turn does."""
        self.commits.settle(wait=True)
        self.commits.begin(self)
        self.commits.settle(wait=True)

    def commit_all(self) -> None:
        """Commit, also what is left to be written again to a topic that was made anew: another owner does not have it.

        After a rebalance nothing is taken any more, and that is left.
        """
        self.commit()
        for _ in range(PARTS_MAX):
            if not self._documents.is_behind(self):
                break
            self.commit()

    def let_go(self, partition: int) -> Shard | None:
        """Fold a shard no longer, and lose what is not committed of it; the shard, its store closed, if there was one.

        A transaction under way is waited for: the shard may have a part in it.
        """
        self.commits.settle(wait=True)
        self.commits.remove(partition)
        self._ticks.soon(partition)
        shard = self._shards.pop(partition, None)
        if shard is not None:
            shard.store.close()
        return shard

    def forget(self, partition: int) -> None:
        """Let go of a partition that another worker owns, and forget all of it."""
        self.let_go(partition)
        self._ticks.drop(partition)
