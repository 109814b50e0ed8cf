"""The broker of up, demo, test and bench, found in one order: the user's own, Docker, jars on a local Java.

with broker() as bootstrap: ...        # one line on standard error says which; stopped at the end
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import NoReturn

from infra.local import docker_broker, jar_broker, jar_cluster
from infra.local.jar_broker import BrokerFailed, Say

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
"""All that the local service leaves: the broker's jars, data and logs, the workers' state. Ignored by git."""


class BrokerKind(StrEnum):
    """Kind of broker: the user's own, a Docker container, or jars on a local Java."""

    OWN = "own"
    DOCKER = "docker"
    JARS = "jars"


def choose_kind(
    environment: Mapping[str, str], docker: Callable[[], bool], jars_lack: Callable[[], str | None]
) -> BrokerKind:
    """Choose the first kind that works here; later ones are not probed. Raises BrokerFailed naming all three."""
    if environment.get("REFRAIN_KAFKA", "").strip():
        return BrokerKind.OWN
    if docker():
        return BrokerKind.DOCKER
    lack = jars_lack()
    if lack is None:
        return BrokerKind.JARS
    raise BrokerFailed(
        "no Kafka broker can be had here. Do one of these:\n"
        "  1. set REFRAIN_KAFKA to the bootstrap servers of your own (REFRAIN_KAFKA=host:9092)\n"
        "  2. start a Docker engine (`docker info` must answer)\n"
        f"  3. install Java {jar_broker.JAVA_MIN} or newer and Maven (now: {lack}). Debian, Ubuntu: apt-get install\n"
        "     default-jre-headless maven; macOS: brew install openjdk maven"
    )


@contextmanager
def brokers(count: int, *, keep: bool = False, local: Path = LOCAL, say: Say | None = None) -> Iterator[str]:
    """Yield the bootstrap servers of so many brokers, as `broker` does of one; several run from jars.

    Raises BrokerFailed.
    """
    if count == 1:
        with broker(keep=keep, local=local, say=say) as bootstrap:
            yield bootstrap
        return
    tell = say or _to_stderr
    home = local / "kafka"
    home.mkdir(parents=True, exist_ok=True)
    lack = jar_broker.missing_tool(home / "libs")
    if lack is not None or os.environ.get("REFRAIN_KAFKA", "").strip():
        raise BrokerFailed(f"several brokers run from jars: {lack or 'unset REFRAIN_KAFKA, which names your own'}")
    with ended_by_signals():
        tell(f"broker: {count} of Apache Kafka from its jars on a local Java, under .local/kafka")
        with jar_cluster.cluster(home, count, keep, tell) as running:
            yield running.servers


@contextmanager
def broker(
    *, keep: bool = False, is_measured: bool = False, local: Path = LOCAL, say: Say | None = None
) -> Iterator[str]:
    """Yield the bootstrap servers of a broker that answers; end what was started, also on SIGTERM and Ctrl-C.

    With `keep` the broker's data outlive it, else it starts empty. One that `is_measured` takes longer to be warm, and
    does more then. Raises BrokerFailed.
    """
    tell = say or _to_stderr
    home = local / "kafka"
    home.mkdir(parents=True, exist_ok=True)
    way = choose_kind(os.environ, docker_broker.runs, lambda: jar_broker.missing_tool(home / "libs"))
    with ended_by_signals():
        if way is BrokerKind.OWN:
            own = os.environ["REFRAIN_KAFKA"].strip()
            tell(f"broker: REFRAIN_KAFKA, {own}")
            if not jar_broker.listens(own):
                raise BrokerFailed(f"nothing listens at REFRAIN_KAFKA={own} (HOST:PORT,...): start it or unset it")
            found: AbstractContextManager[str] = nullcontext(own)
        elif way is BrokerKind.DOCKER:
            tell(f"broker: Docker, {docker_broker.service(0)[0]}")
            found = docker_broker.node(home, keep)
        else:
            tell("broker: Apache Kafka from its jars on a local Java, under .local/kafka")
            found = jar_broker.node(home, keep, tell, is_measured=is_measured)
        with found as bootstrap:
            yield bootstrap


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the stack, as Ctrl-C does, so that nothing is left running."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        # A shell starts background jobs with Ctrl-C ignored; whoever sends it to us by our id means it.
        if handler is signal.SIG_DFL or number == signal.SIGINT:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def exit_with(main: Callable[[list[str]], int]) -> NoReturn:
    """End the process as `main` of its arguments does: 69 when no broker can be had, 130 at Ctrl-C."""
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokerFailed as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(69)
    except KeyboardInterrupt:
        sys.exit(130)
