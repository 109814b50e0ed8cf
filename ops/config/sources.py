"""Sources of settings: the environment and a TOML file, each read into a tree of keys.

A secret may stand in a file of its own: `KEY_file` beside where `KEY` would stand.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError
from pydantic_settings.sources.utils import parse_env_vars

from refrain.streams.settings import Settings, SettingsGroup

PREFIX = "REFRAIN_"
NESTED = "__"
FILE_ENDING = "_file"
ENVIRONMENT = "the environment"

Tree = dict[str, Any]
Key = tuple[str, ...]
"""The path of a setting: `("upstream", "concurrency")`."""


def variables() -> dict[str, Key]:
    """Every environment variable that is read, with the key it sets."""
    found: dict[str, Key] = {}
    for path, field in fields(Settings):
        found[variable(path)] = path
        if is_secret(field):
            found[variable(path) + FILE_ENDING.upper()] = path
    return found


def variable(path: Key) -> str:
    """The environment variable of a key."""
    return PREFIX + NESTED.join(path).upper()


def read_environment(environ: Mapping[str, str]) -> tuple[Tree, list[str]]:
    """The keys that the environment sets as a tree, and what is wrong with them."""
    problems: list[str] = []
    known = variables()
    plain = {name: value for name, value in environ.items() if name in known}
    files = {name: plain.pop(name) for name in list(plain) if _is_file_variable(name, known)}
    try:
        tree: Tree = _Environment(plain)()
    except SettingsError:
        names = [name for name, value in plain.items() if _is_whole(known[name]) and not _is_json(value)]
        return {}, [f"{name}: expected JSON, such as {_example(known[name])}" for name in sorted(names)]
    for name, value in files.items():
        *outer, last = known[name]
        branch = tree
        for key in outer:
            branch = branch.setdefault(key, {})
        branch[last + FILE_ENDING] = value
    return _without_files(tree, Path(), ENVIRONMENT, problems), problems


def read_file(path: Path) -> tuple[Tree, list[str]]:
    """The keys that a TOML file sets, and what is wrong with them."""
    problems: list[str] = []
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return {}, [f"{path}: not TOML: {error}"]
    except OSError as error:
        return {}, [f"{path}: cannot be read: {error.strerror}"]
    return _without_files(tree, path.parent, str(path), problems), problems


class _All(Settings, BaseSettings):
    """The fields of Settings, for the parser of environment variables."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=NESTED, frozen=True, extra="forbid")


class _Environment(EnvSettingsSource):
    """Parses the variables it is given, and reads no other."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(_All)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return parse_env_vars(self._environ, False, False, None)


def fields(model: type[SettingsGroup], above: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield (*above, name), field
        if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsGroup):
            yield from fields(field.annotation, (*above, name))


def field_of(path: Key) -> FieldInfo | None:
    return dict(fields(Settings)).get(path)


def is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation)) and field.annotation != dict[str, SecretStr]


def _is_whole(path: Key) -> bool:
    """Whether a variable holds JSON: a table or a list."""
    field = field_of(path)
    return field is not None and (
        field.annotation == dict[str, SecretStr]
        or str(field.annotation).startswith("tuple")
        or (isinstance(field.annotation, type) and issubclass(field.annotation, SettingsGroup))
    )


_LISTS = {"reply_topics": "'[\"answers.*\"]'", "topics": "'[\"requests.acme\"]'"}


def _example(path: Key) -> str:
    if path == ("connection",):
        return '\'{"security.protocol": "SASL_SSL"}\''
    return _LISTS.get(path[-1], "'{\"...\": ...}'")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_file_variable(name: str, known: Mapping[str, Key]) -> bool:
    return name != variable(known[name])


def _without_files(tree: Tree, base: Path, source: str, problems: list[str]) -> Tree:
    """The tree with `KEY_file` of secrets replaced by KEY and the file's text; paths are relative to `base`."""
    out = dict(tree)
    for name, branch in tree.items():
        if name == "connection" and isinstance(branch, dict):
            keys = [key for key in branch if key.endswith(FILE_ENDING)]
            texts = {key: _text(value) for key, value in branch.items() if key not in keys}
            out[name] = _filled({**texts, **{key: branch[key] for key in keys}}, keys, base, source, name, problems)
        elif isinstance(branch, dict):
            keys = [key for key in branch if _secret_of((name, key))]
            out[name] = _filled(branch, keys, base, source, name, problems)
    return out


def _secret_of(path: Key) -> bool:
    if not path[-1].endswith(FILE_ENDING):
        return False
    field = field_of((*path[:-1], path[-1].removesuffix(FILE_ENDING)))
    return field is not None and is_secret(field)


def _filled(branch: Tree, keys: list[str], base: Path, source: str, name: str, problems: list[str]) -> Tree:
    out = {key: value for key, value in branch.items() if key not in keys}
    for key in keys:
        target = key.removesuffix(FILE_ENDING)
        if target in out:
            problems.append(f"{source}: {name}.{key}: {name}.{target} is set as well; keep one of them")
        try:
            out[target] = (base / str(branch[key])).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            problems.append(f"{source}: {name}.{key}: cannot read {base / str(branch[key])}: {why}")
    return out


def _text(value: object) -> object:
    """librdkafka takes texts: numbers and booleans of TOML or JSON as it writes them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
