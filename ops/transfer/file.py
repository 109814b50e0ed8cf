"""Export files: JSON lines, of which the first says what they are, and the last how many there were, with a digest.

{"format": "refrain-export", "v": 1, "kind": "entries", ...}     the header
{...}                                                            one line an entry, or a record of the journal
{"lines": 2, "digest": "..."}                                    the end: a file without it was cut off
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from refrain.ops.transfer.streams import PIECE_BYTES, Compression, check_free, folder_of, reading, writing
from refrain.schemas.base import Part
from refrain.schemas.documents import Skip
from refrain.streams.errors import BadInput, FileUnwritable

VERSION = 1
FORMAT = "refrain-export"
LINE_BYTES_MAX = 12_000_000
"""The longest line: a record of the journal, whose bytes may all be escaped, fits."""
DIGEST_BYTES = 16
END = frozenset({"lines", "digest"})
"""What the last line has."""


class Header(Part):
    """The first line."""

    format: Literal["refrain-export"] = "refrain-export"
    v: Literal[1] = 1
    kind: Literal["entries", "journal"]
    exported_at_ms: int
    behaviour: str
    """The version of fold and guards of what exported it."""
    journal: str
    """The topic id of the journal."""
    shards: int
    """The journal's partitions."""
    offsets: dict[int, tuple[int, int]]
    """By partition: of a journal the range that was exported; of entries the range that their shard had folded."""
    embedders: tuple[str, ...]
    """Identities of the embedders that made the vectors."""
    tenant: str | None = None
    category: str | None = None
    skips: dict[int, tuple[tuple[int, Skip], ...]] = Field(default_factory=dict)
    """By partition: the skips of its shard with their first offsets, without which a fold decides otherwise."""
    redacted: bool = False
    """Whether digests stand in place of texts."""
    vectors: bool = True


class Line(NamedTuple):
    """A line between the first and the last."""

    number: int
    value: dict[str, Any]


class ExportWriter:
    """Takes the lines of a file; `finish` puts the first before them, and the last behind.

    What the first says, which embedders there are, is known when all lines are. So they are laid aside until then.
    """

    def __init__(self, lines: IO[bytes]) -> None:
        self._lines = lines
        self.lines = 0
        """Lines between the first and the last."""
        self.header: Header | None = None

    def write(self, value: dict[str, Any]) -> None:
        """Add a line. Raises BadInput where there is no room to lay it aside."""
        try:
            self._lines.write(_encoded(value))
        except OSError as error:
            raise BadInput(f"no room for what is to be exported: {error.strerror or error}; nothing is left") from error
        self.lines += 1

    def finish(self, header: Header) -> None:
        """All lines are there; `header` tells of them."""
        self.header = header

    def copy_to(self, stream: IO[bytes]) -> None:
        """Write the file."""
        if self.header is None:
            raise ValueError("an export without a header")
        first = _encoded(self.header.model_dump(mode="json"))
        digest = hashlib.blake2b(first, digest_size=DIGEST_BYTES)
        stream.write(first)
        self._lines.seek(0)
        while piece := self._lines.read(PIECE_BYTES):
            digest.update(piece)
            stream.write(piece)
        stream.write(_encoded({"lines": self.lines, "digest": digest.hexdigest()}))


@contextmanager
def export_file(name: str, compression: Compression, *, force: bool) -> Iterator[ExportWriter]:
    """Write an export, whole or not at all, when the block ends. Raises FileUnwritable."""
    check_free(name, force=force)
    with _aside(name) as lines:
        writer = ExportWriter(lines)
        yield writer
        with writing(name, compression, force=force) as stream:
            writer.copy_to(stream)


def _aside(name: str) -> IO[bytes]:
    """A file without a name beside the one to write. Raises FileUnwritable where the folder takes none."""
    try:
        return tempfile.TemporaryFile(prefix="refrain-export-", dir=folder_of(name))
    except OSError as error:
        raise FileUnwritable(
            f"{name} cannot be written: its folder takes no file ({error.strerror or error}); name another"
        ) from error


class ExportFile:
    """An export that is there, read line by line; its lines may be read again and again."""

    def __init__(self, path: Path, name: str) -> None:
        """`name` is what messages call it. Raises BadInput for what is no export of this version."""
        self._path, self._name = path, name
        with reading(path, name) as stream:
            self.header = self._header(stream.readline(LINE_BYTES_MAX))

    def lines(self) -> Iterator[Line]:
        """The lines between the first and the last.

        Raises BadInput for a file that was cut off or altered, at its end: nothing may be done about a line before.
        """
        with reading(self._path, self._name) as stream:
            digest = hashlib.blake2b(stream.readline(LINE_BYTES_MAX), digest_size=DIGEST_BYTES)
            before: Line | None = None
            data = b""
            for number, after in enumerate(_lines(stream, self._name), start=2):
                if before is not None:
                    self._check_more(before)
                    digest.update(data)
                    yield before
                before, data = Line(number, self._object(after, number)), after
            self._check_end(before, digest.hexdigest())

    def _header(self, data: bytes) -> Header:
        try:
            found = json.loads(data)
            if not isinstance(found, dict) or found.get("format") != FORMAT:
                raise ValueError
        except (ValueError, RecursionError):
            raise BadInput(
                f"{self._name} is no export of Refrain's, or was cut off: its first line does not say so"
            ) from None
        if found.get("v") != VERSION:
            raise BadInput(f"{self._name} is an export of version {found.get('v')}, and this takes version {VERSION}")
        try:
            return Header.model_validate_json(data)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise BadInput(f"{self._name}, line 1: {where}: {error.errors()[0]['msg']}") from error

    def _object(self, data: bytes, number: int) -> dict[str, Any]:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise BadInput(f"{self._name}, line {number}: no JSON object: the file was cut off or altered")
        return found

    def _check_more(self, line: Line) -> None:
        if line.value.keys() == END:
            raise BadInput(f"{self._name} was altered: line {line.number} is its last, and more follows")

    def _check_end(self, last: Line | None, digest: str) -> None:
        if last is None or last.value.keys() != END:
            at = 1 if last is None else last.number
            raise BadInput(f"{self._name} was cut off after line {at}: its last line is missing")
        if last.value != {"lines": last.number - 2, "digest": digest}:
            raise BadInput(
                f"{self._name} was altered: line {last.number} tells {last.value['lines']} lines of the digest"
                f" {last.value['digest']}, and there are {last.number - 2} of {digest}"
            )


def _lines(stream: IO[bytes], name: str) -> Iterator[bytes]:
    number = 1
    while data := stream.readline(LINE_BYTES_MAX):
        number += 1
        if len(data) == LINE_BYTES_MAX:
            raise BadInput(f"{name}, line {number}: longer than {LINE_BYTES_MAX} bytes")
        yield data


def _encoded(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
