"""Labels of metrics that clients choose are names, and few."""

from __future__ import annotations

import pytest

from refrain.streams.metrics import LabelValues


def test_the_first_names_are_told_and_all_others_together() -> None:
    values = LabelValues(2)
    assert [values.of(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]


@pytest.mark.parametrize("text", ["", "what is my balance", "a\nb", "x" * 65, 'a"b', "日本"])
def test_what_is_no_name_is_not_told(text: str) -> None:
    assert LabelValues(2).of(text) == "other"


@pytest.mark.parametrize("name", ["gpt-4o-mini", "meta-llama/Llama-3.1-8B", "qwen2.5:7b", "m@v1+x"])
def test_models_keep_their_names(name: str) -> None:
    assert LabelValues(2).of(name) == name
