"""Signing keys from the settings, or from a file in the state folder that the first worker makes."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
from pathlib import Path

from refrain.streams.errors import WrongSetup
from refrain.streams.messaging.signed_routes import RouteSigner
from refrain.streams.messaging.signing import KEY_BYTES, SigningKeys, parse_keys
from refrain.streams.settings import Settings

logger = logging.getLogger(__name__)

MADE = "routes.keys"
"""The file in the state folder, where no setting names keys: it is enough while all workers share that folder."""
MODE = 0o600


def route_signer(settings: Settings) -> RouteSigner:
    """The signer of routes, by the keys of the settings or by the key in the state folder, made when there is none.

    Raises WrongSetup for what is no key, and for a state folder that cannot be written.
    """
    return RouteSigner(route_keys(settings), settings.prefix, accept_unsigned=settings.routes.unsigned == "accept")


def route_keys(settings: Settings) -> SigningKeys:
    """The keys of routes. Raises WrongSetup as `route_signer` does."""
    if settings.routes.keys is not None:
        keys, source = parse_keys(settings.routes.keys.get_secret_value(), "routes.keys"), "the settings"
    else:
        path = settings.state_dir / MADE
        keys, source = load_or_make(path), str(path)
    logger.info("keys of routes, from %s: %s (the first signs)", source, ", ".join(keys.ids))
    return keys


def load_or_make(path: Path, setting: str = "routes.keys") -> SigningKeys:
    """Load a file of keys; where there is none it is made with one random key, for its owner's eyes alone.

    `setting` is the one that may hold such keys instead. Processes that start together get the same key: a lock on the
    file keeps them apart. Raises WrongSetup.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, MODE), "r+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = file.read()
            if not text.endswith("\n"):
                # New, or its maker died in the middle: nothing was signed with it yet.
                text = f"{secrets.token_hex(KEY_BYTES)}\n"
                file.seek(0)
                file.write(text)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSetup(
            f"the file of keys {path} cannot be read or made: {error}: mend it, or set {setting}"
        ) from error
    return parse_keys(text, str(path))
