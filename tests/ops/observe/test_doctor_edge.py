"""The doctor knows the endpoints of its machine: up, ready, heard, past the cache, and whose keys can be read."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.observe.deadline import Deadline
from refrain.ops.observe.doctor_edge import CHECK, KEYS, Served, edge, keys, served_finding, served_of
from refrain.ops.observe.findings import Finding
from refrain.streams.edge.keys import PEPPER, keys_path
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.health import HealthServer, Liveness
from refrain.streams.settings import Edge, Http, Settings
from tests.streams.edge.service import WAIT_S, WaitingCluster, add_key, now_ms
from tests.streams.edge.serving import Serving, serving

NOWHERE = "127.0.0.1:1"
WELL = Served(8_400, "3", 0, 100, 0, 100, {})


def settings_of(folder: Path, **edge: Any) -> Settings:
    return Settings(kafka=NOWHERE, prefix="a.", state_dir=folder, edge=Edge(**{"auth": "none", "port": 0, **edge}))


@contextmanager
def endpoint(settings: Settings) -> Iterator[Serving]:
    """An endpoint that is ready, with its health port, known to the state folder as a worker is."""
    with ExitStack() as opened:
        one = opened.enter_context(serving(settings, WaitingCluster(now_ms)))
        assert one.ready.wait(WAIT_S)
        health = opened.enter_context(HealthServer(Http(), Liveness(), one.metrics.registry))
        tell(settings.state_dir, health.port)
        yield one


def tell(folder: Path, port: int, **about: Any) -> None:
    """Write the file that a worker of this process keeps in `health/`."""
    told = {"name": "edge", "pid": os.getpid(), "host": "127.0.0.1", "port": port, "kafka": NOWHERE, "prefix": "a."}
    (folder / "health").mkdir(exist_ok=True)
    (folder / "health" / "edge-1.json").write_text(json.dumps({**told, **about}))


def look(settings: Settings) -> list[Finding]:
    return edge(settings, Deadline(time.monotonic() + 60))


def of(findings: list[Finding], check: str) -> Finding:
    found = [finding for finding in findings if finding.check == check]
    assert len(found) == 1, findings
    return found[0]


def test_where_no_endpoint_is_wanted_none_is_missed(tmp_path: Path) -> None:
    assert [finding.state for finding in look(settings_of(tmp_path))] == ["ok"]
    assert [finding.state for finding in look(settings_of(tmp_path, enabled=True))] == ["ok"], "not on this machine"


def test_one_that_the_supervisor_should_run_is_missed(tmp_path: Path) -> None:
    told = {"pid": os.getpid(), "kafka": NOWHERE, "prefix": "a.", "workers": [], "down": []}
    (tmp_path / "run.json").write_text(json.dumps(told))
    assert of(look(settings_of(tmp_path, enabled=True)), CHECK).state == "fail"
    assert of(look(settings_of(tmp_path)), CHECK).state == "ok"


def test_one_that_serves_is_ok_and_tells_what_it_hears(tmp_path: Path) -> None:
    with endpoint(settings_of(tmp_path, partition=1)) as one:
        found = of(look(settings_of(tmp_path)), CHECK)
        assert found.state == "ok", found
        assert f"{one.url}/v1: partition 1 of responses, 0 records behind" in found.seen
        assert of(look(settings_of(tmp_path)), KEYS).state == "ok"


def test_one_whose_port_is_dead_fails(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with endpoint(settings) as one:
        one.end()
        found = of(look(settings), CHECK)
    assert found.state == "fail"
    assert "does not answer" in found.seen


def test_one_that_is_not_ready_fails(tmp_path: Path) -> None:
    with _not_ready() as port, HealthServer(Http(), Liveness(), _listening_on(port).registry) as health:
        tell(tmp_path, health.port)
        found = of(look(settings_of(tmp_path)), CHECK)
    assert (found.state, "is not ready" in found.seen) == ("fail", True)


def test_one_without_metrics_or_of_another_service_is_not_ok(tmp_path: Path) -> None:
    tell(tmp_path, 1)
    assert of(look(settings_of(tmp_path)), CHECK).state == "fail"
    tell(tmp_path, 1, prefix="b.")
    assert "no endpoint runs" in of(look(settings_of(tmp_path)), CHECK).seen


@pytest.mark.parametrize(
    ("changed", "state", "said"),
    [
        ({}, "ok", "0 of them past the cache, and 0 of 100 requests told to come back"),
        ({"partition": ""}, "fail", "hears no responses yet"),
        ({"behind": 1_001}, "warn", "1001 records behind"),
        ({"past": {"cache_silent": 4, "failed": 1}}, "ok", "5 of them past the cache (cache_silent 4, failed 1)"),
        ({"past": {"cache_silent": 1, "unfit": 50}}, "ok", "51 of them past the cache (cache_silent 1, unfit 50)"),
        ({"past": {"clock_behind": 9}}, "warn", "9 of them past the cache (clock_behind 9)"),
        ({"past": {"cache_silent": 6}}, "warn", "6 of them past the cache (cache_silent 6)"),
        ({"refused": 1}, "ok", "1 of 100 requests"),
        ({"refused": 2}, "warn", "2 of 100 requests"),
        ({"chats": 0, "past": {"failed": 1}}, "warn", "0 chat requests, 1 of them"),
        ({"chats": 0, "requests": 0}, "ok", "0 chat requests"),
    ],
)
def test_what_an_endpoint_tells_is_judged(changed: dict[str, Any], state: str, said: str) -> None:
    found = served_finding("edge", WELL._replace(**changed))
    assert (found.state, said in found.seen) == (state, True), found


def test_a_clock_behind_the_brokers_is_what_to_mend_where_most_go_past_the_cache_for_it() -> None:
    assert "clock" in served_finding("edge", WELL._replace(past={"clock_behind": 9, "cache_silent": 2})).do
    assert "clock" not in served_finding("edge", WELL._replace(past={"clock_behind": 2, "cache_silent": 9})).do


def test_figures_are_read_from_metrics() -> None:
    text = """
