"""Service that `infra/up` runs: topics, all processors as a child process, and the default policy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import httpx

from infra.demo.script import POLICY
from infra.local.broker import ROOT
from infra.local.jar_broker import tail
from infra.local.log_file import log_file
from infra.local.processes import child, run
from refrain.ops.config.settings import load_settings
from refrain.ops.run.processors import all_of
from refrain.schemas.control import PolicyInForce
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.runtime.policy_follower import PolicyWatch

REFRAIN = str(ROOT / ".venv/bin/refrain")
SHARDS = 8
"""More than one machine has use for; each commit writes a marker into every partition that it touches."""
READY_S = 300.0
POLL_S = 0.2
PROBE_S = 2.0
STARTS_MAX = 3
"""A processor that was started so often and is not ready keeps failing."""
LOG_LINES = 25

Progress = Callable[[str], None]


class ServiceFailed(Exception):
    """The service could not be started or ended by itself; the text says what was seen."""


@dataclass(frozen=True)
class Service:
    """A running service."""

    process: Popen[bytes]
    log: Path
    begun: int
    """Where in the log this service begins: before it stands what others wrote."""
    policy: PolicyInForce | None = None
    """The policy that was in force before it started, and stays; None: the default one was applied."""

    def wait(self) -> None:
        """Until the service ends by itself, which is a failure. Raises ServiceFailed."""
        code = self.process.wait()
        raise ServiceFailed(f"the service ended by itself with {code}; the end of {self.log}:\n{self.tail()}")

    def tail(self) -> str:
        """The end of the workers' log."""
        return _end_of(self.log, self.begun)


@contextmanager
def service(environment: Mapping[str, str], state: Path, log: Path, progress: Progress) -> Iterator[Service]:
    """Create the topics, run all processors until the block ends, and see to it that a policy is in force.

    `environment` holds the settings; `state` is the folder that it names. The default policy is applied where none is
    in force: one that somebody chose stays. Raises ServiceFailed.
    """
    state.mkdir(parents=True, exist_ok=True)
    (state / "run.json").unlink(missing_ok=True)
    with log_file(log) as output:
        begun = log.stat().st_size
        create = [REFRAIN, "topics", "create", "--partitions-journal", str(SHARDS)]
        _step("topics create", run(create, environment, output), log, begun)
        with child([REFRAIN, "run", "all", "--supervised"], environment, output) as process:
            running = Service(process, log, begun)
            _wait_until_ready(running, state, progress, all_of(load_settings(environment)))
            in_force = policy_in_force(environment)
            if in_force is None:
                progress("putting the policy in force")
                apply = [REFRAIN, "policies", "apply", str(POLICY), "--yes", "--who", "infra/up", "--why", "default"]
                _step("policies apply", run(apply, environment, output), log, begun)
            running = Service(process, log, begun, in_force)
            yield running


def policy_in_force(environment: Mapping[str, str]) -> PolicyInForce | None:
    """The policy in force, None where there is none. Raises WrongSetup or ClusterFailed."""
    with KafkaCluster(load_settings(environment)) as cluster:
        return PolicyWatch(cluster).latest()


def _step(name: str, code: int, log: Path, begun: int) -> None:
    if code != 0:
        raise ServiceFailed(f"refrain {name} ended with {code}; the end of {log}:\n{_end_of(log, begun)}")


def _end_of(log: Path, begun: int) -> str:
    """The last lines of the log since then, without those of the Kafka client, which repeats itself."""
    written = log.read_bytes()
    # A log that was rotated meanwhile begins anew.
    since = written[begun if begun <= len(written) else 0 :]
    lines = since.decode(errors="replace").splitlines()
    return tail("\n".join(line for line in lines if not line.startswith("%")), LOG_LINES)


def _wait_until_ready(running: Service, state: Path, progress: Progress, names: Sequence[str]) -> None:
    starts: dict[str, set[int]] = {name: set() for name in names}
    deadline = time.monotonic() + READY_S
    with httpx.Client(timeout=PROBE_S, trust_env=False) as probe:
        while time.monotonic() < deadline:
            if running.process.poll() is not None:
                running.wait()
            waiting = _not_ready(state, probe, starts)
            if not waiting:
                return
            progress(f"starting {', '.join(waiting)}")
            failing = [name for name in waiting if len(starts[name]) > STARTS_MAX]
            if failing:
                raise ServiceFailed(f"{', '.join(failing)} keeps failing; the end of {running.log}:\n{running.tail()}")
            time.sleep(POLL_S)
    raise ServiceFailed(f"not ready after {READY_S:.0f} s: {', '.join(waiting)}; the end of the log:\n{running.tail()}")


def _not_ready(state: Path, probe: httpx.Client, starts: dict[str, set[int]]) -> list[str]:
    """The processors that do not say that they are ready, by the supervisor's run.json."""
    try:
        workers = json.loads((state / "run.json").read_text())["workers"]
    except (FileNotFoundError, ValueError):
        return list(starts)
    ready = set()
    for worker in workers:
        starts[worker["name"]].add(worker["pid"])
        if worker["port"] is not None and _says_ready(probe, worker["port"]):
            ready.add(worker["name"])
    return [name for name in starts if name not in ready]


def _says_ready(probe: httpx.Client, port: int) -> bool:
    try:
        return probe.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.HTTPError:
        return False
