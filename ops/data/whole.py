"""Reads files as a whole, with a limit of size that no sound file of its kind reaches."""

from __future__ import annotations

from pathlib import Path

from refrain.streams.errors import FileUnreadable

POLICY_FILE_BYTES = 16_000_000
QUESTIONS_BYTES = 256_000_000
SEAL_BYTES = 256_000_000
KEY_BYTES = 1_000_000


def whole_file(path: Path | str, bytes_max: int) -> bytes:
    """The bytes of a file. Raises FileUnreadable, also for one that is larger: a device has no end."""
    try:
        with open(path, "rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise FileUnreadable(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > bytes_max:
        raise FileUnreadable(f"{path} cannot be read: it has more than {bytes_max // 1_000_000} MB: name another file")
    return data


def whole_text(path: Path | str, bytes_max: int) -> str:
    """The text of a file in UTF-8. Raises FileUnreadable."""
    try:
        return whole_file(path, bytes_max).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileUnreadable(f"{path} cannot be read: not UTF-8") from error
