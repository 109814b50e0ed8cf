"""Where batches cannot be fetched it is said why, and nothing else goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.raw_fetch import FetchFailed, raw_fetch
from refrain.streams.kafka.tls import tls_context
from refrain.streams.settings import Settings
from tests.integration.certificates import certificates

PASSWORD = "pass word"


@pytest.mark.parametrize("mechanism", ["GSSAPI", "OAUTHBEARER", "plain", "", None])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "sasl_ssl"])
def test_a_mechanism_that_needs_more_than_a_name_and_a_password_is_named(mechanism: str | None, protocol: str) -> None:
    given = {"security.protocol": SecretStr(protocol)}
    if mechanism is not None:
        given["sasl.mechanisms"] = SecretStr(mechanism)
    with pytest.raises(FetchFailed, match=r"connection\.sasl\.mechanisms"):
        raw_fetch(Settings(kafka="127.0.0.1:1", connection=given))("t", 0, 0)


@pytest.mark.parametrize(
    "given", [{}, {"security.protocol": "SSL"}, {"security.protocol": "nonsense"}, {"security.protocol": "SASL_SSL",
    "sasl.mechanism": "PLAIN"}, {"security.protocol": "ssl", "ssl.ca.pem": "no certificate"}],
)  # fmt: skip
def test_whatever_goes_wrong_nothing_was_fetched(given: dict[str, str]) -> None:
    secret = {key: SecretStr(value) for key, value in given.items()}
    with pytest.raises(FetchFailed):
        raw_fetch(Settings(kafka="127.0.0.1:1", connection=secret))("t", 0, 0)


def test_certificates_are_taken_as_librdkafka_takes_them(tmp_path: Path) -> None:
    made = certificates(tmp_path, PASSWORD)
    pem = {"ssl.certificate.pem": made.client.read_text(), "ssl.key.pem": made.client_key.read_text()}
    for given in (
        {"ssl.certificate.location": str(made.client), "ssl.key.location": str(made.client_key)},
        pem,
        {"ssl.keystore.location": str(made.client_store), "ssl.keystore.password": PASSWORD},
        {"ssl.ca.location": str(tmp_path), **pem},
        {"ssl.ca.location": "probe"},
        {"ssl.ca.pem": made.authority.read_text()},
    ):
        tls_context({"ssl.key.password": PASSWORD, **given})


@pytest.mark.parametrize(
    ("key", "further"),
    [
        ("ssl.ca.location", {}),
        ("ssl.ca.pem", {}),
        ("ssl.certificate.location", {}),
        ("ssl.certificate.pem", {"ssl.key.pem": "none"}),
        ("ssl.keystore.location", {"ssl.keystore.password": "other"}),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(key: str, further: dict[str, str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for value in ("no certificate", str(wrong), str(tmp_path / "nowhere")):
        with pytest.raises(WrongSetup, match=key.replace(".", r"\.")):
            tls_context({key: value, **further})


def test_a_key_whose_password_is_missing_or_wrong_is_refused_without_a_question(tmp_path: Path) -> None:
    made = certificates(tmp_path, PASSWORD)
    given = {"ssl.certificate.location": str(made.client), "ssl.key.location": str(made.client_key)}
    for password in ({}, {"ssl.key.password": "other"}):
        with pytest.raises(WrongSetup, match="certificate"):
            tls_context({**given, **password})
