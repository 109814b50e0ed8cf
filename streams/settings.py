"""Every setting of a worker, read once at start into one frozen object (by `refrain.ops.config.settings`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from refrain.streams.addresses import Brokers, Root

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures of tokens that are made by a private key."""


class SettingsGroup(BaseModel):
    """A group of settings; unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Http(SettingsGroup):
    """Where a worker serves /healthz, /readyz and /metrics. Port 0 takes a free one and logs it."""

    host: str = "127.0.0.1"
    """Where /healthz, /readyz and /metrics are served."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """0 takes a free one and logs it."""


class Embedding(SettingsGroup):
    """The embedder. `backend` auto: `light` where that can run the model, else ONNX when installed, else PyTorch.

    `http` asks an endpoint for embeddings; `free` needs no model.
    """

    backend: Literal["auto", "light", "onnx", "torch", "http", "free"] = "auto"
    """What makes vectors: `auto` is `light` where that can run the model, else `onnx` when installed, else `torch`."""
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
    """Of backend http: its key, sent as a bearer token."""
    identity: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@+-]{1,200}$")] | None = None
    """Of backend http: the name of what answers, such as `bge-small@2`. Another name where its vectors are others."""
    dimensions: Annotated[int, Field(ge=1, le=8_192)] | None = None
    """Of backend http: numbers in a vector."""
    window_tokens: Annotated[int, Field(ge=16)] = 512
    """Of backend http: tokens that the model reads of a text, by an estimate of four letters a token."""
    batch_max: Annotated[int, Field(ge=1, le=2_048)] = 32
    """Of backend http: texts in a request."""
    timeout_ms: Annotated[int, Field(ge=1)] = 10_000
    """Of backend http: how long a try may take."""
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """Of backend http: further tries after a failed one."""
    backoff_ms: Annotated[int, Field(ge=1)] = 100
    """Of backend http: the first pause between tries, which grows."""


class Classify(SettingsGroup):
    """Limits of the entrance."""

    batch_max: Annotated[int, Field(ge=1, le=4096)] = 256
    """Requests that are embedded together."""
    batch_target_ms: Annotated[int, Field(ge=1)] = 100
    """How long embedding a batch may take: fewer requests are taken together when texts cost more."""
    wait_max_ms: Annotated[int, Field(ge=0)] = 500
    """How long a question may wait for its vector. One that waited longer gets none, nor do those behind it until the
    queue is half as long. 0: each gets one."""
    question_chars_max: Annotated[int, Field(ge=1)] = 100_000
    """Characters of a question."""
    request_bytes_max: Annotated[int, Field(ge=1_000)] = 900_000
    """Bytes of a request."""
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
    topics: tuple[Annotated[str, Field(pattern=r"^requests(\.[A-Za-z0-9._-]{1,64})?$")], ...] = ()
    """Several request topics that one worker reads, in place of `topic`; a loop reads each, and all share one model."""
    tenants: Literal["request", "topic", "key", "header"] = "request"
    """What tells whose a request is: its own field, its topic, its record's key, or a header that an edge signs."""

    @property
    def request_topics(self) -> tuple[str, ...]:
        """The request topics that a worker reads, each once."""
        return tuple(dict.fromkeys(self.topics)) or (self.topic,)


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
    """Batches, commits and membership of a lookup worker."""

    keep_shards: bool = False
    """Whether a worker that starts again within `session_timeout_ms` gets the shards back whose stores it has, and no
    other takes them meanwhile: it is a static member of its group. Otherwise they go to others at once."""
    batch_max: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Records that are folded together."""
    commit_interval_ms: Annotated[int, Field(ge=1)] = 500
    """A commit costs the broker a marker a partition, however little is in it; nobody's answer waits for it."""
    commit_records: Annotated[int, Field(ge=1)] = 2_000
    """Records folded since a commit began; more commit sooner, so that little is folded again after a crash."""
    overlay_bytes_max: Annotated[int, Field(ge=1_000_000)] = 32_000_000
    """Changes waiting for a commit; more commit sooner."""
    stopped_pass_after_ms: Annotated[int, Field(ge=0)] = 5_000
    """How long a shard is stopped before its questions go straight to the model; 0: they never do."""
    snapshot_every_ms: Annotated[int, Field(ge=0)] = 0
    """How often a snapshot of each shard is made, by a process beside the worker; 0: never."""


