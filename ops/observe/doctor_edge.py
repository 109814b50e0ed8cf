"""The doctor's look at the endpoint: the `edge` workers of this machine, what they serve, and the keys of clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from refrain.ops.observe.doctor_checks import PROBE_S, together
from refrain.ops.observe.doctor_workers import is_supervised, of_processor
from refrain.ops.observe.findings import Finding
from refrain.ops.observe.lag_findings import LAG_WARN
from refrain.ops.run.probe import NoAnswer, page
from refrain.ops.terminal import output
from refrain.streams.edge.past_cache import PastCache
from refrain.streams.errors import WrongSetup

if TYPE_CHECKING:
    from refrain.ops.observe.deadline import Deadline
    from refrain.streams.settings import Settings

CHECK = "edge"
KEYS = "edge keys"
NAME = "edge"
LOG = "look at its log"
PAST_WARN = 0.05
"""The part of chat requests past the cache from which on something is wrong with it."""
REFUSED_WARN = 0.01
"""The part of requests that are told to come back from which on one endpoint is too few."""
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class Served(NamedTuple):
    """What an endpoint tells of itself, since its start."""

    port: int
    """Where it listens, 0 before it does."""
    partition: str
    """The partition of `responses` that it reads; empty until it has one."""
    behind: int
    """Responses there that it has not read yet."""
    requests: int
    refused: int
    """Of those, told to come back since too many were under way; a model's own 429 is none of them."""
    chats: int
    past: Mapping[str, int]
    """Of these, sent to the model without the cache, by reason."""


def edge(settings: Settings, deadline: Deadline) -> list[Finding]:
    """Are the endpoints of this machine up and ready, do they hear responses, and can keys be read?"""
    rows = of_processor(settings, NAME)
    if not rows:
        return [_none(settings)]
    looks: dict[str, Callable[[], list[Finding]]] = {
        f"edge, process {row['pid']}": partial(_one, settings, row) for row in rows
    }
    until = deadline.within(2 * PROBE_S + 0.5)
    found = together(looks, until, lambda name: Finding(CHECK, "fail", f"{name} does not answer", LOG))
    return [*found, *keys(settings)]


def keys(settings: Settings) -> list[Finding]:
    """Can the keys of clients be read, and is there one? Makes no file."""
    from refrain.streams.edge.keys import PEPPER, keys_path, pepper_of, read_keys

    if settings.edge.auth == "none":
        return [Finding(KEYS, "ok", "none are needed: edge.auth is none, on loopback alone")]
    path = keys_path(settings)
    try:
        kept = read_keys(path)
        made = settings.edge.pepper is not None or (settings.state_dir / PEPPER).exists()
        if made:
            pepper_of(settings)
    except WrongSetup as problem:
        return [Finding(KEYS, "fail", str(problem), "mend that: the endpoint does not start again with it")]
    alive = sum(key.revoked_at_ms is None for key in kept)
    if not alive:
        seen = f"{path} has no key in force: nobody is let in"
        return [Finding(KEYS, "warn", seen, "`refrain edge keys add TENANT` makes one")]
    if not made:
        seen = f"{path} has {output.counted(alive, 'key')}, and the pepper they are made with is gone: none is known"
        do = f"restore {settings.state_dir / PEPPER}, set edge.pepper, or make new keys"
        return [Finding(KEYS, "fail", seen, do)]
    return [Finding(KEYS, "ok", f"{output.counted(alive, 'key')} in force in {path}")]


def served_finding(name: str, served: Served) -> Finding:
    """What an endpoint that is up tells, in one finding. Pure."""
    past = sum(served.past.values())
    ailing = past - served.past.get(PastCache.UNFIT, 0)
    seen = (
        f"{name}: partition {served.partition or '?'} of responses,"
        f" {output.counted(served.behind, 'record')} behind; since its start"
        f" {output.counted(served.chats, 'chat request')}, {past:,} of them past the cache"
        f"{_reasons(served.past)}, and {served.refused:,} of {served.requests:,} requests told to come back (429)"
    )
    if not served.partition:
        return Finding(CHECK, "fail", f"{seen}: it hears no responses yet", f"wait; then {LOG}")
    if served.behind > LAG_WARN:
        return Finding(CHECK, "warn", seen, "it hears responses late: start more endpoints, or give it more of a core")
    if ailing > PAST_WARN * served.chats:
        if 2 * served.past.get(PastCache.CLOCK, 0) > ailing:
            return Finding(CHECK, "warn", seen, "set this machine's clock: it is behind the broker's, by its deadlines")
        return Finding(CHECK, "warn", seen, "look at the rows of lag and shards: the cache is silent or fails")
    if served.refused > REFUSED_WARN * served.requests:
        return Finding(CHECK, "warn", seen, "start more endpoints, or raise edge.in_flight_max")
    return Finding(CHECK, "ok", seen)


def served_of(metrics: str) -> Served:
    """What the text of an endpoint's /metrics tells. Pure."""
    from prometheus_client.parser import text_string_to_metric_families

    samples = [each for family in text_string_to_metric_families(metrics) for each in family.samples]

    def total(name: str, **labels: str) -> int:
        return round(sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items()))

    lag = [sample for sample in samples if sample.name == "refrain_lag" and sample.labels["processor"] == NAME]
    return Served(
        port=total("refrain_edge_port"),
        partition=lag[0].labels["partition"] if lag else "",
        behind=total("refrain_lag", processor=NAME),
        requests=total("refrain_edge_requests_total"),
        refused=total("refrain_edge_full_total"),
        chats=total("refrain_edge_outcomes_total"),
        past={s.labels["reason"]: round(s.value) for s in samples if s.name == "refrain_edge_direct_total"},
    )


def _one(settings: Settings, row: Mapping[str, Any]) -> list[Finding]:
    name = f"edge, process {row['pid']}"
    served = _served(row)
    if isinstance(served, str):
        return [Finding(CHECK, "fail", f"{name} does not tell its metrics ({served})", LOG)]
    host = ANY_HOST.get(settings.edge.host, settings.edge.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{served.port}/v1"
    problem = "does not listen yet" if not served.port else _problem(host, served.port)
    if problem is not None:
        return [Finding(CHECK, "fail", f"{name} at {url} {problem}", f"{LOG}; it may still start, or drain")]
    return [served_finding(f"{name} at {url}", served)]


def _served(row: Mapping[str, Any]) -> Served | str:
    """What an endpoint tells of itself, or why it does not."""
    try:
        found = page(row["host"], row["port"], "/metrics", PROBE_S)
        return served_of(found.text) if found.status == 200 else f"status {found.status}"
    except NoAnswer as error:
        return str(error)
    except ValueError:
        return "they cannot be read"


def _problem(host: str, port: int) -> str | None:
    """Why an endpoint is of no use, None where it is ready."""
    try:
        found = page(host, port, "/readyz", PROBE_S)
    except NoAnswer as error:
        return f"does not answer ({error})"
    return None if found.status == 200 else "is not ready"


def _reasons(past: Mapping[str, int]) -> str:
    told = ", ".join(f"{reason} {number:,}" for reason, number in sorted(past.items()) if number)
    return f" ({told})" if told else ""


def _none(settings: Settings) -> Finding:
    if settings.edge.enabled and is_supervised(settings):
        return Finding(CHECK, "fail", "edge.enabled is set, and no endpoint runs here", "start `refrain run all` again")
    seen = "no endpoint runs on this machine" + ("" if settings.edge.enabled else ": edge.enabled is not set")
    return Finding(CHECK, "ok", seen)
