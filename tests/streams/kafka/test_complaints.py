"""What a client of librdkafka tells beside its calls becomes a reason and what to do about it."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from refrain.streams.kafka.complaints import ENCRYPTION, Complaints

DOWN = (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
REFUSED = (
    KafkaError._TRANSPORT,
    "127.0.0.1:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)",
)
UNKNOWN = (
    KafkaError._RESOLVE,
    "k:9092/bootstrap: Failed to resolve 'k:9092': Name or service not known (after 1ms in state CONNECT)",
)
ELSEWHERE = (
    KafkaError._RESOLVE,
    "kafka:29092/1: Failed to resolve 'kafka:29092': Name or service not known (after 1ms in state CONNECT)",
)
LOGIN = (
    KafkaError._AUTHENTICATION,
    "sasl_ssl://k:9092/1: SASL authentication error: Authentication failed (after 1ms in state AUTH_REQ, 4 identical"
    " error(s) suppressed)",
)
PLAIN = (
    KafkaError._TRANSPORT,
    "ssl://k:9092/bootstrap: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener? (after 1ms"
    " in state SSL_HANDSHAKE)",
)
STRANGER = (ENCRYPTION, "ssl://k:9092/bootstrap: SSL handshake failed: certificate verify failed")
TLS = (
    KafkaError._TRANSPORT,
    "k:9092/bootstrap: Disconnected while requesting ApiVersion (after 5ms in state APIVERSION_QUERY)",
)


@pytest.mark.parametrize(
    ("told", "begins", "to_do"),
    [
        ([REFUSED, DOWN], "Connect to ipv4#127.0.0.1:9 failed: Connection refused: ", "start a broker there"),
        ([UNKNOWN, DOWN], "Failed to resolve 'k:9092': Name or service not known: ", "check the name"),
        ([ELSEWHERE], "Failed to resolve 'kafka:29092': Name or service not known: ", "`advertised.listeners`"),
        ([LOGIN, DOWN, REFUSED], "SASL authentication error: Authentication failed: ", "`sasl.password`"),
        ([PLAIN, DOWN], "SSL handshake failed: Disconnected: connecting to a PLAINTEXT", "`security.protocol`"),
        ([STRANGER, REFUSED], "SSL handshake failed: certificate verify failed: ", "`ssl.*`"),
        ([DOWN], "what listens there hangs up: ", "may want TLS or a login"),
        ([TLS], "Disconnected while requesting ApiVersion: ", "may want TLS or a login"),
    ],
)
def test_a_reason_is_told_with_what_to_do(told: list[tuple[int, str]], begins: str, to_do: str) -> None:
    complaints = Complaints()
    for code, text in told:
        complaints(KafkaError(code, text))
    said = complaints.told() or ""
    assert said.startswith(begins)
    assert to_do in said
    assert "in state" not in said


def test_nothing_is_said_of_a_client_that_said_nothing() -> None:
    assert Complaints().told() is None


def test_what_is_forgotten_is_told_no_more() -> None:
    complaints = Complaints()
    for code, text in (LOGIN, DOWN):
        complaints(KafkaError(code, text))
    complaints.forget()
    assert complaints.told() is None
    assert not complaints.login_refused


def test_only_a_refused_login_is_one() -> None:
    complaints = Complaints()
    complaints(KafkaError(*REFUSED))
    assert not complaints.login_refused
    complaints(KafkaError(*LOGIN))
    assert complaints.login_refused
