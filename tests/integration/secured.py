"""Connections to a walled broker: each way in which a client may show who it is, by TLS or not."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka.admin import (
    AdminClient,
    NewTopic,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.integration.walled_broker import ROOT, WalledBroker

ADMIN_S = 20.0
SCRAM = {
    "SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256,
    "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512,
}


def connections(broker: WalledBroker) -> Mapping[str, tuple[str, dict[str, str]]]:
    """Address and librdkafka's properties of each way, by its name."""
    password, made = broker.passwords[ROOT], broker.certificates
    user = {"sasl.username": ROOT, "sasl.password": password, "log_level": "0"}
    trusted = {"ssl.ca.location": str(made.authority)}
    sasl = {"security.protocol": "SASL_SSL", **user}
    tls = {"security.protocol": "ssl", "log_level": "0", **trusted}
    return {
        "PLAIN": (broker.address, broker.connection(ROOT)),
        **{
            f"{mechanism} over TLS": (broker.tls, {**sasl, **trusted, "sasl.mechanisms": mechanism})
            for mechanism in ("PLAIN", *SCRAM)
        },
        "an authority in PEM": (
            broker.tls,
            {**sasl, "sasl.mechanism": "PLAIN", "ssl.ca.pem": made.authority.read_text()},
        ),
        "an authority that is not known, unchecked": (
            broker.tls,
            {**sasl, "sasl.mechanism": "PLAIN", "enable.ssl.certificate.verification": "false"},
        ),
        "a certificate": (
            broker.certified,
            {
                **tls,
                "ssl.certificate.location": str(made.client),
                "ssl.key.location": str(made.client_key),
                "ssl.key.password": made.password,
            },
        ),
        "a certificate in PEM": (
            broker.certified,
            {
                **tls,
                "ssl.certificate.pem": made.client.read_text(),
                "ssl.key.pem": made.client_key.read_text(),
                "ssl.key.password": made.password,
            },
        ),
        "a certificate in PKCS#12": (
            broker.certified,
            {**tls, "ssl.keystore.location": str(made.client_store), "ssl.keystore.password": made.password},
        ),
    }


def prepare(broker: WalledBroker, topic: str) -> None:
    """Give the root user credentials of SCRAM, and make a topic with one good batch."""
    admin = AdminClient({"bootstrap.servers": broker.address, **broker.connection(ROOT)})
    password = broker.passwords[ROOT].encode()
    futures = [
        admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(ROOT, ScramCredentialInfo(mechanism, 4_096), password)]
        )[ROOT]
        for mechanism in SCRAM.values()
    ]
    futures += admin.create_topics([NewTopic(topic, 1, 1)], operation_timeout=ADMIN_S).values()
    for future in futures:
        future.result(ADMIN_S)
