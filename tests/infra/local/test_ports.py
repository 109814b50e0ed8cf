"""The local service keeps its ports."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.jar_broker import free_ports
from infra.local.ports import BLOCKS_MAX, is_free, kept_block, kept_ports


@contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        held.listen()
        yield


def test_the_usual_port_is_taken_where_it_is_free_and_kept_where_it_was_not(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "ports.json"
    usual, other, third = free_ports(3)
    with taken(usual):
        assert not is_free(usual)
        assert kept_ports(file, [usual], [other]) == [other]
    assert is_free(usual)
    assert kept_ports(file, [usual], [third]) == [other], "where it was the last time"
    with taken(other):
        assert kept_ports(file, [usual], [third]) == [usual]


def test_no_port_is_given_twice_and_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    file.write_text("{]")
    usual, other = free_ports(2)
    assert kept_ports(file, [usual, usual], [other]) == [usual, other]
    file.write_text('["x", 70000, -1]')
    assert kept_ports(file, [usual], [other]) == [usual]


def test_a_block_of_ports_moves_behind_one_that_is_taken_and_stays_there(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = next(port for port in itertools.count(20_000, 7) if all(is_free(each) for each in range(port, port + 6)))
    with taken(first + 1):
        assert kept_block(file, first, 3) == first + 3
    assert kept_block(file, first, 3) == first + 3


def test_where_no_block_is_free_that_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def taken_by_others(port: int) -> bool:
        asked.append(port)
        return False

    monkeypatch.setattr("infra.local.ports.is_free", taken_by_others)
    with pytest.raises(OSError, match=r"set http\.port"):
        kept_block(tmp_path / "ports.json", 20_000, 2)
    assert len(asked) == BLOCKS_MAX
