"""Overlay over a shard's store: the changes that the store does not have yet, from their fold to their commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Rows = dict[bytes, bytes | None]
"""Records by key, None for a deleted one."""


class Overlay:
    """Overlay of uncommitted changes. Those that a commit under way has taken stay visible until it is finished."""

    def __init__(self) -> None:
        self.uncommitted: Rows = {}
        """Changes that no commit has taken yet."""
        self.committing: Rows = {}
        """Changes, with the shard's progress, that a commit under way has taken."""
        self.recent: Rows = {}
        """Changes of the record being folded."""
        self.size = 0
        """Bytes of the keys and values in `uncommitted`, of those that were changed again each time."""

    def holds(self, key: bytes) -> bool:
        """Whether the store's record of a key is out of date, or is being written."""
        return key in self.uncommitted or key in self.committing

    def get(self, key: bytes) -> bytes | None:
        """The changed record of a key that it holds, None where that is deleted. Raises KeyError for another."""
        return self.uncommitted[key] if key in self.uncommitted else self.committing[key]

    def put(self, key: bytes, value: bytes | None, *, written_once: bool) -> None:
        """Put a change of the record being folded."""
        self.recent[key] = value
        if value is None and written_once and self.uncommitted.get(key) is not None:
            # It came and went between two commits: neither store nor `documents` need hear of it.
            del self.uncommitted[key]
            return
        self.uncommitted[key] = value
        self.size += len(key) + len(value or b"")

    def write_again(self, key: bytes, value: bytes) -> bool:
        """Have the next commit write a record as the store has it; whether it would not have written one anyway."""
        if key in self.uncommitted:
            return False
        self.uncommitted[key] = value
        return True

    def delete_all(self, keys: Iterable[bytes]) -> None:
        """Have the next commit delete these records, and write nothing that was changed before."""
        self.uncommitted = dict.fromkeys(keys, None)

    def begin_record(self) -> None:
        """Begin the changes of another record."""
        self.recent = {}

    def begin_commit(self, also: Mapping[bytes, bytes]) -> Rows:
        """Take all changes since the last commit, and some rows of the commit itself. Raises ValueError in another."""
        if self.committing:
            raise ValueError("one commit at a time")
        self.committing = {**self.uncommitted, **also}
        self.uncommitted = {}
        self.size = 0
        return self.committing

    def abort_commit(self, without: bytes) -> None:
        """Abort a commit: its changes become part of the next one, but for the row with this key."""
        del self.committing[without]
        self.uncommitted = {**self.committing, **self.uncommitted}
        self.size = sum(len(key) + len(value or b"") for key, value in self.uncommitted.items())
        self.committing = {}

    def finish_commit(self) -> None:
        """Finish a commit: the store has its changes now."""
        self.committing = {}
