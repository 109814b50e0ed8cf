"""The TLS context of connections that librdkafka does not make."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path

from refrain.streams.errors import WrongSetup

PROBE = "probe"
"""By this librdkafka looks for the system's authorities; here those are the default."""


def tls_context(given: Mapping[str, str]) -> ssl.SSLContext:
    """The TLS context that librdkafka's `ssl.*` properties describe. Raises WrongSetup naming the key."""
    context = _trusting(given)
    if given.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if given.get("enable.ssl.certificate.verification", "true").lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _identify(context, given)
    return context


def _trusting(given: Mapping[str, str]) -> ssl.SSLContext:
    """A context that trusts the authorities of the properties, else the system's."""
    place, pem = given.get("ssl.ca.location"), given.get("ssl.ca.pem")
    place = None if place == PROBE else place
    if place is None and pem is None:
        return ssl.create_default_context()
    is_folder = place is not None and Path(place).is_dir()
    try:
        return ssl.create_default_context(
            cafile=None if is_folder else place, capath=place if is_folder else None, cadata=pem
        )
    except (OSError, ssl.SSLError) as wrong:
        key = "ssl.ca.pem" if place is None else "ssl.ca.location"
        raise WrongSetup(f"connection.{key} cannot be used: {wrong}") from wrong


def _identify(context: ssl.SSLContext, given: Mapping[str, str]) -> None:
    """Give the context the client's own certificate, where the properties name one."""
    # Never None: of a key that needs one the library would ask at the terminal.
    password = given.get("ssl.key.password", "")
    if "ssl.certificate.location" in given:
        key = "ssl.certificate.location"
        load = (given[key], given.get("ssl.key.location"), password)
    elif "ssl.certificate.pem" in given or "ssl.keystore.location" in given:
        key = "ssl.certificate.pem" if "ssl.certificate.pem" in given else "ssl.keystore.location"
        load = None
    else:
        return
    try:
        if load is not None:
            context.load_cert_chain(*load)
            return
        pem = _of_store(given) if key == "ssl.keystore.location" else f"{given[key]}\n{given.get('ssl.key.pem', '')}"
        # Python takes them from files alone; this one is readable by its owner, and goes at once.
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name, None, password)
    except (OSError, ValueError, ssl.SSLError) as wrong:
        raise WrongSetup(f"connection.{key} cannot be used: {wrong}") from wrong


def _of_store(given: Mapping[str, str]) -> str:
    """Key and certificates of a PKCS#12 file, as PEM. Raises OSError, ValueError."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    secret = given.get("ssl.keystore.password")
    data = Path(given["ssl.keystore.location"]).read_bytes()
    key, certificate, further = pkcs12.load_key_and_certificates(data, None if secret is None else secret.encode())
    if key is None or certificate is None:
        raise ValueError("it holds no key with a certificate")
    password = given.get("ssl.key.password")
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password.encode())
    parts = [key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)]
    parts += [each.public_bytes(serialization.Encoding.PEM) for each in (certificate, *further)]
    return b"".join(parts).decode("ascii")
