"""Artefacts in files: one JSON object each, whose version is the hash of its content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from refrain.streams.errors import WrongSetup

VERSION_CHARS = 12
BYTES_MAX = 256_000_000
"""Of a file; a device has no end."""

M = TypeVar("M", bound=BaseModel)


class ArtefactKind(NamedTuple, Generic[M]):
    """A kind of artefact: its model, with the fields `kind`, `v` and `version`, and what people are told of it."""

    model: type[M]
    kind: str
    format: int
    """The version of the format that is read, in `v`."""
    article: str
    noun: str
    of: str
    """What it describes: article, noun and this make its full name (`a head of the hit rule`)."""
    again: str
    """What to do about one that cannot be taken."""

    def seal(self, content: dict[str, Any]) -> M:
        """Make an artefact of its fields but `version`. Raises pydantic.ValidationError."""
        unnamed = self.model(version="", **content)
        return unnamed.model_copy(update={"version": version_of(unnamed)})

    def encode(self, artefact: M) -> bytes:
        """Encode an artefact as the bytes of its file; the same for the same artefact."""
        return json.dumps(artefact.model_dump(mode="json"), indent=1).encode() + b"\n"

    def decode(self, data: bytes, source: str) -> M:
        """Decode an artefact. Raises WrongSetup, naming `source`, when it is damaged or of a newer Refrain."""
        name = f"{self.article} {self.noun} of {self.of}"
        try:
            parsed = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise WrongSetup(f"{source} is not {name} (not JSON): {self.again}") from error
        if not isinstance(parsed, dict) or parsed.get("kind") != self.kind:
            raise WrongSetup(f"{source} is not {name}: {self.again}")
        if parsed.get("v") != self.format:
            raise WrongSetup(
                f"{source} is {self.article} {self.noun} of format {str(parsed.get('v'))[:20]}, this Refrain reads"
                f" format {self.format}: upgrade it, or {self.again}"
            )
        return self._checked(data, source)

    def read(self, path: Path) -> M:
        """Read the artefact of a file. Raises WrongSetup when there is none."""
        try:
            with path.open("rb") as file:
                data = file.read(BYTES_MAX + 1)
        except OSError as error:
            raise WrongSetup(f"the {self.noun} {path} cannot be read ({error.strerror}): {self.again}") from error
        if len(data) > BYTES_MAX:
            raise WrongSetup(f"{path} has more than {BYTES_MAX // 1_000_000} MB and is no {self.noun}: {self.again}")
        return self.decode(data, str(path))

    def _checked(self, data: bytes, source: str) -> M:
        try:
            artefact = self.model.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise WrongSetup(f"{source} is damaged: {where}: {first['msg']}: {self.again}") from error
        version = artefact.model_dump(include={"version"})["version"]
        if version_of(artefact) != version:
            raise WrongSetup(f"{source} is damaged: its content is not that of version {version}: {self.again}")
        return artefact


def version_of(artefact: BaseModel) -> str:
    """The version that an artefact of this content has: a hash (12 hex digits) of all fields but `version`."""
    content = artefact.model_dump(mode="json", exclude={"version"})
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:VERSION_CHARS]
