"""Ports of the local service: those of the last time, else the usual ones, where they are free."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

BLOCKS_MAX = 100
"""Blocks of ports that are tried behind the usual one."""


def is_free(port: int) -> bool:
    """Whether a server could listen at this loopback port now."""
    with socket.socket() as tried:
        # As servers do: what a closed connection still holds for a minute is no reason to move.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def kept_ports(file: Path, usual: Sequence[int], any_free: Iterable[int]) -> list[int]:
    """A port for each of `usual`: that of the last time, else the usual one, else one of `any_free`; kept in `file`."""
    before, others, taken = _read(file), iter(any_free), set[int]()
    chosen = []
    for at, wanted in enumerate(usual):
        candidates = [*before[at : at + 1], wanted]
        port = next((each for each in candidates if each not in taken and is_free(each)), None)
        chosen.append(next(others) if port is None else port)
        taken.add(chosen[-1])
    _write(file, chosen)
    return chosen


def kept_block(file: Path, usual: int, count: int) -> int:
    """The first of `count` ports in a row: that of the last time, else the usual one, else one behind it.

    Kept in `file`. Raises OSError where no such block is free.
    """
    candidates: list[int] = [*_read(file)[:1], *range(usual, usual + BLOCKS_MAX * count, count)]
    for first in candidates:
        if all(is_free(port) for port in range(first, first + count)):
            _write(file, [first])
            return first
    raise OSError(f"no {count} ports in a row are free from {usual} on: set http.port")


def _read(file: Path) -> list[int]:
    try:
        found = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return []
    return [port for port in found if isinstance(port, int) and 0 < port < 65_536] if isinstance(found, list) else []


def _write(file: Path, ports: list[int]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(ports) + "\n")
