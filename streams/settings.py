"""Every setting of a worker, read once at start into one frozen object (by `refrain.ops.config.settings`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class SettingsGroup(BaseModel):
    """A group of settings; unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Http(SettingsGroup):
    """Where a worker serves /healthz, /readyz and /metrics. Port 0 takes a free one and logs it."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 0


class Embedding(SettingsGroup):
    """The embedder. `backend` auto: `light` where that can run the model, else ONNX when installed, else PyTorch.

    `http` asks an endpoint for embeddings; `free` needs no model.
    """

    backend: Literal["auto", "light", "onnx", "torch", "http", "free"] = "auto"
    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """A folder, a name in the hub's cache, or a name on the hub."""
    sha256: str | None = None
    """Expected hash of the weights; a model that is known by name has its own."""
    allow_download: bool = False
    """Whether a model that is nowhere on this machine may be fetched from the hub."""
    remembered: Annotated[int, Field(ge=0)] = 10_000
    """Vectors of recent texts kept, so that a repeated text is not embedded again."""
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Of the model; auto: the cores of this machine, divided by the classify workers that a supervisor starts on it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where PyTorch runs; auto: a GPU that it finds, else the CPU. Other backends run on the CPU."""
    url: str | None = None
    """Of backend http: the root of an OpenAI-compatible API, such as http://127.0.0.1:8080/v1, or TEI's `/embed`."""
    api_key: SecretStr | None = None
    identity: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@+-]{1,200}$")] | None = None
    """Of backend http: the name of what answers, such as `bge-small@2`. Another name where its vectors are others."""
    dimensions: Annotated[int, Field(ge=1, le=8_192)] | None = None
    """Of backend http: numbers in a vector."""
    window_tokens: Annotated[int, Field(ge=16)] = 512
    """Of backend http: tokens that the model reads of a text, by an estimate of four letters a token."""
    batch_max: Annotated[int, Field(ge=1, le=2_048)] = 32
    """Of backend http: texts in a request."""
    timeout_ms: Annotated[int, Field(ge=1)] = 10_000
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    backoff_ms: Annotated[int, Field(ge=1)] = 100


class Classify(SettingsGroup):
    """Limits of the entrance."""

    batch_max: Annotated[int, Field(ge=1, le=4096)] = 256
    batch_target_ms: Annotated[int, Field(ge=1)] = 100
    """How long embedding a batch may take: fewer requests are taken together when texts cost more."""
    wait_max_ms: Annotated[int, Field(ge=0)] = 500
    """How long a question may wait for its vector. One that waited longer gets none, nor do those behind it until the
    queue is half as long. 0: each gets one."""
    question_chars_max: Annotated[int, Field(ge=1)] = 100_000
    request_bytes_max: Annotated[int, Field(ge=1_000)] = 900_000
    depth_max: Annotated[int, Field(ge=4, le=200)] = 64
    """How deep the JSON of a request may nest."""
    header_bytes_max: Annotated[int, Field(ge=0)] = 32_768
    """All headers of a request together: they are carried back."""
    reply_topics: tuple[str, ...] = ()
    """Topics (whole names, or ending in `*`) that a request may name in `reply-to`, beside `responses`."""
    policy_hold_ms: Annotated[int, Field(ge=0)] = 10_000
    """How long questions are held when the policy in force cannot be read, before they pass through to the model."""
    categories: Path | None = None
    """The artefact of `refrain categories train` that tells categories; absent: the nearest example of the policy."""
    topic: Annotated[str, Field(pattern=r"^requests(\.[A-Za-z0-9._-]{1,64})?$")] = "requests"
    """The request topic that a worker reads, without the prefix: `requests`, or `requests.TENANT` of one tenant."""
    tenants: Literal["request", "topic", "key", "header"] = "request"
    """What tells whose a request is: its own field, its topic, its record's key, or a header that an edge signs."""


class Routes(SettingsGroup):
    """Signatures of the routes by which completions come back; classify and lookup sign, populate verifies."""

    keys: SecretStr | None = None
    """Keys, one a line of at least 64 hex digits: the first signs, each verifies. Absent: one in the state folder."""
    unsigned: Literal["refuse", "accept"] = "refuse"
    """What becomes of completions without a signature: `accept` while forwards of an older version are on their way."""


class Tenants(SettingsGroup):
    """Signatures of the edge that tells whose requests are (`classify.tenants = "header"`)."""

    keys: SecretStr | None = None
    """Keys, one a line of at least 64 hex digits; each verifies."""
    valid_ms: Annotated[int, Field(ge=1_000)] = 60_000
    """How far apart the edge's signature of a request and the broker's stamp of it may be."""


class Lookup(SettingsGroup):
    """Batches and commits of a lookup worker."""

    batch_max: Annotated[int, Field(ge=1, le=10_000)] = 500
    commit_interval_ms: Annotated[int, Field(ge=1)] = 500
    """A commit costs the broker a marker a partition, however little is in it; nobody's answer waits for it."""
    commit_records: Annotated[int, Field(ge=1)] = 2_000
    """Records folded since a commit began; more commit sooner, so that little is folded again after a crash."""
    overlay_bytes_max: Annotated[int, Field(ge=1_000_000)] = 32_000_000
    """Changes waiting for a commit; more commit sooner."""
    stopped_pass_after_ms: Annotated[int, Field(ge=0)] = 5_000
    """How long a shard is stopped before its questions go straight to the model; 0: they never do."""


