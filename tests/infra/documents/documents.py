"""The papers of the repository, and what they name: paths, settings, variables, messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refrain.ops.config.settings import CONFIG_VARIABLE, DEBUG_VARIABLE
from refrain.ops.config.sources import FILE_ENDING, fields, is_secret, variables
from refrain.schemas.base import Part
from refrain.schemas.messages import MESSAGES
from refrain.schemas.policy import Policy
from refrain.streams.settings import Settings
from tests.infra.documents.markdown import Paper, read_paper

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("schemas", "streams", "ops", "infra", "tests", ".github")
CHECKED = tuple(f"{folder}/" for folder in FOLDERS)
PAPERS = [
    read_paper(path)
    for path in sorted({*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))})
]
_PATH = re.compile(r"\.?[A-Za-z_][\w.-]*(/[\w.-]+)+/?")
_FILE = re.compile(r"[\w-]+\.(?:py|yaml|toml|json|txt)")
_OF_SCRIPT = re.compile(r"\$\{(REFRAIN_[A-Z_]+):?-")
PLACEHOLDER = "NAME"
"""In a path: whatever the reader calls it."""
GENERATED = ("refrain.toml", "run.json", "policy.yaml", "my-policy.yaml")
"""Files that somebody writes."""


def place(paper: Paper, line: int) -> str:
    """File and line, as messages name them."""
    return f"{paper.path.relative_to(ROOT)}:{line}"


def leads(paper: Paper, target: str) -> bool:
    """Whether a link's file, and the heading in it, exist; other sites are not asked."""
    file, _, anchor = target.partition("#")
    if file.startswith(("https://", "http://", "mailto:")):
        return True
    path = paper.path if not file else (paper.path.parent / file).resolve()
    return path.exists() and (not anchor or anchor in [_anchor(each) for each in read_paper(path).headings])


def stands(paper: Paper, text: str) -> bool:
    """Whether a span that looks like a path or a file of this repository is one."""
    if not (_PATH.fullmatch(text) or _FILE.fullmatch(text)) or text in GENERATED or PLACEHOLDER in text:
        return True
    own = text.startswith(CHECKED) or text.endswith(".py") or _FILE.fullmatch(text) is not None
    return not own or any((folder / text).exists() for folder in (paper.path.parent, ROOT)) or _is_inside(paper, text)


def _is_inside(paper: Paper, name: str) -> bool:
    """Whether a file of that name lies somewhere below the paper: rooms need not be repeated."""
    folder = paper.path.parent
    places = [folder] if folder != ROOT else [ROOT / each for each in FOLDERS]
    return _FILE.fullmatch(name) is not None and any(True for each in places for _ in each.rglob(name))


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def known_variables() -> set[str]:
    """Every environment variable that is read: by the program, or by a script of infra/."""
    scripts = [path.read_text(encoding="utf-8") for path in (ROOT / "infra").iterdir() if path.is_file()]
    read = {name for text in scripts for name in _OF_SCRIPT.findall(text)}
    return {*variables(), CONFIG_VARIABLE, DEBUG_VARIABLE, *read}


def known_settings() -> set[str]:
    """Every setting by its key, and those that a file may hold."""
    keys = {".".join(key): field for key, field in fields(Settings)}
    return {*keys, *(key + FILE_ENDING for key, field in keys.items() if is_secret(field))}


def with_secrets(tree: dict[str, Any]) -> dict[str, Any]:
    """A tree of settings with the file's name in place of each secret that a file holds."""
    secret = {key[-1] + FILE_ENDING for key, field in fields(Settings) if is_secret(field)}
    return {
        name: {
            key.removesuffix(FILE_ENDING) if key in secret or name == "connection" else key: inner
            for key, inner in value.items()
        }
        if isinstance(value, dict)
        else value
        for name, value in tree.items()
    }


def messages() -> dict[str, type[Part]]:
    """Every message, and part of one, by its name."""
    assert MESSAGES, "importing it has loaded every message"
    assert issubclass(Policy, Part)
    return {model.__name__: model for model in _below(Part)}


def _below(model: type[Part]) -> Iterator[type[Part]]:
    for inner in model.__subclasses__():
        yield inner
        yield from _below(inner)


def defined(module: str) -> set[str]:
    """What a module of the repository (`refrain.schemas.requests`) defines at its top."""
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name for alias in aliases}
    return names
