"""Seal files: one line of canonical JSON, the seal and its signature."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from refrain.ops.audit.seal import keys
from refrain.ops.audit.seal.model import Seal, canonical
from refrain.ops.data.whole import SEAL_BYTES, whole_file
from refrain.ops.terminal.out_files import check_free as free_of
from refrain.streams.errors import BadInput, FileUnwritable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE = "signature"


def check_free(path: Path) -> None:
    """Raises FileUnwritable when the file exists: an old proof is never written over; or when its folder does not."""
    free_of(path, "a seal is not written over; name another file")


def write(path: Path, seal: Seal, key: Ed25519PrivateKey | None) -> None:
    """Write a seal whole or not at all, signed when there is a key. Raises FileUnwritable when that is not possible."""
    check_free(path)
    if key is not None:
        seal = seal.model_copy(update={"public_key": keys.public_of(key)})
    signature = "" if key is None else key.sign(seal.canonical()).hex()
    data = canonical({**seal.model_dump(mode="json"), SIGNATURE: signature or None}) + b"\n"
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise FileUnwritable(f"{path} cannot be written: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path, public_key: str | None = None) -> Seal:
    """Read a seal and check its signature: by `public_key` (raw, in hex) when it is given, else by its own key.

    Raises BadInput for what is no seal, for one that was altered since it was signed, and for one that is not signed by
    the key that is asked for.
    """
    try:
        found = json.loads(whole_file(path, SEAL_BYTES))
        signature = found.pop(SIGNATURE) if isinstance(found, dict) else None
        seal = Seal.model_validate(found)
        signed = bytes.fromhex(signature or "")
    except ValidationError as error:
        where = ".".join(str(each) for each in error.errors()[0]["loc"])
        raise BadInput(
            f"{path} is no seal of this version: {where or 'the whole'}: {error.errors()[0]['msg']}"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{path} is no seal: it is cut off, or another file") from error
    if public_key is not None and seal.public_key != public_key:
        by = "is not signed" if seal.public_key is None else f"is signed by the key {seal.public_key}"
        raise BadInput(f"{path} {by}, and not by {public_key}")
    if not _signature_fits(seal, signed):
        raise BadInput(f"{path} was altered after it was signed: its signature does not fit")
    return seal


def _signature_fits(seal: Seal, signature: bytes) -> bool:
    if seal.public_key is None:
        return not signature
    return keys.is_signed(seal.public_key, signature, seal.canonical())
