"""`infra/up`: the whole service on this machine, until Ctrl-C; `infra/up demo`: the service, asked and checked."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import tomllib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from yaml import YAMLError

from infra.demo.run import DemoResult, run_demo, tell
from infra.demo.script import FILE, Demo, read_demo
from infra.demo.told import next_commands, tell_next
from infra.local.broker import LOCAL, ROOT, broker, brokers
from infra.local.jar_broker import BrokerFailed, listens
from infra.local.jar_cluster import MIN_INSYNC, REPLICATION
from infra.local.ports import kept_block
from infra.local.service import Service, ServiceFailed, service
from refrain.ops.config.settings import load_settings
from refrain.ops.run.processors import NAMES
from refrain.ops.run.state_files import read_run
from refrain.schemas.control import PolicyInForce
from refrain.streams.errors import RefrainError
from refrain.streams.settings import Settings
from refrain.streams.store.private import private_opener

METRICS_PORT = 9464
"""The first of the workers' ports, where all of them are free."""
NO_TERMINAL_COLUMNS = 120
EXIT_FAILED = 1
EXIT_NO_BROKER = 69
EXIT_INTERRUPTED = 130

HELP = """\
Start a broker, the topics and all processors; the default policy
(infra/policies/default.yaml) where none is in force.

  infra/up         runs in the foreground until Ctrl-C; ask from a second
                   terminal:
                   .venv/bin/refrain ask "How do I reverse a list in Python?"
                   What is cached survives a restart, and so do the policy in
                   force and the ports (the broker's is 9092 where that is free,
                   the workers' begin at 9464).
  infra/up demo    starts empty, asks the questions of infra/demo/demo.yaml,
                   shows and checks what comes of them, and stops everything.
                   Exit code 0 only when all is as it must be.
  infra/up demo --keep
                   says what to try next, and runs on until Ctrl-C; then it
                   stops everything, and tells the same code.
  infra/up --brokers 3
                   on three brokers, of which any one may be stopped.

The broker: REFRAIN_KAFKA=host:9092 (your own), else a Docker engine, else
Apache Kafka's jars on a local Java.
The model: simulated; your own with
REFRAIN_UPSTREAM__BASE_URL=http://127.0.0.1:8000/v1 (an OpenAI-compatible
server).
Logs are appended to, and rotated at 10 MB. Data and logs lie in .local/, which
may be deleted while nothing runs.
"""

notes = Console(stderr=True)


def serve(count: int = 1) -> None:
    """Run the service until Ctrl-C, on so many brokers."""
    state, log = LOCAL / "state", LOCAL / "logs" / "service.log"
    with (
        brokers(count, keep=True) as bootstrap,
        notes_for_others(bootstrap, state, count) as environment,
        _service(environment, state, log) as running,
    ):
        for line in addresses(bootstrap, state, log, running.policy, endpoint_of(load_settings(environment))):
            notes.print(line, markup=False, highlight=False, soft_wrap=True)
        notes.print("ready; ask from a second terminal:", markup=False)
        notes.print(f'  .venv/bin/refrain{_config_option()} ask "How do I reverse a list in Python?"', markup=False)
        notes.print("Ctrl-C stops", markup=False)
        running.wait()


def endpoint_of(settings: Settings) -> str | None:
    """Where OpenAI's clients find the service; None where no endpoint runs, or it takes any port."""
    edge = settings.edge
    return f"http://{edge.host}:{edge.port}/v1" if edge.enabled and edge.port else None


def addresses(
    bootstrap: str, state: Path, log: Path, policy: PolicyInForce | None, endpoint: str | None = None
) -> list[str]:
    """Where everything is, a line each: broker, endpoint, metrics of each worker, settings, logs; policy in force."""
    rows = [("broker", bootstrap)]
    if endpoint is not None:
        rows.append(("endpoint", f"{endpoint}, the base URL of OpenAI's clients"))
    for worker in (read_run(state) or {"workers": []})["workers"]:
        if worker["port"] is not None:
            rows.append((worker["name"], f"http://127.0.0.1:{worker['port']}/metrics (/healthz, /readyz)"))
    rows.append(("settings", ".local/refrain.toml, for commands in this folder"))
    rows.append(("log", str(log)))
    if policy is None:
        rows.append(("policy", "infra/policies/default.yaml was put in force: none was"))
    else:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(policy.at_ms / 1_000))
        rows.append(("policy", f"version {policy.version} by {policy.who} of {since} stays in force"))
    return [f"  {name:<10}{value}" for name, value in rows]


