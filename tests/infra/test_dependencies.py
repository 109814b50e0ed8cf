"""What `deptry` (run by infra/test) does not look at: what an installation without extras imports, and the pins."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PACKAGE = "refrain"
PARTS = ("schemas", "streams", "ops")
SOURCES = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))
TYPING_ONLY = "TYPE_CHECKING"
BEHIND_EXTRAS = {"streams/traces/otel.py": "traces", "streams/traces/export.py": "traces"}
"""Modules that need an extra to be imported: only functions import them, and each other."""


def requirements(lines: list[str]) -> list[Requirement]:
    return [Requirement(line) for line in lines]


def pins() -> dict[str, str]:
    """The pinned version of each distribution of infra/constraints.txt."""
    lines = (ROOT / "infra" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def loaded_at_import(statements: list[ast.stmt]) -> Iterator[str]:
    """The packages that a module imports when it is itself imported: not in its functions, not for types alone."""
    yield from (module.partition(".")[0] for module in modules_at_import(statements))


def modules_at_import(statements: list[ast.stmt]) -> Iterator[str]:
    """The modules, with their packages, that a module imports when it is itself imported."""
    for statement in statements:
        match statement:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.If(test=ast.Name(id=name)) if name == TYPING_ONLY:
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                continue
            case _:
                inner = [each for each in ast.iter_child_nodes(statement) if isinstance(each, ast.stmt)]
                yield from modules_at_import(inner)


@pytest.fixture(scope="module")
def distributions() -> dict[str, set[str]]:
    """The distributions that each importable package comes from."""
    return {package: {canonicalize_name(name) for name in names} for package, names in packages_distributions().items()}


def test_modules_import_without_any_extra(distributions: dict[str, set[str]]) -> None:
    base = {canonicalize_name(each.name) for each in requirements(PROJECT["dependencies"])}
    extras = {name: {canonicalize_name(each.name) for each in requirements(lines)} for name, lines in EXTRAS.items()}
    own = {*sys.stdlib_module_names, PACKAGE}
    assert SOURCES
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = str(path.relative_to(ROOT))
        there = base | extras.get(BEHIND_EXTRAS.get(name, ""), set())
        for package in set(loaded_at_import(tree.body)) - own:
            assert distributions[package] & there, f"{name} imports {package}, which is no dependency"


def test_what_needs_an_extra_is_imported_by_functions_alone() -> None:
    behind = {f"{PACKAGE}.{name.removesuffix('.py').replace('/', '.')}" for name in BEHIND_EXTRAS}
    for path in SOURCES:
        if str(path.relative_to(ROOT)) not in BEHIND_EXTRAS:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert not behind & set(modules_at_import(tree.body)), path


@pytest.mark.parametrize(
    "requirement",
    requirements([*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]),
    ids=lambda each: each.name,
)
def test_a_dependency_has_a_lower_bound_that_its_pin_keeps(requirement: Requirement) -> None:
    pin = pins()[canonicalize_name(requirement.name)]
    assert any(each.operator in (">=", "==") for each in requirement.specifier)
    assert requirement.specifier.contains(pin), f"{pin} is pinned"


def test_an_import_in_a_function_or_for_types_alone_is_not_one_of_the_module() -> None:
    source = """
import numpy.linalg
from . import sibling
try:
    from scipy import stats
except ImportError:
    stats = None
if TYPE_CHECKING:
    import torch
class A:
    import yaml
    def f(self):
        import sklearn
"""
    assert sorted(loaded_at_import(ast.parse(source).body)) == ["numpy", "scipy", "yaml"]
