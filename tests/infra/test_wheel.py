"""The wheel, built and unpacked away from the checkout: what travels in it, and that its command runs from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path

import pytest

from refrain.streams.errors import DISTRIBUTION

ROOT = Path(__file__).resolve().parents[2]
BUILD_S = 120
Ran = Callable[..., str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the contents of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    source, site = folder / "source", folder / "site"
    # Of a copy, so that a build leaves nothing in the checkout and takes nothing that an earlier one has left.
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps", "--no-index"]
    command = [*pip, "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    return site


@pytest.fixture
def ran(site: Path, tmp_path: Path) -> Ran:
    """What Python prints with the wheel's modules before all others."""

    def run(*arguments: str) -> str:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("REFRAIN_")}
        done = subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def shipped(site: Path, folder: str) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in site.rglob(f"shipped/{folder}/*")}


@pytest.mark.parametrize("folder", ["policies", "dashboards"])
def test_policies_and_dashboards_travel_as_they_are(site: Path, folder: str) -> None:
    here = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "infra" / folder).iterdir()}
    assert shipped(site, folder) == here != {}


def test_the_broker_that_a_container_of_refrain_starts_travels(site: Path) -> None:
    here = (ROOT / "infra/kafka/compose.yaml").read_text(encoding="utf-8")
    assert shipped(site, "kafka") == {"compose.yaml": here}


def test_it_holds_the_three_parts_whole_under_one_name_and_nothing_else(site: Path) -> None:
    """Word lists, JSON schemas and marks of types are files like modules."""
    parts = ("schemas", "streams", "ops")
    here = {
        path.relative_to(ROOT)
        for part in parts
        for path in (ROOT / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {path.relative_to(site / "refrain") for path in (site / "refrain").rglob("*") if path.is_file()}
    assert {path for path in packed if path.parts[:2] != ("ops", "shipped")} == here
    assert {path.suffix for path in here} >= {".py", ".txt", ".json", ".typed"}
    assert {path.name for path in site.iterdir() if path.suffix != ".dist-info"} == {"refrain"}


def test_json_schemas_and_the_marks_of_typed_packages_travel(site: Path) -> None:
    wanted = {path.name for path in (ROOT / "schemas" / "json").iterdir()}
    assert {path.name for path in site.rglob("json/*.schema.json")} == wanted != set()
    assert {path.parent.name for path in site.rglob("py.typed")} == {"schemas", "streams", "ops"}


def test_it_writes_the_policy_and_tells_its_version_away_from_the_checkout(site: Path, ran: Ran) -> None:
    assert Path(ran("-c", "import refrain.ops; print(refrain.ops.__file__)").strip()).is_relative_to(site)
    assert ran("-m", "refrain.ops.cli", "policies", "init", "-") == shipped(site, "policies")["default.yaml"]
    (metadata,) = site.glob("*.dist-info/METADATA")
    told = Parser().parsestr(metadata.read_text(encoding="utf-8"))
    assert told["Name"] == DISTRIBUTION
    assert ran("-m", "refrain.ops.cli", "--version").strip() == told["Version"]


def test_its_metadata_say_what_it_is_and_who_made_it(site: Path) -> None:
    (metadata,) = site.glob("*.dist-info/METADATA")
    told = Parser().parsestr(metadata.read_text(encoding="utf-8"))
    assert told["Author"] == "Refrain developers"
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.12"} <= set(told.get_all("Classifier", []))
    assert "llm" in told["Keywords"]
    assert {"embed", "plot", "weights"} <= set(told.get_all("Provides-Extra", []))