def demo(questions: Path, keep: bool = False) -> int:
    """Run the demo, and with `keep` its service until Ctrl-C; the exit code of the demo."""
    script = read_script(questions)
    LOCAL.mkdir(exist_ok=True)
    if keep:
        refuse_beside_another()
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=LOCAL))
    try:
        with broker() as bootstrap:
            own = bool(os.environ.get("REFRAIN_KAFKA", "").strip())
            prefix = f"refrain-demo-{uuid.uuid4().hex[:8]}." if own else None
            with _demo_environment(bootstrap, folder / "state", prefix, keep) as environment:
                settings = load_settings(environment)
                try:
                    with _service(environment, folder / "state", folder / "service.log") as running:
                        result = run_demo(settings, script, [folder], _screen())
                        for line in result.wrong:
                            notes.print(f"wrong: {line}", style="red", markup=False)
                        go_on(running, result, keep)
                finally:
                    if own:
                        remove_topics(settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return EXIT_FAILED if result.wrong else 0


def read_script(questions: Path) -> Demo:
    """The questions and steps of the demo. Raises ServiceFailed where the file is none of that form."""
    try:
        return read_demo(questions)
    except (OSError, ValueError, YAMLError) as problem:
        raise ServiceFailed(f"{questions} is no script of the demo, as infra/demo/demo.yaml is: {problem}") from problem


def go_on(running: Service, result: DemoResult, keep: bool) -> None:
    """Say what to try next, and wait for Ctrl-C; without `keep` only how to come there. Raises ServiceFailed."""
    if not keep:
        tell(_screen(), ["infra/up demo --keep leaves it running, and says what to try next."])
        return
    tell(_screen(), tell_next(next_commands(result.asked, _config_option())))
    try:
        running.wait()
    except KeyboardInterrupt:
        notes.print("stopped", markup=False)


def refuse_beside_another() -> None:
    """Raises ServiceFailed where commands in this folder are for another service, which still runs."""
    config = LOCAL / "refrain.toml"
    try:
        other = str(tomllib.loads(config.read_text())["kafka"])
    except (FileNotFoundError, KeyError, ValueError):
        return
    if listens(other):
        raise ServiceFailed(
            f"a service of infra/up runs in this folder (its broker is {other}): stop it first, or leave out --keep"
        )


@contextmanager
def _demo_environment(bootstrap: str, state: Path, prefix: str | None, keep: bool) -> Iterator[dict[str, str]]:
    """The settings of the demo's service, which a second terminal is told of only where it is kept."""
    # What it checks is the same on a slow machine: no question passes the cache by because it waited.
    patient = {"REFRAIN_CLASSIFY__WAIT_MAX_MS": "0"}
    if keep:
        with notes_for_others(bootstrap, state, 1, prefix) as environment:
            yield patient | environment
        return
    environment = patient | _environment(bootstrap, state)
    if prefix is not None:
        environment["REFRAIN_PREFIX"] = prefix
    yield environment


def _config_option() -> str:
    """What a command in this folder needs to find the service: nothing, unless settings of one's own come first."""
    return " --config .local/refrain.toml" if (ROOT / "refrain.toml").exists() else ""


def _screen() -> Console:
    """Standard output; wide enough for the table where it is a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=NO_TERMINAL_COLUMNS)


def remove_topics(settings: Settings) -> None:
    """Delete the topics that the demo made on somebody's own broker."""
    from confluent_kafka.admin import AdminClient

    from refrain.streams.kafka.config import connection

    admin = AdminClient(connection(settings))
    names = [name for name in admin.list_topics(timeout=10.0).topics if name.startswith(settings.prefix)]
    for future in admin.delete_topics(names).values() if names else ():
        future.result(10.0)


def _environment(bootstrap: str, state: Path) -> dict[str, str]:
    """The settings of the service: what the person has set, the broker, and the simulated model if none is named."""
    environment = {**os.environ, "REFRAIN_KAFKA": bootstrap, "REFRAIN_STATE_DIR": str(state)}
    own = ROOT / "refrain.toml"
    # Not what a running or a killed infra/up has noted for others.
    if not own.exists():
        own = LOCAL / "no-settings.toml"
        own.parent.mkdir(exist_ok=True)
        own.write_text("# Empty: infra/up was given no refrain.toml.\n")
    environment.setdefault("REFRAIN_CONFIG", str(own))
    if load_settings(environment).upstream.base_url is None:
        environment["REFRAIN_UPSTREAM__CONNECTOR"] = "simulated"
    return environment


@contextmanager
def _service(environment: Mapping[str, str], state: Path, log: Path) -> Iterator[Service]:
    shown = ""

    def progress(text: str) -> None:
        nonlocal shown
        if notes.is_terminal:
            status.update(f"service: {text}")
        elif text != shown:
            notes.print(f"service: {text}", markup=False, soft_wrap=True)
        shown = text

    with notes.status("service: starting") as status, service(environment, state, log, progress) as running:
        status.stop()
        yield running


@contextmanager
def notes_for_others(bootstrap: str, state: Path, count: int, prefix: str | None = None) -> Iterator[dict[str, str]]:
    """Tell a second terminal's `refrain` where the service is, while it runs; `prefix` in place of the person's."""
    environment = _environment(bootstrap, state)
    if prefix is not None:
        environment["REFRAIN_PREFIX"] = prefix
    settings = load_settings(environment)
    if settings.http.port == 0:
        # Whoever scrapes the workers finds them where they were.
        environment["REFRAIN_HTTP__PORT"] = str(kept_block(LOCAL / "ports.json", METRICS_PORT, len(NAMES)))
    config, run = LOCAL / "refrain.toml", LOCAL / "run" / "kafka"
    run.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'kafka = "{bootstrap}"', f'state_dir = "{state}"']
    if "REFRAIN_PREFIX" in environment:
        lines.append(f'prefix = "{environment["REFRAIN_PREFIX"]}"')
    if count > 1:
        environment |= {"REFRAIN_REPLICATION": str(REPLICATION), "REFRAIN_MIN_INSYNC": str(MIN_INSYNC)}
        lines += [f"replication = {REPLICATION}", f"min_insync = {MIN_INSYNC}"]
    lines += ["[upstream]", f'connector = "{settings.upstream.connector}"']
    if settings.upstream.base_url is not None:
        lines.append(f"base_url = {json.dumps(settings.upstream.base_url)}")
    if settings.edge.enabled:
        lines += ["[edge]", "enabled = true", f'auth = "{settings.edge.auth}"', f"port = {settings.edge.port}"]
    config.unlink(missing_ok=True)
    with open(config, "w", opener=private_opener) as noted:
        noted.write("# Written by infra/up while it runs.\n" + "\n".join(lines) + "\n")
    run.write_text(bootstrap + "\n")
    try:
        yield environment
    finally:
        config.unlink(missing_ok=True)
        run.unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser("infra/up", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["demo"], help="leave it out to run the service")
    parser.add_argument("--brokers", type=int, help="of the service: 3 or more keep each record on three")
    parser.add_argument("--questions", type=Path, help="of the demo; as infra/demo/demo.yaml")
    parser.add_argument("--keep", action="store_true", help="of the demo: run on behind it, until Ctrl-C")
    chosen = parser.parse_args(arguments)
    if chosen.what == "demo" and chosen.brokers is not None:
        parser.error("--brokers is of the service: the demo has one")
    if chosen.what is None and (chosen.keep or chosen.questions is not None):
        parser.error(f"{'--keep' if chosen.keep else '--questions'} is of the demo: infra/up demo")
    questions = (chosen.questions or FILE).resolve()
    os.chdir(ROOT)  # where settings are looked for
    try:
        if chosen.what == "demo":
            return demo(questions, chosen.keep)
        serve(1 if chosen.brokers is None else chosen.brokers)
    except BrokerFailed as problem:
        notes.print(f"error: {problem}", markup=False, highlight=False, soft_wrap=True)
        return EXIT_NO_BROKER
    except (ServiceFailed, RefrainError) as problem:
        notes.print(f"error: {problem}", markup=False, highlight=False, soft_wrap=True)
        return EXIT_FAILED
    except KeyboardInterrupt:
        notes.print("stopped", markup=False)
        return 0 if chosen.what is None else EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
