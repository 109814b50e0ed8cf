"""Makes the Faust app on the cluster of the settings: connection, limits, and what it must not do."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from typing import Any

import faust
from faust.auth import SASLCredentials, SSLCredentials

from refrain.streams.adapt.lenient_records import read_leniently
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.config import client_id
from refrain.streams.kafka.tls import tls_context
from refrain.streams.settings import Settings

HANDLED = frozenset(
    {
        "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password",
        "ssl.ca.location", "ssl.ca.pem", "ssl.certificate.location", "ssl.key.location", "ssl.key.password",
        "ssl.certificate.pem", "ssl.key.pem", "ssl.keystore.location", "ssl.keystore.password",
        "ssl.endpoint.identification.algorithm", "enable.ssl.certificate.verification",
    }
)  # fmt: skip
TUNING = ("socket.", "reconnect.", "retry.", "client.", "broker.address.", "metadata.", "log", "debug", "statistics.")
"""Properties that only tune librdkafka: aiokafka does as well without."""
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def faust_app(settings: Settings, name: str) -> Any:
    """An app of the group `PREFIX + name` that creates no topics, keeps no tables and serves no web.

    To be called in the event loop that runs it. Raises WrongSetup for connection settings that Faust cannot take.
    """
    read_leniently()
    for noisy in ("faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    # Of a broker that is away it tells several times a second; a worker tells of an outage itself.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # Faust makes its folder there, though nothing is ever put into it.
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    session_s = settings.session_timeout_ms / 1_000
    return faust.App(
        settings.prefix + name,
        broker=[f"kafka://{server.strip()}" for server in settings.kafka.split(",")],
        broker_credentials=credentials_of(settings),
        broker_client_id=client_id(settings),
        broker_session_timeout=session_s,
        broker_heartbeat_interval=max(0.1, session_s / 6),
        broker_rebalance_timeout=max(60.0, session_s),
        broker_request_timeout=max(90.0, 2 * session_s),
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="latest",
        processing_guarantee="at_least_once",
        store="memory://",
        datadir=settings.state_dir / name,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
    )


def is_member(app: Any) -> bool:
    """Whether the app's consumer is a member of its group: an app may live on without one."""
    consumer = getattr(getattr(getattr(app, "consumer", None), "_thread", None), "_consumer", None)
    coordinator = getattr(consumer, "_coordinator", None)
    return coordinator is not None and coordinator.generation > 0


def credentials_of(settings: Settings) -> SSLCredentials | SASLCredentials | None:
    """Faust's form of the connection block. Raises WrongSetup naming the key that has none."""
    given = {key: value.get_secret_value() for key, value in settings.connection.items()}
    for key in given:
        if key not in HANDLED and not key.startswith(TUNING):
            raise WrongSetup(f"connection.{key} cannot be carried over to Faust: run adapt with settings without it")
    protocol = given.get("security.protocol", "plaintext").lower()
    if protocol == "plaintext":
        return None
    if protocol == "ssl":
        return SSLCredentials(tls_context(given))
    if protocol in ("sasl_plaintext", "sasl_ssl"):
        return _sasl(given, tls_context(given) if protocol == "sasl_ssl" else None)
    raise WrongSetup(f"connection.security.protocol is {protocol!r}: use plaintext, ssl, sasl_plaintext or sasl_ssl")


def _sasl(given: Mapping[str, str], context: ssl.SSLContext | None) -> SASLCredentials:
    mechanism = given.get("sasl.mechanisms", given.get("sasl.mechanism", ""))
    if mechanism not in MECHANISMS:
        raise WrongSetup(f"connection.sasl.mechanisms is {mechanism!r}: adapt can use {', '.join(MECHANISMS)}")
    for key in ("sasl.username", "sasl.password"):
        if key not in given:
            raise WrongSetup(f"connection.{key} is not set, and {mechanism} needs it")
    return SASLCredentials(
        username=given["sasl.username"],
        password=given["sasl.password"],
        ssl_context=context,
        mechanism=mechanism,
    )
