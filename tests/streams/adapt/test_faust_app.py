"""librdkafka's connection block in Faust's terms, or a refusal that names the key."""

from __future__ import annotations

import ssl

import pytest
from faust.auth import SASLCredentials, SSLCredentials
from pydantic import SecretStr

from refrain.streams.adapt.faust_app import credentials_of
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Settings


def settings(**connection: str) -> Settings:
    return Settings(connection={key.replace("_", "."): SecretStr(value) for key, value in connection.items()})


def test_without_a_connection_block_nothing_is_encrypted() -> None:
    assert credentials_of(settings()) is None
    assert credentials_of(settings(security_protocol="PLAINTEXT", socket_keepalive_enable="true")) is None


def test_tls_checks_the_server_unless_told_otherwise() -> None:
    checked = credentials_of(settings(security_protocol="SSL"))
    assert isinstance(checked, SSLCredentials)
    assert checked.context.verify_mode is ssl.CERT_REQUIRED
    assert checked.context.check_hostname
    lax = credentials_of(settings(security_protocol="ssl", ssl_endpoint_identification_algorithm="none"))
    assert isinstance(lax, SSLCredentials)
    assert not lax.context.check_hostname


def test_a_password_travels_over_tls() -> None:
    found = credentials_of(
        settings(
            security_protocol="SASL_SSL", sasl_mechanisms="SCRAM-SHA-512", sasl_username="me", sasl_password="secret"
        )
    )
    assert isinstance(found, SASLCredentials)
    assert (found.username, found.password, found.mechanism.value) == ("me", "secret", "SCRAM-SHA-512")
    assert found.protocol.value == "SASL_SSL"


@pytest.mark.parametrize(
    ("connection", "named"),
    [
        ({"security_protocol": "carrier-pigeon"}, "security.protocol"),
        ({"ssl_crl_location": "x"}, "ssl.crl.location"),
        ({"sasl_oauthbearer_config": "x"}, "sasl.oauthbearer.config"),
        ({"security_protocol": "sasl_ssl", "sasl_mechanism": "GSSAPI"}, "sasl.mechanisms"),
        ({"security_protocol": "sasl_plaintext", "sasl_mechanism": "PLAIN"}, "sasl.username"),
        ({"security_protocol": "ssl", "ssl_ca_location": "/nowhere/ca.pem"}, "ssl.ca.location"),
        ({"security_protocol": "ssl", "ssl_certificate_location": "/nowhere/c.pem"}, "ssl.certificate.location"),
    ],
)
def test_a_key_that_cannot_be_carried_over_is_named(connection: dict[str, str], named: str) -> None:
    with pytest.raises(WrongSetup, match=named.replace(".", r"\.")):
        credentials_of(settings(**connection))
