"""Where a model of sentence-transformers runs: what is asked for, or told to be missing."""

from __future__ import annotations

import pytest
import torch

from refrain.streams.errors import WrongSetup
from refrain.streams.models.backends import choose_backend, choose_device


def test_a_gpu_is_for_pytorch() -> None:
    assert choose_backend("auto", "embedding", "", "cuda") == "torch"
    assert choose_backend("torch", "embedding", "", "mps") == "torch"
    with pytest.raises(WrongSetup, match=r"embedding\.backend onnx runs on the CPU, and embedding\.device is cuda"):
        choose_backend("onnx", "embedding", "", "cuda")


def test_onnx_and_who_asks_for_the_cpu_get_it() -> None:
    assert choose_device("auto", "onnx", "embedding") == "cpu"
    assert choose_device("cpu", "torch", "embedding") == "cpu"


def test_a_gpu_that_pytorch_finds_is_taken_and_one_that_it_does_not_find_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto", "torch", "embedding") == "cuda"
    assert choose_device("cuda", "torch", "embedding") == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", "torch", "embedding") == "cpu"
    with pytest.raises(WrongSetup, match=r"embedding\.device is cuda, and PyTorch finds none"):
        choose_device("cuda", "torch", "embedding")
