"""The standard streams as commands need them: there, and able to take any text."""

from __future__ import annotations

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any

from refrain.streams.errors import FileUnwritable


class ReaderGone(Exception):
    """Whoever read the output has gone (`| head`): nothing is left to say, and nowhere to say it."""


def prepare_streams() -> None:
    """Open what the caller has closed, and let both outputs show what their encoding has no letter for, escaped.

    From here on what cannot be written to standard output raises FileUnwritable or ReaderGone, whoever writes, as
    libraries do too; what standard error does not take is left out.

    A stream that is closed leaves its number to the next file that is opened: a connection, say.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest number that is free: its own.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, closefd=False))
    sys.stdout = _on(_Output, sys.stdout)
    sys.stderr = _on(_Beside, sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finish_output() -> None:
    """Write what waits to be written. Raises FileUnwritable or ReaderGone."""
    sys.stdout.flush()


def _drop_output() -> None:
    """Write to nowhere from here, what waits to be written too: else the end of Python tries it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Output(FileIO):
    """Standard output. Where it takes no more, that is said, and nothing further is written to it."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError as error:
            _drop_output()
            raise ReaderGone from error
        except OSError as error:
            _drop_output()
            raise FileUnwritable(f"the output cannot be written: {error.strerror}") from error


class _Beside(FileIO):
    """Standard error. There is nowhere to say that it takes no more: what it does not take is left out."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data).cast("B"))


def _on(kind: type[FileIO], stream: Any) -> Any:
    """The same stream on a file of this kind; one that is no file of the system's, such as a test's, stays itself."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if not isinstance(stream, TextIOWrapper) or not isinstance(raw, FileIO) or isinstance(raw, kind):
        return stream
    stream.flush()
    file = kind(raw.fileno(), "w", closefd=False)
    # Without a buffer where Python was told to write at once (-u).
    return TextIOWrapper(
        file if buffer is raw else BufferedWriter(file),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