class Snapshots(SettingsGroup):
    """Where snapshots of shards lie, and which of them are kept."""

    location: str | None = None
    """A folder, or a URL that fsspec knows, such as s3://bucket/refrain; absent: `snapshots` in `state_dir`."""
    keep: Annotated[int, Field(ge=1)] = 3
    """How many of each shard are kept; a new one takes the place of the oldest."""
    keep_ms: Annotated[int, Field(ge=0)] = 604_800_000
    """After how long one goes, were it the second; 0: of any age. The newest that verifies always stays."""


class Upstream(SettingsGroup):
    """The connector to the models: a server of theirs, or a simulated model."""

    connector: Literal["http", "simulated"] = "http"
    """`http`, or `simulated` (a model that is none)."""
    base_url: Root | None = None
    """The server's root, such as http://127.0.0.1:8000/v1"""
    api_key: SecretStr | None = None
    """Sent as a bearer token."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    """Calls at a time."""
    timeout_ms: Annotated[int, Field(ge=1)] = 60_000
    """Of one try."""
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """Further tries on 429, 5xx and broken connections, never past the deadline."""
    backoff_ms: Annotated[int, Field(ge=1)] = 250
    """Pauses between tries are random up to this, doubled each time."""
    answer_bytes_max: Annotated[int, Field(ge=1_000)] = 900_000
    """A larger answer becomes an error."""
    replica: str = "default"
    """The name under which load is reported."""
    load_interval_ms: Annotated[int, Field(ge=100)] = 1_000
    """How often load is reported."""
    commit_interval_ms: Annotated[int, Field(ge=1)] = 200
    """How often positions are kept."""
    seed: int = 7
    """Of the simulated model's latencies and failures."""
    latency_median_ms: Annotated[float, Field(ge=0)] = 150.0
    """Of the simulated model."""
    latency_sigma: Annotated[float, Field(ge=0, le=3)] = 0.4
    """Of the simulated model, lognormal."""
    failure_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of the simulated model."""


class Adapt(SettingsGroup):
    """The window over which load is smoothed."""

    window_ms: Annotated[int, Field(ge=100)] = 10_000
    """Over which load is smoothed."""
    interval_ms: Annotated[int, Field(ge=100)] = 1_000
    """How often it is looked at."""
    valid_for_ms: Annotated[int, Field(ge=1_000)] = 30_000
    """How long a load holds unless it is reported again."""
    step_min: Annotated[float, Field(ge=0, le=1)] = 0.1
    """A smaller change is not told."""


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
    """Processor threads of the model."""


class Edge(SettingsGroup):
    """The OpenAI-compatible endpoint."""

    enabled: bool = False
    """Whether `refrain run all` starts it."""
    host: str = "127.0.0.1"
    """Where it listens."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_400
    """0 takes a free one and logs it."""
    auth: Literal["keys", "jwt", "none"] = "keys"
    """What lets a client in: a key of `refrain edge keys`, and a token where `jwt.issuer` is set; tokens alone; or
    nothing, on loopback alone."""
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
    connections_max: Annotated[int, Field(ge=1)] | None = None
    """Connections that may be open, idle ones too; absent: `in_flight_max` and 1,000 more."""
    body_bytes_max: Annotated[int, Field(ge=1_000)] = 900_000
    """Bytes of a chat request that goes to the cache; a larger one goes straight to the model."""
    passed_bytes_max: Annotated[int, Field(ge=1_000)] = 25_000_000
    """Bytes of any request. Those beyond `body_bytes_max` are held for eight such requests at a time."""
    read_timeout_ms: Annotated[int, Field(ge=1)] = 10_000
    """How long a client may take to send the head of a request, and again each `body_bytes_max` of its body."""
    write_timeout_ms: Annotated[int, Field(ge=1)] = 30_000
    """How long a client may take nothing of what is sent to it."""
    drain_ms: Annotated[int, Field(ge=0)] = 10_000
    """How long open requests are waited for when the worker stops."""


class Traces(SettingsGroup):
    """OpenTelemetry traces of requests, sent to a collector."""

    enabled: bool = False
    """Whether requests are traced; it needs the extra `traces`."""
    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/\S*)?$")] = "http://127.0.0.1:4318/v1/traces"
    """Where a collector takes OTLP over HTTP: the whole URL."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Sent to the collector with each call: what lets in."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The part of requests that are traced, of those that come without a trace; one that comes with one says itself."""
    queue_max: Annotated[int, Field(ge=1, le=1_000_000)] = 4_096
    """Spans that wait to be sent; those beyond it are lost."""
    timeout_ms: Annotated[int, Field(ge=1)] = 5_000
    """How long the collector may take a call, further tries too."""
    flush_ms: Annotated[int, Field(ge=0)] = 2_000
    """How long the end of a worker waits for the collector."""


