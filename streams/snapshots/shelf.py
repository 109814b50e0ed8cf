"""Shelf of snapshots: those of every shard in one location, and which of them go when a new one has come."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from refrain.streams.errors import SnapshotUnusable
from refrain.streams.settings import Settings
from refrain.streams.snapshots.location import Location
from refrain.streams.snapshots.manifest import MANIFEST, MANIFEST_BYTES_MAX, Manifest, decode
from refrain.streams.snapshots.snapshot import Place, Snapshot

logger = logging.getLogger(__name__)

UNFINISHED_MS = 86_400_000
"""After so long a snapshot without a manifest is not one that is being made."""
PASSED_OVER = ""
"""The reason of a snapshot that is not wrong: it is not the one that is sought."""
_SHARD = re.compile(r"shard-(\d{1,9})", re.ASCII)
_NAME = re.compile(r"(\d{8}T\d{9})Z-(\d{1,20})", re.ASCII)
_TIME = "%Y%m%dT%H%M%S%f"


class Listed(NamedTuple):
    """A snapshot on a shelf: its manifest, or why it cannot be used."""

    partition: int
    name: str
    snapshot: Snapshot | None
    why: str


def location_of(settings: Settings) -> Location:
    """The location of the settings. Raises WrongSetup for one that nothing here can read."""
    return Location(url_of(settings))


def url_of(settings: Settings) -> str:
    """The folder or URL of the settings: that of `state_dir` where none is named."""
    return settings.snapshots.location or str(settings.state_dir.absolute() / "snapshots")


class Shelf:
    """Snapshots in a location, a folder a shard, and in it a folder a snapshot, named by when it was made."""

    def __init__(self, location: Location) -> None:
        self.location = location

    def partitions(self) -> list[int]:
        """The shards that have a folder there."""
        found = (_SHARD.fullmatch(each) for each in self.location.folders())
        return sorted(int(each[1]) for each in found if each is not None)

    def names(self, partition: int) -> list[str]:
        """The names of a shard's snapshots, the newest first; some may be without a manifest."""
        return [each for each in reversed(self.location.folders(_shard(partition))) if _NAME.fullmatch(each)]

    def open(self, partition: int, name: str) -> Snapshot:
        """A snapshot by its manifest. Raises SnapshotUnusable."""
        folder = (_shard(partition), name)
        if not self.location.has(*folder, MANIFEST):
            raise SnapshotUnusable(f"{MANIFEST} is missing: it was never finished, or a part of it is gone")
        manifest = decode(self.location.read(*folder, MANIFEST, bytes_max=MANIFEST_BYTES_MAX))
        return Snapshot(self.location, folder, manifest)

    def listed(self, partition: int) -> list[Listed]:
        """All snapshots of a shard, the newest first, unusable ones too."""
        out = []
        for name in self.names(partition):
            try:
                out.append(Listed(partition, name, self.open(partition, name), ""))
            except SnapshotUnusable as damage:
                out.append(Listed(partition, name, None, str(damage)))
        return out

    def suited(self, partition: int, why_not: Callable[[Snapshot], str | None]) -> Iterator[Snapshot]:
        """The snapshots of a shard that suit, the newest first. Each other one is told, with its file and the reason.

        Nothing is said of those that are `PASSED_OVER`. A location that cannot be read has none, and is told.
        """
        try:
            names = self.names(partition)
        except SnapshotUnusable as damage:
            logger.warning("shard %d: no snapshot is used: %s", partition, damage)
            return
        for name in names:
            try:
                snapshot = self.open(partition, name)
                why = why_not(snapshot)
            except SnapshotUnusable as damage:
                why = str(damage)
            if why is None:
                yield snapshot
            elif why != PASSED_OVER:
                refuse(partition, f"{_shard(partition)}/{name}", why)

    def begin(self, partition: int, made_ms: int, journal_offset: int) -> tuple[str, ...]:
        """The folder of a new snapshot."""
        made = datetime.fromtimestamp(made_ms / 1_000, UTC)
        return (_shard(partition), f"{made.strftime(_TIME)[:-3]}Z-{journal_offset}")

    def finish(self, folder: tuple[str, ...], manifest: Manifest) -> Snapshot:
        """Write the manifest: with it the snapshot is there. All else of it is written."""
        self.location.write_last(manifest.encode(), *folder, MANIFEST)
        return Snapshot(self.location, folder, manifest)

    def retire(self, kept: Snapshot, keep: int, keep_ms: int, now_ms: int) -> list[str]:
        """Delete what is older than the newest `keep`, or than `keep_ms` (0: of any age), of the shard of `kept`.

        `kept` is the newest that verifies, and stays; so do those of other topics, which may be another cluster's.
        Returns the names of those that are gone.
        """
        partition, topics = kept.manifest.partition, kept.manifest.topics
        gone, finished = [], 0
        for _, name, snapshot, _ in self.listed(partition):
            folder = (_shard(partition), name)
            age_ms = now_ms - _made_ms(name)
            if self.location.has(*folder, MANIFEST):
                if snapshot is not None and snapshot.manifest.topics != topics:
                    continue
                finished += 1
                leaves = finished > keep or 0 < keep_ms < age_ms
            else:
                leaves = age_ms > UNFINISHED_MS
            if leaves and "/".join(folder) != kept.name:
                self.location.remove(*folder)
                gone.append(name)
        return gone


def refuse(partition: int, name: str, why: str) -> None:
    """Tell that a snapshot is not used: the one before it is looked at."""
    logger.warning("shard %d: snapshot %s is not used: %s", partition, name, why)


def usable(place: Place) -> Callable[[Snapshot], str | None]:
    """Whether a restore can begin from a snapshot there."""
    return lambda snapshot: snapshot.why_unsuited(place) or snapshot.why_stale(place)


def _shard(partition: int) -> str:
    return f"shard-{partition:04d}"


def _made_ms(name: str) -> int:
    """When a snapshot was made, by its name; 0 for no moment."""
    found = _NAME.fullmatch(name)
    try:
        made = datetime.strptime((found[1] if found else "") + "000", _TIME).replace(tzinfo=UTC)
    except ValueError:
        return 0
    return round(made.timestamp() * 1_000)
