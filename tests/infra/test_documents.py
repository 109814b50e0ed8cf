"""What the papers say can be done: commands, options, paths, examples and snippets are those of this repository."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml
from up import main as up_main

from ops.cli import app
from ops.policy_file import read_policy
from ops.settings import CONFIG_VARIABLE, DEBUG_VARIABLE
from ops.sources import FILE_ENDING, fields, is_secret, variables
from schemas import generate, policy
from schemas.base import Part
from streams.settings import Settings
from tests.infra import command_line, shell
from tests.infra.markdown import Block, Paper, Piece, read_paper
from tests.properties.__main__ import main as fuzz_main
from tests.simulation.__main__ import main as faults_main

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("schemas", "streams", "ops", "infra", "tests", ".github")
REQUIRED = (
    "README.md", "CHANGELOG.md", ".github/CONTRIBUTING.md", "schemas/README.md", "streams/README.md", "ops/README.md",
    "infra/README.md", "tests/README.md",
)  # fmt: skip
PATHS = sorted({*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))})
PAPERS = [read_paper(path) for path in PATHS]
CURRENT = [paper for paper in PAPERS if paper.path.name != "CHANGELOG.md"]
"""The changelog also names what is gone."""
README_LINES_MAX = 150
COLUMNS_MAX = 120

ELSEWHERE = frozenset({"cd", "git", "echo", "export", "jq", "curl", "kcat", "docker", "kubectl", "kafka-acls.sh", "bash"})
"""Programs that are none of this repository's; the paths that they are given are looked at."""
MAINS: dict[str, Callable[..., Any]] = {"tests.simulation": faults_main, "tests.fuzz": fuzz_main}
_PATH = re.compile(r"\.?[A-Za-z_][\w.-]*(/[\w.-]+)+/?")
_FILE = re.compile(r"[\w-]+\.(?:py|yaml|toml|json|sh|txt)")
_VARIABLE = re.compile(r"\bREFRAIN_[A-Z0-9_]*[A-Z0-9]\b")
_SETTING = re.compile(r"(?:http|embedding|classify|lookup|upstream|adapt|verify)\.[a-z_0-9]+")
_OF_POLICY = re.compile(r"(limits|quota)\.([a-z_]+)")
CHECKED = ("schemas/", "streams/", "ops/", "infra/", "tests/", ".github/")

Case = tuple[Paper, Piece]


def _name(paper: Paper, line: int) -> str:
    return f"{paper.path.relative_to(ROOT)}:{line}"


def _shown() -> Iterator[Any]:
    """Every command of every block of shell."""
    for paper in PAPERS:
        for block in paper.blocks:
            if block.info[:1] == ("sh",):
                for command in shell.commands(block.text):
                    where = _name(paper, block.line + command.line - 1)
                    yield pytest.param(where, command, id=f"{where} {' '.join(command.words)}")


def _named() -> Iterator[Any]:
    """Every code span that names a command."""
    for paper in PAPERS:
        for span in paper.spans:
            words = span.text.split()
            if len(words) > 1 and (_is_refrain(words[0]) or words[0].startswith("infra/")):
                yield pytest.param(_name(paper, span.line), span.text, id=f"{_name(paper, span.line)} {span.text}")


def _blocks(*kinds: str) -> Iterator[Any]:
    for paper in PAPERS:
        for block in paper.blocks:
            if block.info[:1] and block.info[0] in kinds:
                yield pytest.param(block, id=_name(paper, block.line))


@pytest.mark.parametrize("name", REQUIRED)
def test_the_paper_is_there(name: str) -> None:
    assert (ROOT / name).is_file()


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES_MAX


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.path.relative_to(ROOT)))
def test_text_is_wrapped_and_blocks_say_what_they_are(paper: Paper) -> None:
    lines = paper.path.read_text(encoding="utf-8").splitlines()
    wide = [n for n, line in enumerate(lines, 1) if len(line) > COLUMNS_MAX and not line.startswith("|")]
    assert wide == [], "wrap these lines"
    known = ("sh", "json", "jsonl", "yaml", "toml", "python", "text")
    assert [block.line for block in paper.blocks if block.info[:1] not in [(kind,) for kind in known]] == []


