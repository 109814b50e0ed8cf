"""The dashboard asks for metrics that workers have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.run.processors import NAMES
from tests.streams.worker_metrics import registered

DASHBOARD = json.loads((Path(__file__).parents[2] / "infra/dashboards/refrain.json").read_text(encoding="utf-8"))
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The series of all workers."""
    folder = tmp_path_factory.mktemp("workers")
    families = {family for name in NAMES for family in registered(name, folder / name)}
    return {name + ending for name, kind in families for ending in ENDINGS[kind]}


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_every_panel_asks_for_metrics_that_workers_have(panel: dict[str, Any], names: set[str]) -> None:
    for target in panel["targets"]:
        asked = set(re.findall(r"refrain_\w+", target["expr"]))
        assert asked
        assert asked <= names


def test_panels_have_ids_and_places_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
