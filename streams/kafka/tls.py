"""The TLS context of connections that librdkafka does not make."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from refrain.streams.errors import WrongSetup


def tls_context(given: Mapping[str, str]) -> ssl.SSLContext:
    """The TLS context that librdkafka's `ssl.*` properties describe. Raises WrongSetup naming the key."""
    context = ssl.create_default_context()
    try:
        if "ssl.ca.location" in given or "ssl.ca.pem" in given:
            context = ssl.create_default_context(cafile=given.get("ssl.ca.location"), cadata=given.get("ssl.ca.pem"))
    except (OSError, ssl.SSLError) as wrong:
        raise WrongSetup(f"connection.ssl.ca.location cannot be used: {wrong}") from wrong
    if given.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if given.get("enable.ssl.certificate.verification", "true").lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "ssl.certificate.location" in given:
        try:
            context.load_cert_chain(
                given["ssl.certificate.location"],
                given.get("ssl.key.location"),
                given.get("ssl.key.password"),
            )
        except (OSError, ssl.SSLError) as wrong:
            raise WrongSetup(f"connection.ssl.certificate.location cannot be used: {wrong}") from wrong
    return context