class Jwt(SettingsGroup):
    """Tokens of an identity provider (OIDC, JWT) that let clients in at the endpoint, beside keys or in their place.

    They are taken where `issuer` is set; `audience` is needed then. Where neither `jwks_url` nor `jwks_file` says where
    the keys are, the issuer does (OpenID Connect Discovery).
    """

    issuer: Annotated[str, Field(min_length=1)] | None = None
    """Who makes the tokens: their claim `iss`, letter by letter. Absent: no tokens are taken."""
    audience: Annotated[str, Field(min_length=1)] | None = None
    """For whom the tokens are made: a value of their claim `aud`."""
    jwks_url: str | None = None
    """Where the provider serves its public keys: https, or http on loopback. Absent, without `jwks_file`: where
    `/.well-known/openid-configuration` below the issuer says."""
    jwks_file: Path | None = None
    """Its public keys in a file, in place of `jwks_url`; it is looked at again while the endpoint runs."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "PS256", "ES256", "EdDSA")
    """How tokens may be signed: by a private key alone, for what verifies by a shared secret can also make tokens."""
    tenant_claim: Annotated[str, Field(min_length=1, max_length=256)] = "tenant"
    """The claim that names the tenant; one that begins with `/` is a JSON Pointer to a claim inside others."""
    leeway_ms: Annotated[int, Field(ge=0, le=600_000)] = 30_000
    """How far the clocks of the provider and the endpoint may be apart."""
    token_bytes_max: Annotated[int, Field(ge=256, le=32_768)] = 8_192
    """A longer token is refused unread."""
    jwks_refresh_ms: Annotated[int, Field(ge=1_000)] = 600_000
    """How often the keys are fetched again."""
    jwks_retry_ms: Annotated[int, Field(ge=100)] = 10_000
    """How soon they are fetched again for a key that is not among them, or after a failure; never sooner."""
    jwks_stale_ms: Annotated[int, Field(ge=1_000)] = 86_400_000
    """How long keys count that cannot be fetched again."""
    jwks_timeout_ms: Annotated[int, Field(ge=1)] = 5_000
    """How long the provider may take to serve its keys."""


class Settings(SettingsGroup):
    """All settings. `connection` holds librdkafka properties (TLS, SASL) for every client."""

    kafka: Brokers = "localhost:9092"
    """Bootstrap servers, with commas between them."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=64)] = "refrain."
    """Prefix of topics, groups and transactional ids."""
    connection: dict[str, SecretStr] = Field(default_factory=dict)
    """librdkafka's properties (TLS, SASL) for every client."""
    state_dir: Path = Path(".local/state")
    """Local stores, models made ready, health files."""
    connect_timeout_ms: Annotated[int, Field(ge=100)] = 8_000
    """How long a command waits for the broker to answer."""
    session_timeout_ms: Annotated[int, Field(ge=1_000)] = 10_000
    """When a worker that is silent is taken for dead."""
    transaction_timeout_ms: Annotated[int, Field(ge=1_000)] = 10_000
    """When the broker ends a dead worker's transaction."""
    send_timeout_ms: Annotated[int, Field(ge=1_000)] = 5_000
    """How long acknowledgements may take before a worker tells of an outage and is not ready; it waits on."""
    replication: Annotated[int, Field(ge=1)] = 1
    """Replicas of the topics that `topics create` makes."""
    min_insync: Annotated[int, Field(ge=1)] = 1
    """`min.insync.replicas` of the topics that `topics create` makes."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least level that is logged."""
    log_format: Literal["text", "json"] = "text"
    """How lines are logged: for people, or an object a line."""
    http: Http = Http()
    """Health and metrics of a worker."""
    embedding: Embedding = Embedding()
    """The embedder."""
    classify: Classify = Classify()
    """The entrance."""
    routes: Routes = Routes()
    """Signatures of routes."""
    tenants: Tenants = Tenants()
    """Signatures of the edge."""
    lookup: Lookup = Lookup()
    """Batches and commits of `lookup`."""
    snapshots: Snapshots = Snapshots()
    """Where snapshots are, and how many."""
    upstream: Upstream = Upstream()
    """The connector to the models."""
    adapt: Adapt = Adapt()
    """How load is smoothed."""
    verify: Verify = Verify()
    """The verifier, for second opinions."""
    edge: Edge = Edge()
    """The OpenAI-compatible endpoint."""
    traces: Traces = Traces()
    """OpenTelemetry traces."""
    jwt: Jwt = Jwt()
    """Tokens of an identity provider at the endpoint."""
