"""A worker lives on while it loads what takes long."""

from __future__ import annotations

import threading

import pytest

from refrain.streams.errors import WrongSetup
from refrain.streams.runtime.background import load_in_background


def test_a_worker_shows_that_it_lives_while_its_model_is_loaded() -> None:
    beaten = threading.Event()

    def load() -> str:
        assert beaten.wait(20)
        return "model"

    assert load_in_background(load, beaten.set, beat_s=0.001) == "model"


def test_a_model_that_cannot_be_loaded_ends_the_worker() -> None:
    def load() -> str:
        raise WrongSetup("no model")

    with pytest.raises(WrongSetup, match="no model"):
        load_in_background(load, lambda: None, beat_s=0.001)
