"""Byte streams of export files: plain, gzip or zstd, written whole or not at all, readable by their owner alone."""

from __future__ import annotations

import gzip
import io
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, cast

import zstandard

from refrain.streams.errors import BadInput, FileUnreadable, FileUnwritable
from refrain.streams.store.private import replacing

STANDARD = "-"
"""The name that stands for standard input or output."""
PIECE_BYTES = 1_000_000
GZIP_LEVEL, ZSTD_LEVEL = 6, 3
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Compression(StrEnum):
    """How a file is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


def compression_of(name: str) -> Compression:
    """How a file of that name is compressed."""
    return {".gz": Compression.GZIP, ".zst": Compression.ZSTD, ".zstd": Compression.ZSTD}.get(
        Path(name).suffix.lower(), Compression.NONE
    )


def check_free(name: str, *, force: bool) -> None:
    """Raises BadInput for a file that exists, unless `force` says that it may go, and for a folder that does not."""
    path = Path(name)
    if name == STANDARD:
        return
    if path.exists() and not (force and path.is_file()):
        raise FileUnwritable(f"{name} exists: name another file, or say --force")
    if not path.absolute().parent.is_dir():
        raise FileUnwritable(f"{path.parent} is no folder")


def folder_of(name: str) -> Path | None:
    """The folder of a file, None for standard output: the system's for temporary files."""
    return None if name == STANDARD else Path(name).absolute().parent


@contextmanager
def writing(name: str, compression: Compression, *, force: bool = False) -> Iterator[IO[bytes]]:
    """Write a file, which is there when the block ends without an error, and not before.

    Raises BadInput for a file that exists, unless `force` says that it may go, and FileUnwritable.
    """
    if name == STANDARD:
        with _compressed(sys.stdout.buffer, compression) as stream:
            yield stream
        sys.stdout.flush()
        return
    check_free(name, force=force)
    try:
        with replacing(Path(name)) as file, _compressed(file, compression) as stream:
            yield stream
    except OSError as error:
        raise FileUnwritable(f"{name} cannot be written: {error.strerror or error}; nothing of it is left") from error


@contextmanager
def _compressed(file: IO[bytes], compression: Compression) -> Iterator[IO[bytes]]:
    if compression is Compression.NONE:
        yield file
        return
    with ExitStack() as stack:
        if compression is Compression.GZIP:
            # Without the time in it, the same export is the same file.
            stream = cast(IO[bytes], stack.enter_context(gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0)))
        else:
            stream = stack.enter_context(
                zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).stream_writer(file, closefd=False)
            )
        yield stream


@contextmanager
def rereadable(name: str) -> Iterator[Path]:
    """A file that can be read more than once; standard input is laid into one, and removed afterwards.

    Raises FileUnreadable for what is no file.
    """
    if name != STANDARD:
        path = Path(name)
        if not path.is_file():
            raise FileUnreadable(f"{name} is no file")
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="refrain-import-") as file:
        while piece := sys.stdin.buffer.read(PIECE_BYTES):
            file.write(piece)
        file.flush()
        yield Path(file.name)


@contextmanager
def reading(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Read a file, whatever it is compressed by. Raises FileUnreadable, and BadInput for one that is cut off."""
    try:
        with path.open("rb") as file:
            sign = file.read(4)
            file.seek(0)
            if sign.startswith(_GZIP):
                with gzip.GzipFile(fileobj=file) as stream:
                    yield cast(IO[bytes], stream)
            elif sign == _ZSTD:
                with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
                    # Its own `readline` is none.
                    yield io.BufferedReader(cast(io.RawIOBase, stream))
            else:
                yield file
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise BadInput(f"{name} is cut off or damaged: it cannot be decompressed ({error})") from error
    except OSError as error:
        raise FileUnreadable(f"{name} cannot be read: {error.strerror or error}") from error