@pytest.mark.parametrize(("where", "command"), _shown())
def test_a_command_that_is_shown_would_be_taken(
    where: str, command: shell.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.chdir(tmp_path)
    strangers = [name for name in command.variables if name.startswith("REFRAIN_") and name not in _variables()]
    assert strangers == [], where
    wrong = problem(command.words, tmp_path, pytestconfig) if command.words else None
    assert wrong is None, f"{where}: {wrong}"


@pytest.mark.parametrize(("where", "text"), _named())
def test_a_command_that_is_named_exists(where: str, text: str, pytestconfig: pytest.Config) -> None:
    words = text.split()
    wrong = (
        command_line.loose_problem(words[1:]) if _is_refrain(words[0]) else _script_problem(words, pytestconfig)
    )
    assert wrong is None, f"{where}: {wrong}"


@pytest.mark.parametrize("paper", CURRENT, ids=lambda paper: str(paper.path.relative_to(ROOT)))
def test_paths_lead_somewhere(paper: Paper) -> None:
    missing = [f"{_name(paper, link.line)}: {link.text}" for link in paper.links if not _leads(paper, link.text)]
    missing += [f"{_name(paper, span.line)}: {span.text}" for span in paper.spans if not _stands(paper, span.text)]
    assert missing == []


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.path.relative_to(ROOT)))
def test_variables_and_settings_that_are_named_exist(paper: Paper) -> None:
    text = paper.path.read_text(encoding="utf-8")
    assert sorted(set(_VARIABLE.findall(text)) - _variables()) == []
    keys = {".".join(key) for key, _ in fields(Settings)}
    keys |= {key + FILE_ENDING for key in keys}
    spans = {span.text for span in paper.spans}
    assert sorted(span for span in spans if _SETTING.fullmatch(span) and not span.endswith(".py") and span not in keys) == []
    of = {"limits": policy.Limits, "quota": policy.Quota}
    named = [found for span in spans if (found := _OF_POLICY.fullmatch(span))]
    assert [found[0] for found in named if found[2] not in of[found[1]].model_fields] == []


@pytest.mark.parametrize("block", _blocks("json", "jsonl"))
def test_json_is_read_back_as_it_is_shown(block: Block) -> None:
    if block.info[0] == "jsonl":
        for line in block.text.splitlines():
            json.loads(line)
        return
    value = json.loads(block.text)
    assert len(block.info) == 2, "say behind `json` which message it is"
    # What is not a field would be ignored: nothing may get lost.
    assert _messages()[block.info[1]].model_validate(value).model_dump(mode="json", exclude_unset=True) == value


@pytest.mark.parametrize("block", _blocks("yaml"))
def test_yaml_is_taken(block: Block) -> None:
    value = yaml.safe_load(block.text)
    if len(block.info) == 2:
        _messages()[block.info[1]].model_validate(value)
    elif isinstance(value, dict) and "categories" in value:
        read_policy(block.text, "the example")


@pytest.mark.parametrize("block", _blocks("toml"))
def test_toml_holds_settings(block: Block) -> None:
    Settings.model_validate(_with_secrets(tomllib.loads(block.text)))


@pytest.mark.parametrize("block", _blocks("python"))
def test_python_compiles_and_imports_what_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("refrain."):
            names = _defined((node.module or "").removeprefix("refrain."))
            assert [alias.name for alias in node.names if alias.name not in names] == [], node.module


def problem(words: tuple[str, ...], folder: Path, config: pytest.Config) -> str | None:
    """What is wrong with one command of a block, None when it would be taken."""
    program, arguments = words[0].removeprefix("./"), words[1:]
    if _is_refrain(program):
        return command_line.problem(arguments, folder)
    if program.startswith("infra/"):
        return _script_problem((program, *arguments), config)
    if program.removeprefix(".venv/bin/") in ("python", "python3", "python3.11", "python3.12"):
        return _python_problem(arguments)
    if program.removeprefix(".venv/bin/") == "pip":
        return _install_problem(arguments)
    if program.startswith(".venv/bin/"):
        return None if (Path(sys.executable).parent / Path(program).name).exists() else f"{program} is not installed"
    return _path_problem(arguments) if program in ELSEWHERE else f"{program} is no program of this repository"


def _script_problem(words: Iterable[str], config: pytest.Config) -> str | None:
    script, *arguments = words
    path = ROOT / script
    if not path.is_file() or not os.access(path, os.X_OK):
        # A file that is named is no command.
        return None if path.exists() and not arguments else f"{script} is no command"
    match script:
        case "infra/bench":
            return command_line.loose_problem(["bench", *arguments])
        case "infra/faults":
            return command_line.taken_by(faults_main, [a for a in arguments if a != "--help"], script)
        case "infra/up":
            return _not_in_usage(arguments)
        case "infra/test":
            return _pytest_problem(arguments, config)
    return f"{script} takes no arguments" if arguments else None