refrain_lag{processor="edge",partition="7"} 12
refrain_edge_port 8400
refrain_edge_requests_total{route="chat",status="200"} 38
refrain_edge_requests_total{route="chat",status="429"} 4
refrain_edge_full_total 2
refrain_edge_outcomes_total{outcome="hit"} 30
refrain_edge_outcomes_total{outcome="bypass"} 10
refrain_edge_direct_total{reason="failed"} 3
"""
    assert served_of(text) == Served(8_400, "7", 12, 42, 2, 40, {"failed": 3})
    assert served_of("") == Served(0, "", 0, 0, 0, 0, {})


def test_keys_are_counted_and_what_keeps_them_from_being_read_is_told(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, auth="keys")
    assert keys(settings)[0].state == "warn"
    assert not (tmp_path / PEPPER).exists(), "a look makes nothing"
    add_key(settings, "acme")
    assert (keys(settings)[0].state, "1 key in force" in keys(settings)[0].seen) == ("ok", True)
    pepper = (tmp_path / PEPPER).read_bytes()
    (tmp_path / PEPPER).unlink()
    assert (keys(settings)[0].state, "pepper" in keys(settings)[0].seen) == ("fail", True)
    (tmp_path / PEPPER).write_bytes(pepper)
    (tmp_path / PEPPER).chmod(0o600)
    keys_path(settings).chmod(0o644)
    assert "chmod 600" in keys(settings)[0].seen
    keys_path(settings).chmod(0o600)
    keys_path(settings).write_text("torn{")
    assert keys(settings)[0].state == "fail"


@contextmanager
def _not_ready() -> Iterator[int]:
    """The port of an endpoint that is not ready."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def _listening_on(port: int) -> Metrics:
    from refrain.streams.edge.metrics import EdgeMetrics

    metrics = Metrics()
    EdgeMetrics(metrics).port.set(port)
    return metrics
