"""What the tests of a shard begin with."""

from __future__ import annotations

import pytest

from tests.streams.shard.journal import Journal


@pytest.fixture
def journal() -> Journal:
    """An empty journal."""
    return Journal()
