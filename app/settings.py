"""Typed settings: environment first (`ATTEST_…`, nested with `__`), then `attest.toml` in the working directory.

Unknown keys fail; secrets are `SecretStr`; network access, telemetry and remote code are off by default.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from app.errors import InvalidInput
from app.types import Style

NOT_SETTINGS = frozenset({"ATTEST_FORBID_SKIPS", "ATTEST_DATA_DIR", "ATTEST_PUBLISH"})
"""Environment names with our prefix that belong to tests, benchmarks and the compose file."""


_REMOTE_THREADS = 16
_SECRET = frozenset({"api_keys", "api_key", "base_url", "postgres"})  # fields whose value no message repeats


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    allow_open: bool = Field(False, description="bind a non-loopback address without API keys; said in so many words")
    cors_origins: tuple[str, ...] = ()
    open_webui_sources: bool = Field(False, description="send Open WebUI's source frames with every chat completion")
    model_threads: int | None = Field(
        None, ge=1, le=64, description="requests answered at once; none: 1, or as many as the language model takes"
    )
    model_queue: int = Field(32, ge=0, description="requests of one key waiting for the models; past that, 429")


class LimitSettings(Section):
    upload_bytes: int = Field(200 * 2**20, gt=0, description="of one file")
    form_bytes: int = Field(2 * 2**30, gt=0, description="of all files that one request uploads")
    text_chars: int = Field(50_000_000, gt=0, description="extracted characters of one document")
    pages: int = Field(10_000, gt=0)
    archive_ratio: int = Field(200, gt=1, description="unpacked/packed bytes past which an archive is a bomb")
    batch_documents: int = Field(1_000, gt=0)
    question_chars: int = Field(8_000, gt=0)
    metadata_bytes: int = Field(64 * 1024, gt=0)
    evaluation_bytes: int = Field(32 * 2**20, gt=0, description="of the golden questions of one evaluation, as JSON")
    top_k: int = Field(1_000, gt=0)
    requests_per_minute: int = Field(0, ge=0, description="per key; 0 is no limit")


class ChunkingSettings(Section):
    max_tokens: int = Field(220, ge=16, description="token budget of a chunk, counted by the embedder's tokenizer")
    overlap_tokens: int = Field(32, ge=0)


class EmbeddingSettings(Section):
    model: str | None = Field(
        None, description="a local folder, or the name of a hub model; none: the all-MiniLM-L6-v2 in the package"
    )
    query_model: Path | None = Field(
        None, description="folder of another encoder for questions, as `attest train retriever-marginal` writes it"
    )
    revision: str | None = None
    engine: Literal["auto", "core", "sentence_transformers"] = Field(
        "auto", description="core: our transformer, for BERT-like models; auto: sentence-transformers for the others"
    )
    dtype: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    batch_tokens: int = Field(1_024, ge=256)
    threads: int | None = Field(None, ge=1)


class IndexSettings(Section):
    lexicon: Literal["tantivy", "rank_bm25"] = "tantivy"
    bm25_variant: Literal["okapi", "l", "plus"] = Field("okapi", description="of the rank_bm25 engine")
    exact_below: int = Field(20_000, ge=0, description="chunks below which vector search is exact")
    compact_segments: int = Field(16, ge=2, description="segments past which the worker compacts")


class RetrievalSettings(Section):
    top_k: int = Field(50, ge=1)
    rrf_k: int = Field(60, ge=1)


class QuerySettings(Section):
    budget_ms: float = Field(4_000.0, gt=0, description="for all translations of one question together")
    auto_budget_ms: float = Field(
        250.0, ge=0, description="for the translations that `auto` chooses, retrieval included; 0: it chooses none"
    )
    policy: Path | None = Field(
        None, description="folder of the policy that `auto` chooses by; none: the shipped one, where there is one"
    )
    rewriter: Literal["auto", "rules", "writer"] = Field(
        "auto",
        description="who rewrites questions where no language model is configured; auto: the bundled writer where "
        "it beats the rules; see docs/query-writer.md",
    )
    auto_filters: bool = Field(True, description="read metadata conditions from questions that name field and value")


class RouteSettings(Section):
    """One declared route; `[routing.routes.NAME]` in attest.toml."""

    kind: Literal["collections", "sql", "graph", "chitchat", "refuse"] | None = Field(
        None, description='none: "sql" where a source is named, else "collections"'
    )
    collections: tuple[str, ...] = ()
    source: str | None = Field(None, description="one of sql.sources or sql.postgres, for the kind sql")
    description: str = ""
    examples: tuple[str, ...] = Field((), description="questions of this sort")
    template: str = Field("", description="what a language model is told beside its instruction")
    reply: str = Field("", description="of chitchat and refuse: what is said instead of our own words")


class RoutingSettings(Section):
    """Where questions go when they do not say: see docs/routing.md."""

    routes: dict[str, RouteSettings] = Field(default_factory=dict)
    method: Literal["auto", "logical", "semantic"] = Field(
        "auto", description="auto: by likeness, and by the language model where that is not sure"
    )
    threshold: float = Field(0.5, ge=0, le=1, description="probability below which all are asked")


class RerankSettings(Section):
    enabled: bool = True
    model: Path | None = Field(None, description="a LightGBM model file; none: the shipped one")


class ContextSettings(Section):
    chunks: int = Field(6, ge=1, le=50)
    budget_tokens: int = Field(2_000, ge=64)


class RemoteSettings(Section):
    """An OpenAI-compatible server; used when `generation.model` is `remote:MODEL`."""

    base_url: str | None = Field(None, description="up to /chat/completions, such as http://127.0.0.1:8080/v1")
    api_key: SecretStr | None = Field(None, description="sent as a bearer token; none: no token")
    connect_s: float = Field(5.0, gt=0)
    first_token_s: float = Field(60.0, gt=0, description="longest wait for the first text, and between two pieces")
    total_s: float = Field(300.0, gt=0)
    attempts: int = Field(3, ge=1, le=10, description="of one request, while no text has come")
    breaker_failures: int = Field(5, ge=1, description="failures in a row after which the server is left alone")
    breaker_open_s: float = Field(30.0, gt=0, description="for how long")
    logprobs: bool = Field(False, description="ask for log-probabilities; they lower the confidence of unsure text")

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://HOST… or https://HOST…")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold neither a user, nor a query, nor a fragment: a key goes into api_key")
        return url.rstrip("/").removesuffix("/chat/completions")


class LocalSettings(Section):
    """A language model on this machine; used when `generation.model` is `local:FOLDER_OR_HUB_NAME`."""

    dtype: Literal["auto", "fp32", "bf16", "int8", "int4"] = Field(
        "auto", description="of the weights; auto: bf16 where the CPU computes in it, else fp32"
    )
    native_kernels: Literal["auto", "off", "on"] = Field(
        "auto",
        description="our own compiled kernels; auto: where processor and compiler allow, else PyTorch's; off: never; "
        "on: fail where they can not run",
    )
    context_tokens: int = Field(8_192, ge=256, description="longest prompt and answer; at most what the model takes")
    cache_bytes: int = Field(2**30, ge=2**20, description="memory for keys and values")
    max_batch: int = Field(8, ge=1, le=256, description="answers written at once")
    passage_reuse: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of a known passage's tokens to compute again in a new prompt; below 1 answers are "
        "approximate and begin sooner; none: passages are read anew",
    )
    passage_bytes: int = Field(2**28, ge=2**20, description="memory for known passages, with passage_reuse only")
    download: bool = Field(False, description="fetch a hub model that is not on this machine")
    revision: str | None = Field(None, description="branch, tag or commit of a hub model")


class GenerationSettings(Section):
    model: str = Field(
        "bundled", description="bundled, local:FOLDER_OR_HUB_NAME, or remote:MODEL of an OpenAI-compatible server"
    )
    models: tuple[str, ...] = Field(
        (), description="further models, named as `model` is, that a request may choose by generation.model"
    )
    generator: Literal["reader", "sentences"] = Field(
        "reader",
        description="the bundled one; reader: the transformer; sentences: the best-matching sentence, no model",
    )
    reader: Path | None = Field(None, description="folder of reader weights; none: the bundled ones")
    verify: bool = Field(
        True, description="the bundled verifiers look at the bundled readers' answers again: better refusals for ~20 ms"
    )
    remote: RemoteSettings = RemoteSettings()
    local: LocalSettings = LocalSettings()
    on_failure: Literal["bundled", "fail"] = Field(
        "bundled", description="when the model can't answer: the bundled generator with a warning, or a 503"
    )
    threads: int | None = Field(None, ge=1)
    style: Style = Field(
        "auto", description="of answers whose request names none: auto is told by the question; see docs/answers.md"
    )
    abstain_below: float | None = Field(None, ge=0, le=1, description="confidence threshold; none: the calibrated one")

    @field_validator("model", "models")
    @classmethod
    def _known_kind(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for model in (given,) if isinstance(given, str) else given:
            kind, _, name = model.partition(":")
            if model != "bundled" and not (kind in ("local", "remote") and name.strip()):
                raise ValueError("must be bundled, local:FOLDER_OR_HUB_NAME or remote:MODEL")
        return given

    @model_validator(mode="after")
    def _remote_has_an_address(self) -> GenerationSettings:
        if any(model.startswith("remote:") for model in (self.model, *self.models)) and self.remote.base_url is None:
            raise ValueError(
                "model is remote, but there is no address: set ATTEST_GENERATION__REMOTE__BASE_URL, such as "
                "http://127.0.0.1:8080/v1"
            )
        return self


class SqlSettings(Section):
    """Tables and databases that questions may be put to; only ever read."""

    sources: dict[str, Path] = Field(
        default_factory=dict,
        description="name → SQLite file, table file (CSV, TSV, XLSX, Parquet) or a folder of those, as in "
        '{"sales": "/data/sales.db"}',
    )
    postgres: dict[str, SecretStr] = Field(
        default_factory=dict, description="name → postgresql://USER:PASSWORD@HOST/NAME, of a user that may only read"
    )
    documents: bool = Field(True, description="uploaded documents that are tables can be asked as such")
    time_limit_ms: float = Field(2_000.0, gt=0, description="of one statement")
    row_limit: int = Field(100, ge=1, le=10_000, description="of one statement")

    @model_validator(mode="after")
    def _each_name_once(self) -> SqlSettings:
        if twice := sorted(self.sources.keys() & self.postgres.keys()):
            raise ValueError(f"sources and postgres both name {twice}: give each source a name of its own")
        return self


class GraphSettings(Section):
    """Statements over collections' knowledge graphs; a collection has one by its own setting `graph.enabled`."""

    time_limit_ms: float = Field(2_000.0, gt=0, description="of one statement")
    row_limit: int = Field(100, ge=1, le=10_000, description="of one statement")
    buffer_bytes: int = Field(256 * 2**20, ge=16 * 2**20, description="of memory for one statement's pages")


