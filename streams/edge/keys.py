"""API keys: what a client shows, and the file of digests by which it is known.

    sk-refrain-ID-SECRET    a key; its id is no secret, and names it in lists and logs

The file holds one JSON object a line, for its owner's eyes alone; one of root's may be shown to a group, as those of a
Secret that Kubernetes mounts are. A digest is an HMAC of the whole key by a pepper that
lies elsewhere: who reads the file alone can try no guesses. It is looked at again while the endpoint runs.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from refrain.schemas.base import Millis, Name, Strict
from refrain.streams.edge.file_mark import file_mark
from refrain.streams.errors import BadInput, WrongSetup, WrongValue
from refrain.streams.messaging.key_file import load_or_make
from refrain.streams.messaging.signing import SigningKeys, parse_keys
from refrain.streams.settings import Settings
from refrain.streams.store.private import replacing

BEGINNING = "sk-refrain-"
FILE = "edge.keys"
PEPPER = "edge.pepper"
MODE = 0o600
LOOK_AGAIN_S = 1.0
"""How soon a key that was added or revoked counts."""
KEY_CHARS_MAX = 200
_FORM = re.compile(rf"{BEGINNING}([0-9a-f]{{8}})-[A-Za-z0-9_-]{{43}}")
_PURPOSE = b"refrain.edge-key.1"

logger = logging.getLogger(__name__)


class ApiKey(Strict):
    """A key as the file keeps it."""

    id: str
    tenant: Name
    digest: str
    added_at_ms: Millis
    note: str = ""
    revoked_at_ms: Millis | None = None


def keys_path(settings: Settings) -> Path:
    """The file of digests."""
    return settings.edge.keys_file or settings.state_dir / FILE


def pepper_of(settings: Settings) -> SigningKeys:
    """The pepper of the settings, or the one in the state folder, made where there is none. Raises WrongSetup."""
    if settings.edge.pepper is not None:
        return parse_keys(settings.edge.pepper.get_secret_value(), "edge.pepper")
    return load_or_make(settings.state_dir / PEPPER, "edge.pepper")


def new_key(pepper: SigningKeys, tenant: str, now_ms: int, note: str = "") -> tuple[str, ApiKey]:
    """A new key of a tenant: what its client gets, which is kept nowhere, and what is kept."""
    id_ = secrets.token_hex(4)
    key = f"{BEGINNING}{id_}-{secrets.token_urlsafe(32)}"
    digest = pepper.sign(_PURPOSE, key.encode())
    return key, ApiKey(id=id_, tenant=tenant, digest=digest, added_at_ms=now_ms, note=note)


def read_keys(path: Path) -> list[ApiKey]:
    """The keys of a file, none where there is no file. Raises WrongSetup for one that others may read or is torn."""
    try:
        with path.open(encoding="utf-8") as file:
            if is_open_to_others(os.fstat(file.fileno())):
                raise WrongSetup(f"other users may read {path}: run `chmod 600 {path}`")
            return [ApiKey.model_validate_json(line) for line in file if line.strip()]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSetup(f"the file of keys {path} cannot be read: {error}") from error
    except ValidationError as error:
        raise WrongSetup(f"the file of keys {path} holds what is no key: restore it") from error


def is_open_to_others(found: os.stat_result) -> bool:
    """Whether more may read or change a file than its owner, and, where that is root, a group that may only read."""
    allowed = stat.S_IRGRP if found.st_uid == 0 else 0
    return bool(stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO) & ~allowed)


@contextmanager
def changing(path: Path) -> Iterator[list[ApiKey]]:
    """Change the keys of a file: the list, written whole when the block ends. One at a time. Raises WrongSetup."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, MODE)
    except OSError as error:
        raise WrongSetup(
            f"the file of keys {path} cannot be written: {error}: change keys where the file is kept, or set"
            " edge.keys_file to one that is yours"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = read_keys(path)
        yield keys
        with replacing(path) as file:
            file.writelines(f"{key.model_dump_json()}\n".encode() for key in keys)
    except OSError as error:
        raise WrongSetup(f"the file of keys {path} cannot be written: {error}") from error
    finally:
        os.close(lock)


def revoked(keys: list[ApiKey], id_: str, now_ms: int) -> ApiKey:
    """Revoke a key in the list; returns it.

    Raises WrongValue for an id that no key has, BadInput for a key that is revoked already.
    """
    for place, key in enumerate(keys):
        if key.id == id_:
            if key.revoked_at_ms is not None:
                raise BadInput(f"the key {id_} is revoked already")
            keys[place] = key.model_copy(update={"revoked_at_ms": now_ms})
            return keys[place]
    raise WrongValue(f"there is no key {id_!r}: `refrain edge keys list` shows the ids", "ID")


class KeyRing:
    """The keys in force: of the file, looked at again when it has changed. `clock` gives seconds."""

    def __init__(self, path: Path, pepper: SigningKeys, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raises WrongSetup as `read_keys` does."""
        self._path = path
        self._pepper = pepper
        self._clock = clock
        self._seen = file_mark(self._path)
        self._looked_s = clock()
        self._keys = {key.id: key for key in read_keys(path)}

    def __len__(self) -> int:
        return sum(key.revoked_at_ms is None for key in self._keys.values())

    def find(self, shown: str) -> ApiKey | None:
        """The key that a client shows, None for one that is unknown or revoked."""
        self._look_again()
        form = _FORM.fullmatch(shown) if len(shown) <= KEY_CHARS_MAX else None
        key = None if form is None else self._keys.get(form[1])
        if key is None or not self._pepper.verify(key.digest, _PURPOSE, shown.encode()):
            return None
        return None if key.revoked_at_ms is not None else key

    def _look_again(self) -> None:
        now_s = self._clock()
        if now_s - self._looked_s < LOOK_AGAIN_S:
            return
        self._looked_s = now_s
        mark = file_mark(self._path)
        if mark == self._seen:
            return
        try:
            self._keys = {key.id: key for key in read_keys(self._path)}
        except WrongSetup as problem:
            # Who was let in stays in until somebody mends it: a torn file must not end the service.
            logger.warning("keys stay as they were: %s", problem)
        self._seen = mark