class Upstream(SettingsGroup):
    """The connector to the models. Without a base URL the simulated model answers."""

    connector: Literal["http", "simulated"] = "http"
    base_url: str | None = None
    """The server's root, such as http://127.0.0.1:8000/v1"""
    api_key: SecretStr | None = None
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    timeout_ms: Annotated[int, Field(ge=1)] = 60_000
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    backoff_ms: Annotated[int, Field(ge=1)] = 250
    answer_bytes_max: Annotated[int, Field(ge=1_000)] = 900_000
    replica: str = "default"
    load_interval_ms: Annotated[int, Field(ge=100)] = 1_000
    commit_interval_ms: Annotated[int, Field(ge=1)] = 50
    seed: int = 7
    """Of the simulated model's latencies and failures."""
    latency_median_ms: Annotated[float, Field(ge=0)] = 150.0
    latency_sigma: Annotated[float, Field(ge=0, le=3)] = 0.4
    failure_rate: Annotated[float, Field(ge=0, le=1)] = 0.0


class Adapt(SettingsGroup):
    """The window over which load is smoothed."""

    window_ms: Annotated[int, Field(ge=100)] = 10_000
    interval_ms: Annotated[int, Field(ge=100)] = 1_000
    valid_for_ms: Annotated[int, Field(ge=1_000)] = 30_000
    step_min: Annotated[float, Field(ge=0, le=1)] = 0.1


class Verify(SettingsGroup):
    """The verifier, for categories with `verify`. Without a model, and without backend `words`, there is none."""

    backend: Literal["auto", "onnx", "torch", "words"] = "auto"
    """auto: ONNX when installed, else PyTorch; `words` needs no model, and tells apart by words alone."""
    model: str | None = None
    """A cross encoder for duplicate questions or entailment: a folder, or a name in the hub's cache or on the hub."""
    sha256: str | None = None
    """Expected hash of the weights."""
    allow_download: bool = False
    """Whether a model that is nowhere on this machine may be fetched from the hub."""
    remembered: Annotated[int, Field(ge=0)] = 10_000
    """Scores of recent pairs kept, so that a repeated pair is not scored again."""
    threads: Annotated[int, Field(ge=1)] = 2


class Edge(SettingsGroup):
    """The OpenAI-compatible endpoint."""

    enabled: bool = False
    """Whether `refrain run all` starts it."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_400
    """0 takes a free one and logs it."""
    auth: Literal["keys", "none"] = "keys"
    """What lets a client in: a key of `refrain edge keys`, or nothing; that on loopback alone."""
    keys_file: Path | None = None
    """Where the digests of keys lie; absent: `edge.keys` in the state folder."""
    pepper: SecretStr | None = None
    """Keys that the digests are made with, one a line of at least 64 hex digits: the first makes, each verifies.
    Absent: one in the state folder."""
    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "default"
    """Whose requests are with `auth: none`."""
    partition: Annotated[int, Field(ge=0)] | None = None
    """The partition of `responses` that this one hears; absent: one drawn by lot at the start."""
    cache_wait_ms: Annotated[int, Field(ge=1)] = 2_000
    """How long the cache may be silent about a request before the model is called without it."""
    timeout_ms: Annotated[int, Field(ge=1)] = 120_000
    """How long a request may take that has no deadline of its own."""
    keep_alive_ms: Annotated[int, Field(ge=10)] = 10_000
    """How long a stream may be silent before a comment shows that it lives."""
    in_flight_max: Annotated[int, Field(ge=1)] = 1_000
    """Requests, streams too, that are worked at a time; more are told to come back."""
    body_bytes_max: Annotated[int, Field(ge=1_000)] = 900_000
    read_timeout_ms: Annotated[int, Field(ge=1)] = 10_000
    """How long a client may take to send a request."""
    write_timeout_ms: Annotated[int, Field(ge=1)] = 30_000
    """How long a client may take nothing of what is sent to it."""
    drain_ms: Annotated[int, Field(ge=0)] = 10_000
    """How long open requests are waited for when the worker stops."""


class Settings(SettingsGroup):
    """All settings. `connection` holds librdkafka properties (TLS, SASL) for every client."""

    kafka: str = "localhost:9092"
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=64)] = "refrain."
    """Prefix of topics, groups and transactional ids."""
    connection: dict[str, SecretStr] = Field(default_factory=dict)
    state_dir: Path = Path(".local/state")
    connect_timeout_ms: Annotated[int, Field(ge=100)] = 8_000
    """How long a command waits for the broker to answer."""
    session_timeout_ms: Annotated[int, Field(ge=1_000)] = 10_000
    transaction_timeout_ms: Annotated[int, Field(ge=1_000)] = 10_000
    send_timeout_ms: Annotated[int, Field(ge=1_000)] = 5_000
    """How long acknowledgements may take before a worker tells of an outage and is not ready; it waits on."""
    replication: Annotated[int, Field(ge=1)] = 1
    """Replicas of the topics that `topics create` makes."""
    min_insync: Annotated[int, Field(ge=1)] = 1
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    http: Http = Http()
    embedding: Embedding = Embedding()
    classify: Classify = Classify()
    routes: Routes = Routes()
    tenants: Tenants = Tenants()
    lookup: Lookup = Lookup()
    upstream: Upstream = Upstream()
    adapt: Adapt = Adapt()
    verify: Verify = Verify()
    edge: Edge = Edge()
