"""A seal file is taken as it was written, or not at all; its signature says who wrote it."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from refrain.ops.audit.seal import file, keys
from refrain.ops.audit.seal.model import TOPICS, Seal, SealedPartition, SealedState, SealedTopic
from refrain.streams.errors import BadInput
from tests.ops.audit.seal.logs import log, seal

PEM = serialization.Encoding.PEM


def a_seal() -> Seal:
    return Seal(
        made_ms=1_000,
        fold="fold-1/abc",
        findings=0,
        topics={name: SealedTopic(id=name, partitions=4) for name in TOPICS},
        control=seal([], topic="control", partition=0),
        partitions=(
            SealedPartition(
                journal=seal(log()),
                decisions=seal(log(20, gap_every=3), topic="decisions"),
                state=SealedState(offset=50, digest="ab"),
            ),
        ),
    )


@pytest.fixture
def key(tmp_path: Path) -> Path:
    keys.make_key(tmp_path / "audit.key")
    return tmp_path / "audit.key"


def public(key: Path) -> str:
    return keys.read_public(key.with_name(key.name + ".pub"))


def test_a_seal_is_read_as_it_was_written(tmp_path: Path, key: Path) -> None:
    file.write(tmp_path / "plain", a_seal(), None)
    assert file.read(tmp_path / "plain") == a_seal()
    file.write(tmp_path / "signed", a_seal(), keys.read_private(key))
    assert file.read(tmp_path / "signed", public(key)) == a_seal().model_copy(update={"public_key": public(key)})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["audit.key", "audit.key.pub", "plain", "signed"]


def test_a_seal_file_is_canonical(tmp_path: Path, key: Path) -> None:
    file.write(tmp_path / "a", a_seal(), keys.read_private(key))
    file.write(tmp_path / "b", a_seal(), keys.read_private(key))
    text = (tmp_path / "a").read_text("ascii")
    assert text == (tmp_path / "b").read_text("ascii")
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) + "\n"


def test_a_stranger_can_check_a_signature_by_the_file_alone(tmp_path: Path, key: Path) -> None:
    file.write(tmp_path / "seal", a_seal(), keys.read_private(key))
    found = json.loads((tmp_path / "seal").read_bytes())
    signature = bytes.fromhex(found.pop("signature"))
    signed = json.dumps(found, sort_keys=True, separators=(",", ":")).encode()
    ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(found["public_key"])).verify(signature, signed)


def test_a_seal_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "seal").write_text("an older one")
    with pytest.raises(BadInput, match="exists"):
        file.write(tmp_path / "seal", a_seal(), None)
    assert (tmp_path / "seal").read_text() == "an older one"


def _other_state(found: dict[str, Any]) -> None:
    found["partitions"][0]["state"]["digest"] = "cd"


def _other_digest(found: dict[str, Any]) -> None:
    found["partitions"][0]["journal"]["rungs"][0]["digest"] = "00" * 32


def _other_key(found: dict[str, Any]) -> None:
    found["public_key"] = "11" * 32


def _no_key(found: dict[str, Any]) -> None:
    found["public_key"] = None


def _no_signature(found: dict[str, Any]) -> None:
    found["signature"] = None


@pytest.mark.parametrize("alter", [_other_state, _other_digest, _other_key, _no_key, _no_signature])
def test_a_signed_seal_that_was_altered_is_refused(
    alter: Callable[[dict[str, Any]], None], tmp_path: Path, key: Path
) -> None:
    file.write(tmp_path / "seal", a_seal(), keys.read_private(key))
    found = json.loads((tmp_path / "seal").read_bytes())
    alter(found)
    (tmp_path / "seal").write_text(json.dumps(found))
    with pytest.raises(BadInput, match="altered"):
        file.read(tmp_path / "seal")


def test_a_seal_that_another_signed_or_nobody_is_refused_for_a_key(tmp_path: Path, key: Path) -> None:
    keys.make_key(tmp_path / "other.key")
    file.write(tmp_path / "plain", a_seal(), None)
    file.write(tmp_path / "other", a_seal(), keys.read_private(tmp_path / "other.key"))
    with pytest.raises(BadInput, match="not signed"):
        file.read(tmp_path / "plain", public(key))
    with pytest.raises(BadInput, match="is signed by the key"):
        file.read(tmp_path / "other", public(key))


def _cut(found: dict[str, Any]) -> None:
    rung = found["partitions"][0]["journal"]["rungs"][0]
    rung["prints"] = rung["prints"][4:]


def _swapped(found: dict[str, Any]) -> None:
    found["partitions"][0]["journal"]["rungs"].reverse()


def _version(found: dict[str, Any]) -> None:
    found["v"] = 2


def _unknown(found: dict[str, Any]) -> None:
    found["more"] = 1


def _overlapping(found: dict[str, Any]) -> None:
    found["partitions"][0]["decisions"]["rungs"][0]["offsets"][1][0] = 1


def _short(found: dict[str, Any]) -> None:
    found["partitions"][0]["journal"]["end"] = 20


def _without_a_topic(found: dict[str, Any]) -> None:
    del found["topics"]["journal"]


def _of_another_topic(found: dict[str, Any]) -> None:
    found["control"]["topic"] = "secrets"


def _decisions_for_journal(found: dict[str, Any]) -> None:
    found["partitions"][0]["journal"] = found["partitions"][0]["decisions"]


def _of_two_partitions(found: dict[str, Any]) -> None:
    found["partitions"][0]["decisions"]["partition"] += 1


def _twice(found: dict[str, Any]) -> None:
    found["partitions"] *= 2


@pytest.mark.parametrize(
    "alter",
    [
        _cut, _swapped, _version, _unknown, _overlapping, _short,
        _without_a_topic, _of_another_topic, _decisions_for_journal, _of_two_partitions, _twice,
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_no_seal(alter: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    file.write(tmp_path / "seal", a_seal(), None)
    found = json.loads((tmp_path / "seal").read_bytes())
    alter(found)
    (tmp_path / "seal").write_text(json.dumps(found))
    with pytest.raises(BadInput, match="no seal of this version"):
        file.read(tmp_path / "seal")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[]", b"null", b'{"v":1', b"{}", b"[" * 100_000])
def test_another_file_is_no_seal(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "seal").write_bytes(data)
    with pytest.raises(BadInput, match="no seal"):
        file.read(tmp_path / "seal")
    with pytest.raises(BadInput, match="cannot be read"):
        file.read(tmp_path / "missing")


def test_a_key_is_for_its_owners_eyes_and_never_written_over(key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    with pytest.raises(BadInput, match="exists"):
        keys.make_key(key)
    key.with_name("audit.key.pub").unlink()
    with pytest.raises(BadInput, match="exists"):
        keys.make_key(key)
    assert key.read_bytes() == before


def test_a_key_that_others_may_read_does_not_sign(key: Path) -> None:
    key.chmod(0o640)
    with pytest.raises(BadInput, match="read by others"):
        keys.read_private(key)


def test_what_is_no_key_of_the_kind_is_refused(tmp_path: Path, key: Path) -> None:
    private = tmp_path / "private"
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    rsa_key = made.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.with_name("audit.key.pub").read_bytes()
    damaged = key.read_bytes().replace(b"MC4C", b"MC4D")
    for data, said in (
        (b"", "holds no private key"),
        (b"no key", "holds no private key"),
        (locked, "locked by a passphrase"),
        (rsa_key, "no Ed25519 key"),
        (public, "is a public key, which signs nothing"),
        (damaged, "it is damaged"),
    ):
        private.write_bytes(data)
        private.chmod(0o600)
        with pytest.raises(BadInput, match=said):
            keys.read_private(private)
    private.chmod(0o644)
    private.write_bytes(public)
    with pytest.raises(BadInput, match="is a public key"):
        keys.read_private(private)
    rsa_public = made.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for data, said in (
        (b"", "holds no public key"),
        (rsa_public, "no Ed25519 key"),
        (key.read_bytes(), "is a private key: keep it"),
    ):
        private.write_bytes(data)
        with pytest.raises(BadInput, match=said):
            keys.read_public(private)
