"""A broker with users and ACLs: SASL/PLAIN, KRaft's StandardAuthorizer, and nothing allowed that no ACL allows."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from infra.local import jar_broker
from infra.local.jar_broker import BrokerFailed, NodeExtras
from refrain.streams.settings import Settings

ROOT = "root"
"""The one user who may do everything."""
PROPERTIES = """\
listeners=SASL_PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=SASL_PLAINTEXT://127.0.0.1:{{port}}
listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config={login}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
# The controller's listener, on the same loopback, knows its one broker by no name.
super.users=User:{root};User:ANONYMOUS
"""
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@dataclass(frozen=True)
class WalledBroker:
    """Address and users of the broker."""

    address: str
    passwords: Mapping[str, str]

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
    extra = NodeExtras(PROPERTIES.format(login=login, root=ROOT), _connection(ROOT, passwords[ROOT]))
    with jar_broker.node(home, False, lambda line: None, extra) as address:
        yield WalledBroker(address, passwords)


def _connection(user: str, password: str) -> dict[str, str]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password,
        # Clients may outlive the broker for a moment, and are not to tell of it.
        "log_level": "0",
    }
