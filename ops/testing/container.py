"""A broker and a whole Refrain in Docker, for the time of a test.

    with RefrainContainer() as refrain:
        client = Producer({"bootstrap.servers": refrain.bootstrap_servers})

The image is what `docker build -f infra/Dockerfile -t refrain-cache:local .` makes, or one of that kind from a
registry. The model is simulated unless the variables name one.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import yaml

from refrain.ops.config.resources import text_of
from refrain.ops.run.processors import NAMES, ON_DEMAND
from refrain.streams.errors import WrongSetup, install_hint

IMAGE = "refrain-cache:local"
INSIDE = "kafka:29092"
"""Where the processors find the broker."""
PORT_SETTING = "${KAFKA_PORT:-9092}"
HTTP_PORT = 9100
"""Where the first processor serves its health; those behind it follow."""
PORTS = tuple(HTTP_PORT + place for place, name in enumerate(NAMES) if name not in ON_DEMAND)
"""Where all processors that `run all` starts by itself serve theirs."""
READY_S = 300.0
POLL_S = 0.5
LOG_LINES = 25
_START = """\
code=75
while [ "$code" = 75 ] || [ "$code" = 69 ]; do
  refrain topics create --partitions-journal "$SHARDS" && exec refrain run all || code=$?
  sleep 1
done
exit "$code"
"""
"""A broker that has just started may not answer yet (69), nor serve at once what it made (75)."""
_READY = (
    "import urllib.request\n"
    f"for port in {PORTS}:\n"
    "    urllib.request.urlopen(f'http://127.0.0.1:{port}/readyz', timeout=2)\n"
)
_POLICY = (
    'if [ -n "$POLICY" ]; then printf %s "$POLICY" >/tmp/policy.yaml; else refrain policies init /tmp/policy.yaml; fi\n'
    "refrain policies apply /tmp/policy.yaml --yes --who RefrainContainer --timeout 60"
)


class ContainerFailed(Exception):
    """The containers did not come up, or a command in them failed; the text has the end of what was said."""


class RefrainContainer:
    """A broker with all processors of Refrain and a policy in force, until `stop`.

    `policy` is the text of a policy file, else the default policy; `environment` holds further settings, such as
    `REFRAIN_UPSTREAM__BASE_URL`; `shards` is the number of partitions of the journal. Raises WrongSetup without
    testcontainers.
    """

    def __init__(
        self,
        image: str = IMAGE,
        *,
        policy: str = "",
        environment: Mapping[str, str] | None = None,
        shards: int = 1,
    ) -> None:
        self._policy = policy
        self._port = _free_port()
        self._network = _network()
        self._broker = _broker(self._network, self._port)
        self._refrain = _container(image, self._network)
        self._refrain.with_kwargs(entrypoint=["sh"], read_only=True).with_command(["-uc", _START])
        self._refrain.tmpfs = {"/tmp": ""}
        model = {} if environment and "REFRAIN_UPSTREAM__BASE_URL" in environment else _SIMULATED
        self._refrain.with_envs(**_SETTINGS, **model, **(environment or {}), SHARDS=str(shards))

    @property
    def bootstrap_servers(self) -> str:
        """Where clients of this machine reach the broker."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Start broker and processors, and put the policy in force. Raises ContainerFailed."""
        try:
            self._network.create()
            self._broker.start()
            self._refrain.start()
            self._wait_until_ready()
            self._checked(["sh", "-euc", _POLICY], {"POLICY": self._policy})
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop and remove what was started."""
        for container in (self._refrain, self._broker):
            container.stop()
        if self._network.id is not None:
            self._network.remove()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, *arguments: str) -> str:
        """What `refrain ARGUMENTS` prints, run beside the processors. Raises ContainerFailed."""
        return self._checked(["refrain", *arguments], {})

    def logs(self) -> str:
        """What the processors have logged."""
        return "".join(part.decode(errors="replace") for part in self._refrain.get_logs())

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while self._refrain.get_wrapped_container().exec_run(["python3", "-c", _READY]).exit_code != 0:
            if time.monotonic() > deadline:
                raise ContainerFailed(f"not ready within {READY_S:.0f} s; the end of the log:\n{_end_of(self.logs())}")
            self._still_runs()
            time.sleep(POLL_S)

    def _still_runs(self) -> None:
        container = self._refrain.get_wrapped_container()
        container.reload()
        if container.status != "running":
            raise ContainerFailed(f"it ended by itself; the end of the log:\n{_end_of(self.logs())}")

    def _checked(self, command: list[str], environment: Mapping[str, str]) -> str:
        done = self._refrain.get_wrapped_container().exec_run(command, environment=dict(environment), demux=True)
        out, err = (part.decode(errors="replace") for part in (each or b"" for each in done.output))
        if done.exit_code != 0:
            raise ContainerFailed(f"{command[0]} ended with {done.exit_code}:\n{_end_of(out + err)}")
        return out


_SETTINGS = {"REFRAIN_KAFKA": INSIDE, "REFRAIN_CONNECT_TIMEOUT_MS": "60000", "REFRAIN_HTTP__PORT": str(HTTP_PORT)}
_SIMULATED = {"REFRAIN_UPSTREAM__CONNECTOR": "simulated"}


def _broker(network: Any, port: int) -> Any:
    """The broker of compose.yaml, which the processors reach on a listener of their own."""
    kafka = yaml.safe_load(text_of("kafka", "compose.yaml"))["services"]["kafka"]
    environment = {name: value.replace(PORT_SETTING, str(port)) for name, value in kafka["environment"].items()}
    environment["KAFKA_LISTENERS"] += f",INSIDE://:{INSIDE.rpartition(':')[2]}"
    environment["KAFKA_ADVERTISED_LISTENERS"] += f",INSIDE://{INSIDE}"
    environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"] += ",INSIDE:PLAINTEXT"
    environment["KAFKA_INTER_BROKER_LISTENER_NAME"] = "INSIDE"
    container = _container(kafka["image"], network).with_envs(**environment)
    container.with_network_aliases(INSIDE.partition(":")[0])
    container.ports[f"{port}/tcp"] = ("127.0.0.1", port)
    return container


def _network() -> Any:
    try:
        from testcontainers.core.network import Network
    except ImportError as error:
        raise WrongSetup(f"RefrainContainer needs testcontainers: {install_hint('testing')}") from error
    return Network()


def _container(image: str, network: Any) -> Any:
    from testcontainers.core.container import DockerContainer

    return DockerContainer(image).with_network(network)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _end_of(text: str) -> str:
    return "\n".join(text.splitlines()[-LOG_LINES:])