class WorkerSettings(Section):
    lease_s: float = Field(30.0, gt=0)
    poll_s: float = Field(0.2, gt=0)
    max_attempts: int = Field(5, ge=1)
    backoff_s: float = Field(2.0, gt=0)
    batch_chunks: int = Field(256, ge=1, description="chunks embedded and published together")
    keep_jobs: int = Field(1_000, ge=0, description="ended jobs that are kept, however old")
    keep_jobs_days: float = Field(30.0, ge=0, description="ended jobs younger than this are kept, however many")


class Settings(BaseSettings):
    """Everything that can be set. Read only by `main`, `__main__`, the bootstraps and the worker."""

    model_config = SettingsConfigDict(
        env_prefix="ATTEST_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        toml_file="attest.toml",
        hide_input_in_errors=True,
    )

    home: Path = Field(Path("~/.attest"), description="where everything that must survive lives")
    url: str | None = Field(None, description="a running server for the command line to talk to")
    api_keys: tuple[SecretStr, ...] | str | None = Field(
        None, description="comma-separated `KEY[:scopes[:collections]]`; none: no authentication"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_json: bool = False
    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    index: IndexSettings = IndexSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    query: QuerySettings = QuerySettings()
    routing: RoutingSettings = RoutingSettings()
    rerank: RerankSettings = RerankSettings()
    context: ContextSettings = ContextSettings()
    generation: GenerationSettings = GenerationSettings()
    sql: SqlSettings = SqlSettings()
    graph: GraphSettings = GraphSettings()
    worker: WorkerSettings = WorkerSettings()

    @field_validator("home", mode="after")
    @classmethod
    def _expand(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(SecretStr(key.strip()) for key in value.split(",") if key.strip()) or None
        return value

    @property
    def model_threads(self) -> int:
        """Requests answered at once: a remote model only waits, a local one batches, the bundled one fills the CPU."""
        if self.server.model_threads is not None:
            return self.server.model_threads
        kind = self.generation.model.partition(":")[0]
        return {"remote": _REMOTE_THREADS, "local": self.generation.local.max_batch}.get(kind, 1)

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.home / 'attest.db'}"

    def redacted(self) -> dict[str, Any]:
        """The effective settings for the log: secrets show as stars."""
        return self.model_dump(mode="json")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class names it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class names it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """The effective settings; `overrides` that are None count as not given.

    Raises:
        InvalidInput: an `ATTEST_…` name that is no setting, or a value outside its range, each named with its remedy.
    """
    environ = os.environ if environ is None else environ
    known = sorted(f"ATTEST_{name.upper()}" for name in Settings.model_fields)
    for name in sorted(environ):
        if not name.upper().startswith("ATTEST_") or name.upper() in NOT_SETTINGS:
            continue
        if name.upper().split("__", 1)[0] not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            meant = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
            raise InvalidInput(
                f"the environment variable {name} is no setting of Attest{meant} (unset it or rename it)"
            )
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(_problem(problem) for problem in error.errors(include_url=False))
        raise InvalidInput(f"the settings (environment ATTEST_…, attest.toml) do not hold: {problems}") from None
    except (SettingsError, OSError, ValueError) as error:
        raise InvalidInput(f"the settings (environment ATTEST_…, attest.toml) can not be read: {error}") from None


def _problem(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{where} is no setting (remove or rename it)"
    # a section as a whole may hold a key, and an address may hold a password
    shown = not isinstance(problem["input"], Mapping | BaseModel) and _SECRET.isdisjoint(problem["loc"])
    given = f", given {problem['input']!r:.80}" if shown else ""
    return f"{where}: {problem['msg']}{given}"
