"""Signatures hold for one purpose and one list of parts, and keys come from settings or are made once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from refrain.schemas.forwards import Forward
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.key_file import MADE, load_or_make, route_keys, route_signer
from refrain.streams.messaging.routes import ShardRoute, decode_route, encode_route
from refrain.streams.messaging.signed_routes import SigningProducer
from refrain.streams.messaging.signing import SigningKeys, key_id, key_id_of, parse_keys
from refrain.streams.settings import Routes, Settings
from tests.streams.signed import KEY, ROUTES

KEYS = SigningKeys([KEY])
PARTS = st.lists(st.binary(max_size=20), max_size=4)


@given(PARTS, PARTS)
def test_a_signature_is_good_for_its_own_parts_alone(signed: list[bytes], others: list[bytes]) -> None:
    assert KEYS.verify(KEYS.sign(b"p", *signed), b"p", *signed)
    assert KEYS.verify(KEYS.sign(b"p", *signed), b"p", *others) == (signed == others)


def test_a_signature_is_good_for_its_own_purpose_alone() -> None:
    assert not KEYS.verify(KEYS.sign(b"p", b"a"), b"q", b"a")
    assert not KEYS.verify(KEYS.sign(b"p", b"a"), b"pa")


@given(st.text(max_size=60))
def test_no_text_that_somebody_makes_up_is_a_signature(text: str) -> None:
    assert not KEYS.verify(text, b"p", b"a")
    assert not KEYS.verify(f"{KEYS.ids[0]}.{text}", b"p", b"a")


def test_a_key_id_is_shown_and_anything_else_that_stands_in_its_place_is_not() -> None:
    assert key_id_of(KEYS.sign(b"p")) == key_id(KEY)
    assert {key_id_of(text) for text in ("", "secret.x", "ABCDEF01.x", "0123456789.x")} == {"?"}


def test_keys_are_hex_digits_one_a_line() -> None:
    keys = parse_keys(f"# the new one\n{'aB' * 32}\n\n  {'cd' * 40}  \n", "here")
    assert keys.ids == (key_id(b"\xab" * 32), key_id(b"\xcd" * 40))


@pytest.mark.parametrize("text", ["", "# none", "ab" * 31, "xy" * 32, "ab" * 32 + "a", "ab" * 32 + "\nsecret", "ab" * 32
                                  + "\n" + "\n".join(f"{n:064x}" for n in range(8))])  # fmt: skip
def test_what_is_no_key_is_named_by_its_place_and_never_shown(text: str) -> None:
    with pytest.raises(WrongSetup, match="the file") as raised:
        parse_keys(text, "the file")
    assert "secret" not in str(raised.value)
    assert "abab" not in str(raised.value)


@pytest.mark.parametrize("keys", [[], [b"short"], [KEY, b"x" * 31]])
def test_a_short_key_signs_nothing(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="at least"):
        SigningKeys(keys)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    made = route_keys(settings)
    path = tmp_path / "state" / MADE
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(path.read_text().strip())) == 32
    assert route_keys(settings).ids == made.ids
    assert route_keys(Settings(state_dir=tmp_path / "elsewhere")).ids != made.ids


def test_a_key_whose_maker_died_in_the_middle_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text("ab12")
    assert load_or_make(path).ids == load_or_make(path).ids


def _made_by(path: str) -> tuple[str, ...]:
    return load_or_make(Path(path)).ids


def test_processes_that_start_together_have_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(_made_by, [str(tmp_path / "k")] * 8))) == 1


def test_a_state_folder_that_cannot_be_written_is_wrong_setup(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WrongSetup, match=r"routes\.keys"):
        route_keys(Settings(state_dir=tmp_path / "file"))


def test_keys_of_the_settings_win_and_nothing_is_made(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, routes=Routes(keys=SecretStr("ab" * 32)))
    assert route_signer(settings).keys.ids == (key_id(b"\xab" * 32),)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(WrongSetup, match=r"routes\.keys"):
        route_signer(Settings(routes=Routes(keys=SecretStr("hello"))))


class Sent:
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []

    def send(self, records: Sequence[Outgoing]) -> None:
        self.records += records

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        self.send(records)

    def close(self) -> None:
        self.records.clear()


BODIES = st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.sampled_from(['"route":"x"}', '"}', "\\"]))


@given(BODIES, st.text(min_size=1, max_size=20))
def test_what_is_sent_to_forwards_has_its_route_signed_and_is_the_same_in_all_else(
    body: dict[str, str], forward_id: str
) -> None:
    route = ShardRoute(forward_id=forward_id, incarnation="i", partition=1)
    forward = Forward(forward_id=forward_id, model="m", body=body, deadline_at_ms=1, route=encode_route(route))
    plain = Outgoing("forwards", forward_id.encode(), forward.encode())
    sent = Sent()
    SigningProducer(sent, ROUTES).send([plain])
    found = Forward.decode(sent.records[0].value or b"")
    assert found.model_copy(update={"route": forward.route}) == forward
    assert ROUTES.open(found.route, forward_id) == route == decode_route(found.route, forward_id)
    again = Sent()
    SigningProducer(again, ROUTES).send([plain])
    assert again.records == sent.records


def test_what_is_sent_elsewhere_is_as_it_was() -> None:
    sent, record = Sent(), Outgoing("responses", b"k", b'{"route":"x"}')
    producer = SigningProducer(sent, ROUTES)
    producer.send([record])
    assert sent.records == [record]
    producer.close()
    assert sent.records == []


@pytest.mark.parametrize("value", [None, b"", b"{}", b'{"route":"x"', b'{"route":1}'])
def test_what_has_no_route_at_its_end_is_no_forward(value: bytes | None) -> None:
    with pytest.raises(ValueError, match="ends with its route"):
        ROUTES.sign_forward(Outgoing("forwards", b"f", value))
