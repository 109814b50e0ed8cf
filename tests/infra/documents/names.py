"""What the code is made of, by its syntax: modules, classes with their members, constants, and every other name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from tests.infra.documents.documents import ROOT

PARTS = ("schemas", "streams", "ops", "infra")
ONE_NAME = re.compile(r"[A-Za-z_]\w*")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_CLASS = re.compile(r"[A-Z]\w*[a-z]\w*")
_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]*")


class Code(NamedTuple):
    """The names of the repository. `modules` are dotted, without `refrain.`; what each defines at its top is given."""

    modules: dict[str, set[str]]
    members: dict[str, set[str]]
    """Of each class, those of all classes of that name together."""
    words: set[str]
    """Whatever is called somehow, and strings that are one name: words of the wire."""


@cache
def code_names() -> Code:
    """The names of all modules of the repository."""
    modules: dict[str, set[str]] = {}
    members: dict[str, set[str]] = defaultdict(set)
    words: set[str] = set()
    for path in (path for part in PARTS for path in (ROOT / part).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        modules[name] = {word for statement in tree.body for word in _defined(statement)}
        for node in ast.walk(tree):
            words.update(_words(node))
            if isinstance(node, ast.ClassDef):
                members[node.name] |= {word for inner in node.body for word in _defined(inner)} | set(_own(node))
    return Code(modules, dict(members), words)


def is_known(name: str, code: Code) -> bool:
    """Whether one word, or a dotted name, is one of the code."""
    if DOTTED.fullmatch(name):
        return _is_place(name, code)
    if _CLASS.fullmatch(name):
        return name in code.members or any(name in defined for defined in code.modules.values())
    if _CONSTANT.fullmatch(name):
        return any(name in defined for defined in code.modules.values())
    return name in code.words or any(name in module.split(".") for module in code.modules)


def _is_place(name: str, code: Code) -> bool:
    """`Class.member`, a module (whole, or below `streams`), or what a module defines."""
    before, _, last = name.rpartition(".")
    if last in code.members.get(before.rpartition(".")[2], ()):
        return True
    short = name.removeprefix("refrain.")
    modules = {short, f"streams.{short}"}
    homes = {module.rpartition(".")[0] for module in modules}
    return bool(modules & code.modules.keys()) or any(last in code.modules.get(home, ()) for home in homes)


def _defined(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _own(node: ast.ClassDef) -> Iterator[str]:
    """The attributes that a class sets on itself."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            yield inner.attr


def _words(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
            yield name
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str(module)):
            yield from module.split(".")
        case ast.Constant(value=str(text)) if ONE_NAME.fullmatch(text) or "-" in text:
            yield text
