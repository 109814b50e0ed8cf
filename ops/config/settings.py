"""Settings from the environment and a TOML file, read once at start into `refrain.streams.settings.Settings`.

The environment wins over the file. What is wrong is named by its key and where it was found, one line a problem.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_origin

from pydantic import ValidationError

from refrain.ops.config.numbers import number_wanted
from refrain.ops.config.sources import (
    PREFIX,
    Key,
    Tree,
    field_of,
    fields,
    is_secret,
    read_environment,
    read_file,
    variable,
    variables,
)
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Settings

CONFIG_VARIABLE = "REFRAIN_CONFIG"
DEBUG_VARIABLE = "REFRAIN_DEBUG"
PLACES = (Path("refrain.toml"), Path(".local/refrain.toml"))
"""Where the file is looked for when none is named."""
VALUE_CHARS_MAX = 60


def load_settings(environ: Mapping[str, str], config: Path | None = None) -> Settings:
    """All settings. `config` wins over REFRAIN_CONFIG. Raises WrongSetup naming every key that is wrong."""
    path = find_config(environ, config)
    problems = unknown_variables(environ)
    from_file, file_problems = read_file(path) if path is not None else ({}, [])
    from_env, env_problems = read_environment(environ)
    problems += file_problems + env_problems
    try:
        settings = Settings.model_validate(merge(from_file, from_env))
    except ValidationError as error:
        problems += [_problem_line(issue, from_env, path) for issue in _one_a_value(error)]
    if problems:
        raise WrongSetup("wrong settings\n" + "\n".join(f"  {line}" for line in problems))
    return settings


def find_config(environ: Mapping[str, str], config: Path | None) -> Path | None:
    """The TOML file to read, None when there is none. Raises WrongSetup when a named one is missing."""
    named = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if named is None:
        return next((place for place in PLACES if place.is_file()), None)
    if not named.is_file():
        source = "--config" if config is not None else CONFIG_VARIABLE
        raise WrongSetup(f"{source} names {named}, which is not a file: create it, or name another")
    return named


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """One line for each REFRAIN_ variable that sets nothing: a typing mistake would pass in silence otherwise."""
    known = [*variables(), CONFIG_VARIABLE, DEBUG_VARIABLE]
    strangers = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    return [f"{name}: no such setting{_nearest(name, known)}" for name in strangers]


def merge(under: Tree, over: Tree) -> Tree:
    """Merge `over` into `under`, table by table; `over` wins."""
    both = dict(under)
    for key, value in over.items():
        mine = both.get(key)
        both[key] = merge(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return both


def _one_a_value(error: ValidationError) -> list[Any]:
    """What is wrong, a value each: one that may be of several types is told once, with what each of them wants."""
    found: dict[tuple[int | str, ...], Any] = {}
    for issue in error.errors(include_url=False):
        place = issue["loc"]
        field = field_of(tuple(map(str, place[:-1])))
        if field is not None and get_origin(field.annotation) in (Union, UnionType) and isinstance(place[-1], str):
            # The last part is not the setting's: it names the type that was tried.
            place = place[:-1]
        before = found.get(place)
        wanted = (
            issue["msg"] if before is None else f"{before['msg']}, or {issue['msg'].removeprefix('Input should be ')}"
        )
        found[place] = {**issue, "loc": place, "msg": wanted}
    return list(found.values())


def _problem_line(issue: Any, from_env: Tree, path: Path | None) -> str:
    key: Key = tuple(str(part) for part in issue["loc"])
    where = _origin(key, from_env, path)
    if issue["type"] == "extra_forbidden":
        siblings = [known[-1] for known, _ in fields(Settings) if known[:-1] == key[:-1]]
        return f"{where}: no such key{_nearest(key[-1], siblings)}"
    expected = number_wanted(key[-1], issue["type"]) or issue["msg"][0].lower() + issue["msg"][1:]
    return f"{where}: {expected}{_shown_value(key, issue['input'])}"


def _origin(key: Key, from_env: Tree, path: Path | None) -> str:
    """The variable when the environment set the key, else the key in the file."""
    branch: Any = from_env
    for part in key:
        if not isinstance(branch, dict):
            break
        if part not in branch:
            return f"{path}: {'.'.join(key)}"
        branch = branch[part]
    return f"{variable(key[:1])}: {'.'.join(key[1:])}" if key[0] == "connection" and key[1:] else variable(key)


def _shown_value(key: Key, value: object) -> str:
    """The wrong value, unless it may be a secret."""
    field = field_of(key)
    if field is None or is_secret(field) or key[0] == "connection" or isinstance(value, dict):
        return ""
    text = repr(value)
    return f" (it is {text if len(text) <= VALUE_CHARS_MAX else text[:VALUE_CHARS_MAX] + '...'})"


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
