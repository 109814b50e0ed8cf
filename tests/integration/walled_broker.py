"""A broker with users and ACLs: SASL, KRaft's StandardAuthorizer, and nothing allowed that no ACL allows.

It listens by SASL over plain text, by SASL over TLS, and by TLS where the client has a certificate.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from infra.local import jar_broker
from infra.local.jar_broker import BrokerFailed, NodeExtras
from refrain.streams.settings import Settings
from tests.integration.certificates import Certificates, certificates

ROOT = "root"
"""The one user who may do everything."""
LISTENERS = "SASL_PLAINTEXT://127.0.0.1:{{port}},SASL_SSL://127.0.0.1:{tls},SSL://127.0.0.1:{certified}"
PROPERTIES = f"""\
listeners={LISTENERS},CONTROLLER://127.0.0.1:{{{{controller}}}}
advertised.listeners={LISTENERS}
listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config={{login}}
listener.name.sasl_ssl.plain.sasl.jaas.config={{login}}
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={{scram}}
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={{scram}}
ssl.keystore.type=PEM
ssl.keystore.location={{broker}}
ssl.truststore.type=PEM
ssl.truststore.location={{authority}}
listener.name.ssl.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
# The controller's listener, on the same loopback, knows its one broker by no name.
super.users=User:{{root}};User:ANONYMOUS;User:CN=client
"""
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True)
class WalledBroker:
    """Address and users of the broker."""

    address: str
    passwords: Mapping[str, str]
    tls: str
    """Its address by SASL over TLS."""
    certified: str
    """Its address by TLS for who has a certificate."""
    certificates: Certificates

    def connection(self, user: str) -> dict[str, str]:
        """librdkafka's properties to be this user."""
        return _connection(user, self.passwords[user])

    def settings_of(self, user: str, settings: Settings) -> Settings:
        """The settings of a process that is this user."""
        secret = {key: SecretStr(value) for key, value in self.connection(user).items()}
        return settings.model_copy(update={"kafka": self.address, "connection": secret})


@contextmanager
def walled_broker(home: Path, users: Iterable[str]) -> Iterator[WalledBroker]:
    """Run one from the jars below `home`, with random passwords. Raises BrokerFailed where Java or Maven is missing."""
    lack = jar_broker.missing_tool(home / "libs")
    if lack is not None:
        raise BrokerFailed(f"a broker with ACLs is run from its jars: install Java and Maven ({lack})")
    passwords = {user: secrets.token_hex(16) for user in (ROOT, *users)}
    known = " ".join(f'user_{user}="{password}"' for user, password in passwords.items())
    login = f'{LOGIN} username="{ROOT}" password="{passwords[ROOT]}" {known};'
    ports = dict(zip(("tls", "certified"), jar_broker.free_ports(2), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        made = certificates(Path(folder), secrets.token_hex(16))
        properties = PROPERTIES.format(
            login=login, scram=SCRAM, root=ROOT, broker=made.broker, authority=made.authority, **ports
        )
        extra = NodeExtras(properties, _connection(ROOT, passwords[ROOT]))
        with jar_broker.node(home, False, lambda line: None, extra) as address:
            tls, certified = (f"127.0.0.1:{port}" for port in ports.values())
            yield WalledBroker(address, passwords, tls, certified, made)


def _connection(user: str, password: str) -> dict[str, str]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password,
        # Clients may outlive the broker for a moment, and are not to tell of it.
        "log_level": "0",
    }