def _not_in_usage(arguments: list[str]) -> str | None:
    usage = io.StringIO()
    with redirect_stdout(usage), pytest.raises(SystemExit):
        up_main(["--help"])
    known = set(re.findall(r"--[a-z-]+|\bdemo\b", usage.getvalue()))
    wrong = [word for word in arguments if word not in known and not word.endswith(".yaml")]
    return f"infra/up takes no {wrong[0]}" if wrong else None


def _pytest_problem(arguments: list[str], config: pytest.Config) -> str | None:
    """`-k` and `-m` take a word; other options must be pytest's, and the rest paths."""
    left = iter(arguments)
    for word in left:
        if word.startswith("-"):
            try:
                config.getoption(word.split("=")[0])
            except ValueError:
                return f"pytest has no option {word}"
            if word in ("-k", "-m"):
                next(left, None)
        elif not (ROOT / word.split("::")[0]).exists():
            return f"{word} does not exist"
    return None


def _python_problem(arguments: tuple[str, ...]) -> str | None:
    if arguments[:1] != ("-m",):
        return _path_problem(arguments)
    module, rest = arguments[1], arguments[2:]
    if module in MAINS:
        return command_line.taken_by(MAINS[module], rest, module)
    if module == "pip":
        return _install_problem(rest)
    place = ROOT / module.removeprefix("refrain.").replace(".", "/")
    here = place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()
    return None if here or module == "venv" else f"there is no module {module}"


def _install_problem(arguments: tuple[str, ...]) -> str | None:
    """What is installed must be this distribution, with extras that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [word for word in arguments[1:] if not word.startswith("-")]
    for word in wanted:
        name, _, extras = word.rstrip("]").partition("[")
        if name not in (project["name"], "."):
            return f"pip would install {name}, and this is {project['name']}"
        unknown = [each for each in extras.split(",") if each and each not in project["optional-dependencies"]]
        if unknown:
            return f"{project['name']} has no extra {unknown[0]}"
    return None


def _path_problem(words: Iterable[str]) -> str | None:
    missing = [word for word in words if word.startswith(CHECKED) and not (ROOT / word).exists()]
    return f"{missing[0]} does not exist" if missing else None


def _is_refrain(program: str) -> bool:
    return program in ("refrain", ".venv/bin/refrain")


def _leads(paper: Paper, target: str) -> bool:
    """Whether a link's file, and the heading in it, exist; other sites are not asked."""
    file, _, anchor = target.partition("#")
    if file.startswith(("https://", "http://", "mailto:")):
        return True
    path = paper.path if not file else (paper.path.parent / file).resolve()
    return path.exists() and (not anchor or anchor in [_anchor(each) for each in read_paper(path).headings])


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _stands(paper: Paper, text: str) -> bool:
    """Whether a span that looks like a path or a file of this repository is one."""
    if not (_PATH.fullmatch(text) or _FILE.fullmatch(text)):
        return True
    beside = (paper.path.parent / text).exists()
    if text.startswith(CHECKED):
        return beside or (ROOT / text).exists()
    return beside or not text.endswith(".py") or (ROOT / text).exists()


def _variables() -> set[str]:
    return {*variables(), CONFIG_VARIABLE, DEBUG_VARIABLE}


def _messages() -> dict[str, type[Part]]:
    assert generate.MODELS, "importing it has loaded every message"
    return {model.__name__: model for model in _below(Part)}


def _below(model: type[Part]) -> Iterator[type[Part]]:
    for inner in model.__subclasses__():
        yield inner
        yield from _below(inner)


def _with_secrets(tree: dict[str, Any]) -> dict[str, Any]:
    """The settings with a word in place of each file that holds a secret."""
    secret = {key[-1] + FILE_ENDING for key, field in fields(Settings) if is_secret(field)}
    out: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            out[name] = {
                key.removesuffix(FILE_ENDING) if key in secret or name == "connection" else key: inner
                for key, inner in value.items()
            }
        else:
            out[name] = value
    return out


def _defined(module: str) -> set[str]:
    """What a module of the repository defines at its top."""
    place = ROOT / module.replace(".", "/")
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
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


def test_the_commands_are_those_of_the_program() -> None:
    assert command_line.problem(["nothing"], ROOT) == "`refrain` has no command 'nothing'"
    assert command_line.problem(["doctor", "--jsn"], ROOT) is not None
    assert command_line.loose_problem(["doctor", "--jsn"]) == "`refrain doctor` has no option --jsn"
    assert command_line.problem(["--debug", "doctor", "--json"], ROOT) is None
    assert app.registered_commands
