"""Location of snapshots: a folder, or a URL of any file system that fsspec knows."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from refrain.streams.errors import SnapshotUnusable, WrongSetup
from refrain.streams.store.private import OTHERS, private_opener

CHUNK_BYTES = 1 << 20
PARTIAL = ".partial"
"""Ending of a file that is not written to its end."""
_USER = re.compile(r"//[^/@]*@")


class Location:
    """Folders of files under one root; a path is given by its parts.

    Every method raises SnapshotUnusable, and nothing else of a file system.
    """

    def __init__(self, url: str) -> None:
        """A folder or URL. Raises WrongSetup for one whose file system is not known or not installed here."""
        if not url.strip():
            raise WrongSetup("the location of snapshots is empty: name a folder or a URL")
        self.name = _USER.sub("//", url)
        """How it is told: without what may be a user's name and password."""
        try:
            self._fs, self._root = url_to_fs(url)
        except Exception as error:  # each file system raises what it likes
            raise WrongSetup(
                f"snapshots.location {self.name} cannot be used ({_reason(error)}): name a folder, or a URL whose file"
                " system is installed for fsspec"
            ) from error
        self.is_local = isinstance(self._fs, LocalFileSystem)

    def is_there(self) -> bool:
        """Whether there is such a folder. Many remote file systems have none before something is in them: those are."""
        with self._telling("listed"):
            return bool(self._fs.isdir(self._root)) if self.is_local else True

    def folders(self, *under: str) -> list[str]:
        """The names of the folders in one, in order; none where that is not there."""
        with self._telling("listed", *under):
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(self._path(*under), detail=True)
            except FileNotFoundError:
                return []
            return sorted(each["name"].rstrip("/").rpartition("/")[2] for each in found if each["type"] == "directory")

    def has(self, *path: str) -> bool:
        """Whether a file is there."""
        with self._telling("read", *path):
            return bool(self._fs.exists(self._path(*path)))

    def read(self, *path: str, bytes_max: int) -> bytes:
        """The content of a small file. Raises SnapshotUnusable for a larger one."""
        with self.reading(*path) as file:
            found = file.read(bytes_max + 1)
        if len(found) > bytes_max:
            raise SnapshotUnusable(f"{self._told(*path)} has more than {bytes_max} bytes")
        return found

    @contextmanager
    def reading(self, *path: str) -> Iterator[Hashed]:
        """Read a file from its beginning, with a running digest."""
        with self._telling("read", *path):
            file = self._fs.open(self._path(*path), "rb")
        try:
            yield Hashed(file, lambda: self._telling("read", *path))
        finally:
            file.close()

    @contextmanager
    def writing(self, *path: str) -> Iterator[Hashed]:
        """Write a file that its owner alone may read, with a running digest; folders above it are made."""
        with self._telling("written", *path):
            file = self._create(*path)
        try:
            yield Hashed(file, lambda: self._telling("written", *path))
        except BaseException:
            file.close()
            raise
        with self._telling("written", *path), file:
            if self.is_local:
                file.flush()
                os.fsync(file.fileno())

    def write_last(self, data: bytes, *path: str) -> None:
        """Write a file under another name, and give it its own when it is whole."""
        partial = (*path[:-1], path[-1] + PARTIAL)
        with self.writing(*partial) as file:
            file.write(data)
        with self._telling("written", *path):
            if self.is_local:
                os.replace(self._path(*partial), self._path(*path))
            else:
                self._fs.mv(self._path(*partial), self._path(*path))

    @contextmanager
    def local_copy(self, folder: Path, *path: str) -> Iterator[tuple[Path, Hashed]]:
        """A file as one of this machine, and what was read of it; what was copied into `folder` for it goes again."""
        with self.reading(*path) as file:
            if self.is_local:
                while file.read(CHUNK_BYTES):
                    continue
                yield Path(self._path(*path)), file
                return
            copy = folder / path[-1]
            try:
                with self._telling(f"copied to {folder}", *path), open(copy, "wb", opener=private_opener) as local:
                    while chunk := file.read(CHUNK_BYTES):
                        local.write(chunk)
                yield copy, file
            finally:
                copy.unlink(missing_ok=True)

    def remove(self, *path: str) -> None:
        """Delete a folder with all in it."""
        with self._telling("deleted", *path):
            if self.is_local:
                shutil.rmtree(self._path(*path))
            else:
                self._fs.rm(self._path(*path), recursive=True)

    def _create(self, *path: str) -> IO[bytes]:
        whole = self._path(*path)
        if self.is_local:
            _make_folders(Path(whole).parent)
            return open(whole, "wb", opener=private_opener)
        self._fs.makedirs(whole.rpartition("/")[0], exist_ok=True)
        file: IO[bytes] = self._fs.open(whole, "wb")
        return file

    def _path(self, *path: str) -> str:
        return "/".join((self._root.rstrip("/"), *path))

    def _told(self, *path: str) -> str:
        return "/".join((self.name.rstrip("/"), *path))

    @contextmanager
    def _telling(self, what: str, *path: str) -> Iterator[None]:
        try:
            yield
        except SnapshotUnusable:
            raise
        except Exception as error:  # each file system raises what it likes
            raise SnapshotUnusable(f"{self._told(*path)} cannot be {what}: {_reason(error)}") from error


class Hashed:
    """A file that is read or written from its beginning on, and the digest of what has passed."""

    def __init__(self, file: IO[bytes], telling: Callable[[], AbstractContextManager[None]]) -> None:
        self._file, self._telling = file, telling
        self._running = hashlib.sha256()
        self.size = 0
        """Bytes that were read or written so far."""

    @property
    def sha256(self) -> str:
        """Digest (hex) of what was read or written so far."""
        return self._running.hexdigest()

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end."""
        parts: list[bytes] = []
        with self._telling():
            # Some file systems give less than was asked for before the end.
            while size > 0 and (part := self._file.read(size)):
                parts.append(part)
                size -= len(part)
        data = b"".join(parts)
        self._passed(data)
        return data

    def write(self, data: bytes) -> None:
        """Append bytes."""
        with self._telling():
            self._file.write(data)
        self._passed(data)

    def _passed(self, data: bytes) -> None:
        self._running.update(data)
        self.size += len(data)


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it that are missing, each its owner's alone."""
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():
            each.mkdir(mode=0o777 & ~OTHERS, exist_ok=True)


def _reason(error: Exception) -> str:
    """Why, in a few words: never a whole error of a file system, which may hold an address with a password."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ValueError | ImportError):
        return _USER.sub("//", str(error).partition("\n")[0])[:120]
    return type(error).__name__
