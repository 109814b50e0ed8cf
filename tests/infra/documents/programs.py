"""Whether a command that a paper shows would be taken: by `refrain`, by the scripts of infra/, by Python, by pip.

Nothing is run but `--help` of infra/up.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest

from infra.local import broker_faults
from infra.local.up import main as up_main
from tests.attack.__main__ import main as attack_main
from tests.fuzz.__main__ import main as fuzz_main
from tests.infra.documents import command_line
from tests.infra.documents.documents import CHECKED, ROOT, defined
from tests.simulation.__main__ import main as faults_main

ELSEWHERE = frozenset(
    {
        "cd",
        "git",
        "echo",
        "export",
        "jq",
        "curl",
        "kcat",
        "docker",
        "kubectl",
        "helm",
        "npm",
        "java",
        "go",
        "less",
        "grep",
        "sort",
        "uniq",
        "kafka-acls.sh",
        "kafka-consumer-groups.sh",
        "kafka-topics.sh",
    }
)
"""Programs that are none of this repository's; the paths that they are given are looked at."""
MAINS: dict[str, Callable[..., Any]] = {
    "tests.simulation": faults_main,
    "tests.fuzz": fuzz_main,
    "tests.attack": attack_main,
}
PYTHONS = frozenset({"python", "python3", "python3.11", "python3.12"})


def problem(words: Sequence[str], folder: Path, config: pytest.Config) -> str | None:
    """What is wrong with one command of a block, None when it would be taken. `folder` is where the process stands."""
    program, arguments = words[0].removeprefix("./"), list(words[1:])
    name = program.removeprefix(".venv/bin/")
    if name == "refrain":
        return command_line.problem(arguments, folder)
    if program.startswith("infra/"):
        return script_problem(program, arguments, config)
    if name in PYTHONS:
        return _python_problem(arguments, config)
    if name == "pip":
        return _install_problem(arguments)
    if name != program:
        return None if (Path(sys.executable).parent / name).exists() else f"{name} is not installed"
    return _path_problem(arguments) if program in ELSEWHERE else f"{program} is no program of this repository"


def loose_problem(text: str, config: pytest.Config) -> str | None:
    """What is wrong with a command that is named in a sentence: it need not be whole."""
    program, *arguments = text.split()
    if is_refrain(program):
        return command_line.loose_problem(arguments)
    return script_problem(program, arguments, config)


def is_refrain(program: str) -> bool:
    """Whether a word is the command itself."""
    return program in ("refrain", ".venv/bin/refrain")


def script_problem(script: str, arguments: list[str], config: pytest.Config) -> str | None:
    """What is wrong with a call of a script of infra/."""
    path = ROOT / script
    if not path.is_file() or not os.access(path, os.X_OK):
        return f"{script} is no command"
    match script:
        case "infra/bench":
            return command_line.loose_problem(["bench", *arguments])
        case "infra/faults":
            if "--brokers" in arguments:
                return _broker_faults_problem(arguments)
            return command_line.taken_by(faults_main, arguments, script)
        case "infra/attack":
            return command_line.taken_by(attack_main, arguments, script)
        case "infra/up":
            return _up_problem(arguments)
        case "infra/examples/openai.sh":
            return None if len(arguments) == 1 else "infra/examples/openai.sh takes one question"
        case "infra/test":
            return _pytest_problem(arguments, config)
    return f"{script} takes no arguments" if arguments else None


def _up_problem(arguments: list[str]) -> str | None:
    usage = io.StringIO()
    with redirect_stdout(usage), suppress(SystemExit):
        up_main(["--help"])
    known = set(re.findall(r"--[a-z-]+|\bdemo\b", usage.getvalue()))
    wrong = [word for word in arguments if word not in known and not word.endswith(".yaml") and not word.isdecimal()]
    return f"infra/up takes no {wrong[0]}" if wrong else None


def _broker_faults_problem(arguments: list[str]) -> str | None:
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            broker_faults.parser().parse_args(arguments)
    except SystemExit:
        return said.getvalue().splitlines()[-1]
    return None


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
        elif not _is_test(*word.split("::")):
            return f"{word} does not exist"
    return None


def _is_test(path: str, *names: str) -> bool:
    """Whether there is such a file or folder, with such a function in it when one is named."""
    return (ROOT / path).exists() and (not names or names[-1] in defined(path.removesuffix(".py").replace("/", ".")))


def _python_problem(arguments: list[str], config: pytest.Config) -> str | None:
    if arguments[:1] != ["-m"]:
        return _path_problem(arguments)
    module, rest = arguments[1], arguments[2:]
    if module in MAINS:
        return command_line.taken_by(MAINS[module], rest, module)
    if module == "pip":
        return _install_problem(rest)
    if module == "pytest":
        return _pytest_problem(rest, config)
    if module in ("venv", "coverage"):
        return _path_problem(rest)
    path = ROOT / module.removeprefix("refrain.").replace(".", "/")
    here = path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
    return None if here else f"there is no module {module}"


def _install_problem(arguments: list[str]) -> str | None:
    """What is installed must be this distribution, with extras that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in (word for word in arguments[1:] if not word.startswith("-")):
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
